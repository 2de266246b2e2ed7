//! After its start the control thread allocates nothing: not while it stands, runs, falls, or passes on what it did.

#![expect(clippy::unwrap_used, reason = "a test")]

mod allocations;

use std::sync::atomic::AtomicBool;

use controller::{
    ControllerConfig, Method,
    deploy::{
        Clock, DeployConfig, GoalSample, LinkPort, OperatorSource, Pilot, Request, RobotSample,
        ScanSample, State, TwistSample, ports, run_cycles,
    },
};
use nalgebra::{Point2, Vector3};
use policies::{
    Bundle, Goal, Layout, PolicySpec, RayScan, RaySpec, Twist,
    observation::terms,
    spec::{NetworkSpec, Provenance, role},
};
use robots::Robot;

use allocations::{ALLOCATIONS, layers};

fn bundle(robot: &Robot, rays: &RaySpec) -> Bundle {
    let mut bundle = Bundle::new(PolicySpec::new(robot, rays, 0.02));
    for (role, terms) in [
        (role::AGILE, terms::agile(rays)),
        (role::RECOVERY, terms::recovery()),
    ] {
        let spec = NetworkSpec::policy(role, terms, 0.25, Provenance::default());
        let inputs = Layout::new(&spec.observations, &bundle.spec.robot, rays)
            .unwrap()
            .dim();
        bundle
            .insert(role, spec, layers(&[inputs, 32, 12]))
            .unwrap();
    }
    let agile = bundle.spec.networks[role::AGILE].sha256.clone();
    let spec = NetworkSpec::value(terms::reach_avoid(rays), &agile, Provenance::default());
    bundle
        .insert(role::REACH_AVOID, spec, layers(&[19, 64, 64, 1]))
        .unwrap();
    bundle
}

/// For the method that follows twists.
const TWIST: Twist = Twist {
    vx_mps: 0.5,
    vy_mps: 0.0,
    yaw_rate_radps: 1.0,
};

/// Plays the robot and the operator while the control thread sleeps.
struct Play {
    now_ns: u64,
    cycle: u32,
    link: LinkPort,
    sample: RobotSample,
    scan: ScanSample,
    goal: GoalSample,
    seen: [usize; State::ALL.len()],
    followed_twist: bool,
    /// Allocations while cycles ran.
    allocations: usize,
    before: usize,
}

impl Clock for Play {
    fn now_ns(&mut self) -> u64 {
        self.now_ns += 1000;
        self.now_ns
    }

    fn sleep_until(&mut self, time_ns: u64) {
        if self.cycle > 0 {
            self.allocations += ALLOCATIONS.get() - self.before;
        }
        let status = self.link.status.read();
        self.followed_twist |= status.twist == Some(TWIST);
        let state = status.state;
        self.seen[State::ALL.iter().position(|&s| s == state).unwrap()] += 1;
        while self.link.log.pop().is_ok() {}

        self.now_ns = time_ns;
        self.cycle += 1;
        self.link.heartbeat.beat(time_ns);
        self.sample.received_ns = time_ns;
        self.sample.tick = self.cycle;
        // The joints are where they are commanded.
        let commanded = &self.link.command.read().joints;
        for (position_rad, joint) in self.sample.joint_position_rad.iter_mut().zip(commanded) {
            if joint.stiffness > 0.0 {
                *position_rad += (joint.position_rad - *position_rad).clamp(-0.1, 0.1);
            }
        }
        // Upside down for a while.
        let upside_down = (4000..4100).contains(&self.cycle);
        self.sample.imu_orientation_wxyz = if upside_down {
            [0.0, 1.0, 0.0, 0.0]
        } else {
            [1.0, 0.0, 0.0, 0.0]
        };
        self.sample.imu_gyroscope_radps.x = if self.cycle == 4200 { f32::NAN } else { 0.1 };
        self.link.robot.write(self.sample.clone());
        self.scan.received_ns = time_ns;
        self.link.scan.write(self.scan.clone());
        self.goal.received_ns = time_ns - u64::from(self.cycle % 500) * 2_000_000;
        self.link.goal.write(self.goal.clone());
        self.link.twist.write(TwistSample {
            received_ns: time_ns,
            twist: TWIST,
        });
        let request = match self.cycle {
            10 | 4400 => Some(Request::Stand),
            1200 => Some(Request::Start),
            3000 => Some(Request::LieDown),
            4150 | 4300 => Some(Request::Stop),
            _ => None,
        };
        if let Some(request) = request {
            self.link.operator.request(request);
        }
        self.link
            .operator
            .heartbeat(OperatorSource::Remote, time_ns);
        self.before = ALLOCATIONS.get();
    }
}

#[test]
fn the_control_thread_allocates_nothing_in_any_state() {
    assert!(!follows_twist(Method::Abs));
    assert!(follows_twist(Method::recovery()));

    // The counter does count.
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1, 2, 3]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

/// Goes through the states, and checks that none allocates.
fn follows_twist(method: Method) -> bool {
    let (robot, rays) = (Robot::load("go1").unwrap(), RaySpec::default());
    let bundle = bundle(&robot, &rays);
    let config = DeployConfig {
        method,
        ..DeployConfig::default()
    };
    let mut pilot = Pilot::new(&robot, &bundle, &ControllerConfig::default(), &config).unwrap();
    let (link, mut port) = ports(64);
    // Somebody waits for commands.
    port.wake_after_command(std::thread::current());
    let mut play = Play {
        now_ns: 1_000_000_000,
        cycle: 0,
        link,
        sample: RobotSample {
            crc_ok: true,
            joint_position_rad: [0.0, 1.2, -2.4].into_iter().cycle().take(12).collect(),
            joint_velocity_radps: [0.1; 12].into_iter().collect(),
            joint_torque_nm: [1.0; 12].into_iter().collect(),
            imu_accelerometer_mps2: Vector3::new(0.0, 0.0, 9.81),
            ..RobotSample::default()
        },
        scan: ScanSample {
            received_ns: 0,
            scan: RayScan::clear(&rays),
        },
        goal: GoalSample {
            received_ns: 0,
            goal: Goal {
                position_world: Point2::new(3.0, 0.0),
                heading_rad: 0.0,
            },
            duration_s: 9.0,
        },
        seen: [0; State::ALL.len()],
        followed_twist: false,
        allocations: 0,
        before: 0,
    };
    let stop = AtomicBool::new(false);
    let report = run_cycles(&mut play, &mut pilot, &mut port, &stop, 5000);
    assert_eq!(report.cycles, 5000);
    for (state, count) in State::ALL.iter().zip(play.seen) {
        // Stop is the one way that was not taken: the robot lay down from running.
        assert_eq!(
            count > 0,
            *state != State::Stop,
            "{state:?} {:?}",
            play.seen
        );
    }
    assert_eq!(play.allocations, 0);
    play.followed_twist
}
