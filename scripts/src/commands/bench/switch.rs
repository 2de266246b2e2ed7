//! Time of one control cycle through the switch: value, twist search, recovery policy.

use std::{hint::black_box, time::Duration, time::Instant};

use anyhow::Result;
use controller::{ControlInput, Controller, Method, Mode, TwistSearch};
use policies::{
    Bundle, GoalYaw, Layout, Linear, PolicySpec, RaySpec,
    observation::terms,
    spec::{NetworkSpec, Provenance, role},
};
use robots::Robot;
use serde::Serialize;

use super::{Networks, Percentiles};

/// Cycles before the measurement, in which caches fill.
const WARM_UP: usize = 1000;

/// Results of `abs bench switch`: microseconds on one core.
#[derive(Serialize)]
pub struct SwitchReport {
    robot: String,
    /// `random` where no bundle with the three networks was given.
    networks: String,
    steps_of_search: usize,
    cycles: usize,
    /// Reach-avoid value of one observation.
    value_us: Percentiles,
    /// Twist search, all steps.
    search_us: Percentiles,
    /// Observation to joint targets with value, search and recovery policy.
    cycle_us: Percentiles,
}

/// Measures each time for `duration`.
pub fn measure(networks: &Networks, duration: Duration) -> Result<SwitchReport> {
    let Networks { robot, bundle, .. } = networks;
    let mut settings = networks.config.controller.clone();
    let (mut value, layout) = bundle.reach_avoid(robot)?;
    let switch = settings.switch.over(&bundle.switch());
    let threshold = switch.threshold;
    // So low that recovery always acts, on any twist: the longest way through a cycle.
    settings.switch.threshold = Some(-0.999_999);
    settings.switch.min_improvement = Some(-2.0);
    let mut controller = Controller::new(robot, bundle, Method::Abs, &settings)?;
    let mut search = TwistSearch::of_layout(&switch.search, &layout, &bundle.spec.rays);
    let goal = GoalYaw {
        x_m: 5.0,
        y_m: 1.0,
        heading_error_rad: 0.0,
    };
    let row = |cycle: usize| -> Vec<f32> {
        let element = |k: usize| (0.37 * (cycle * layout.dim() + k) as f32).sin() + 0.5;
        (0..layout.dim()).map(element).collect()
    };
    let rows: Vec<Vec<f32>> = (0..256).map(row).collect();

    let value_us = time(duration, |cycle| {
        black_box(value.value(&rows[cycle % rows.len()]));
    });
    let search_us = time(duration, |cycle| {
        let row = &rows[cycle % rows.len()];
        black_box(search.search(&mut value, row, &goal, threshold));
    });
    let mut input = ControlInput::new(robot, &bundle.spec.rays);
    input.goal.position_world.x = 5.0;
    let mut recovered = true;
    let cycle_us = time(duration, |cycle| {
        let phase = 0.1 * cycle as f32;
        input.state.linear_velocity_base.x = 2.0 + phase.sin();
        input.state.angular_velocity_base.z = phase.cos();
        for (ray, distance_m) in input.rays.distance_m.iter_mut().enumerate() {
            *distance_m = 2.0 + (phase + ray as f32).sin();
        }
        black_box(controller.step(&input.state, &input.rays, &input.goal, 5.0));
        recovered &= controller.mode() == Mode::Recovery;
    });
    anyhow::ensure!(recovered, "the recovery path was not taken in every cycle");
    Ok(SwitchReport {
        robot: robot.name.clone(),
        networks: networks.origin.to_owned(),
        steps_of_search: switch.search.steps,
        cycles: cycle_us.len(),
        value_us: Percentiles::new(value_us),
        search_us: Percentiles::new(search_us),
        cycle_us: Percentiles::new(cycle_us),
    })
}

/// Microseconds of each call in `duration`.
fn time(duration: Duration, mut work: impl FnMut(usize)) -> Vec<f64> {
    for cycle in 0..WARM_UP {
        work(cycle);
    }
    let mut samples_us = Vec::with_capacity(1 << 20);
    let begin = Instant::now();
    for cycle in 0..samples_us.capacity() {
        if begin.elapsed() >= duration {
            break;
        }
        let start = Instant::now();
        work(cycle);
        samples_us.push(start.elapsed().as_secs_f64() * 1e6);
    }
    samples_us
}

/// Networks of the paper's sizes: the time does not depend on what they have learned.
pub(super) fn random_bundle(robot: &Robot, rays: &RaySpec) -> Result<Bundle> {
    let layers = |widths: &[usize]| -> Vec<Linear> {
        let layer = |pair: &[usize]| {
            let scale = (2.0 / pair[0] as f32).sqrt();
            let weight = |k: usize| scale * 1.4 * (k as f32 * 12.9898).sin();
            Linear {
                weight: (0..pair[0] * pair[1]).map(weight).collect(),
                bias: vec![0.0; pair[1]],
                inputs: pair[0],
            }
        };
        widths.windows(2).map(layer).collect()
    };
    let mut bundle = Bundle::new(PolicySpec::new(robot, rays, 0.02));
    let scale = robot.control.action_scale;
    for (role, terms) in [
        (role::AGILE, terms::agile(rays)),
        (role::RECOVERY, terms::recovery()),
    ] {
        let inputs = Layout::new(&terms, &bundle.spec.robot, rays)?.dim();
        let spec = NetworkSpec::policy(role, terms, scale, Provenance::default());
        let layers = layers(&[inputs, 512, 256, 128, robot.num_joints()]);
        bundle.insert(role, spec, layers)?;
    }
    let terms = terms::reach_avoid(rays);
    let inputs = Layout::new(&terms, &bundle.spec.robot, rays)?.dim();
    let agile = bundle.spec.network(role::AGILE)?.sha256.clone();
    let spec = NetworkSpec::value(terms, &agile, Provenance::default());
    bundle.insert(role::REACH_AVOID, spec, layers(&[inputs, 64, 64, 1]))?;
    Ok(bundle)
}
