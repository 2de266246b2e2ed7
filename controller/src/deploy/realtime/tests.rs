use policies::{
    Bundle, Linear, PolicySpec, RaySpec,
    observation::terms,
    spec::{NetworkSpec, Provenance, role},
};
use robots::Robot;

use super::*;
use crate::{
    ControllerConfig, Method,
    deploy::{DeployConfig, ports},
};

/// Wakes up so late, in turn; every look at it takes 10 us.
struct Script {
    now_ns: u64,
    late_ns: std::vec::IntoIter<u64>,
}

impl Clock for Script {
    fn now_ns(&mut self) -> u64 {
        self.now_ns += 10_000;
        self.now_ns
    }

    fn sleep_until(&mut self, time_ns: u64) {
        let late_ns = self.late_ns.next().unwrap_or(0);
        self.now_ns = self.now_ns.max(time_ns + late_ns);
    }
}

fn pilot() -> Pilot {
    let robot = Robot::load("go1").unwrap();
    let rays = RaySpec::default();
    let layer = Linear {
        weight: vec![0.0; 12 * 61],
        bias: vec![0.0; 12],
        inputs: 61,
    };
    let mut bundle = Bundle::new(PolicySpec::new(&robot, &rays, 0.02));
    let spec = NetworkSpec::policy(
        role::AGILE,
        terms::agile(&rays),
        0.25,
        Provenance::default(),
    );
    bundle.insert(role::AGILE, spec, vec![layer]).unwrap();
    let config = DeployConfig {
        method: Method::agile(),
        ..DeployConfig::default()
    };
    Pilot::new(&robot, &bundle, &ControllerConfig::default(), &config).unwrap()
}

#[test]
fn deadlines_stay_on_their_grid_and_missed_ones_are_counted() {
    let start_ns = 1_000_000_000;
    // The third cycle comes 5 ms late: two deadlines pass.
    let late_ns = vec![0, 50_000, 5_000_000, 0, 0];
    let mut clock = Script {
        now_ns: start_ns,
        late_ns: late_ns.into_iter(),
    };
    let (mut link, mut control) = ports(16);
    let stop = AtomicBool::new(false);
    let report = run_cycles(&mut clock, &mut pilot(), &mut control, &stop, 5);

    assert_eq!((report.cycles, report.overruns), (5, 2));
    assert_eq!(report.lateness.max_ns(), 5_010_000);
    assert_eq!(report.compute.max_ns(), 10_000);
    let inputs: Vec<(u64, u64, u32)> = std::iter::from_fn(|| link.log.pop().ok())
        .map(|record| record.input)
        .map(|input| (input.cycle, input.time_ns - start_ns, input.missed))
        .collect();
    // The grid begins 10 us after the start, and the look at the clock takes 10 us more.
    let at = |periods: u64, late_ns: u64| periods * 2_000_000 + 20_000 + late_ns;
    assert_eq!(
        inputs,
        [
            (0, at(1, 0), 0),
            (1, at(2, 50_000), 0),
            (2, at(3, 5_000_000), 2),
            (3, at(6, 0), 0),
            (4, at(7, 0), 0)
        ]
    );
    assert_eq!(link.command.read().time_ns - start_ns, at(7, 0));
}

#[test]
fn the_loop_ends_when_it_is_told_to() {
    let (_link, mut control) = ports(1);
    let stop = AtomicBool::new(true);
    let report = run_cycles(
        &mut MonotonicClock,
        &mut pilot(),
        &mut control,
        &stop,
        u64::MAX,
    );
    assert_eq!(report, LoopReport::default());
}

#[test]
fn the_machines_clock_sleeps_until_the_deadline() {
    let mut clock = MonotonicClock;
    let deadline_ns = clock.now_ns() + 3_000_000;
    clock.sleep_until(deadline_ns);
    assert!(clock.now_ns() >= deadline_ns);
    clock.sleep_until(1);
}
