//! Whether an exported model computes what the network of the bundle does: both run on the same inputs, the model in tract.

use anyhow::{Context as _, Result};
use controller::TwistSearch;
use nalgebra::{Point3, UnitQuaternion, Vector3};
use policies::{
    Activation, Bundle, GoalYaw, Layout, Mlp, ObservationInput, Quantity, RayScan, ReachAvoidValue,
    Twist,
    observation::FrameHistory,
    policy::ActionMap,
    spec::{Output, role},
};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use robots::{Robot, RobotState};
use sim::{
    scene::{TestScene, TestbedConfig},
    sensors::RayCaster,
};
use tract_onnx::prelude::*;

use crate::parity::{INPUTS, Parity, observations};

/// The same of the value that a search finds. Its twists are the same but where two are as good up to rounding: a change of an observation in
/// the last bit changes as many.
pub const SEARCH_TOLERANCE: f32 = 1e-4;
/// Most searches that may find another twist.
pub const OTHER_TWISTS: usize = INPUTS / 10;

/// Compares the model of a policy or value with the network of this role.
///
/// # Errors
/// When tract cannot run the model, or the bundle lacks the network.
pub fn of_network(model: &[u8], bundle: &Bundle, role: &str) -> Result<Parity> {
    let network = bundle.spec.network(role)?;
    let layout = bundle.spec.layout(role)?;
    let last = match network.output {
        Output::Value { .. } => Activation::Tanh,
        Output::Actions { activation, .. } => activation,
        Output::Rays { .. } => Activation::Identity,
    };
    let mut mlp = Mlp::new(bundle.layers(role), network.activation, last)?;
    let (given, observed) = observations(&layout);
    let outputs = run(model, &[(&given, layout.dim())])?;
    let mut parity = Parity::default();
    for (index, observation) in observed.chunks_exact(layout.dim()).enumerate() {
        let mut expected = vec![mlp.forward(observation).to_vec()];
        if let Output::Actions { scale, clip, .. } = network.output {
            let mut position_rad = vec![0.0; expected[0].len()];
            let default_rad = &bundle.spec.robot.default_position_rad;
            ActionMap::new(default_rad, scale, clip).apply(&mut expected[0], &mut position_rad);
            expected.push(position_rad);
        }
        let outputs = outputs.iter().zip(&expected);
        parity
            .add(outputs.flat_map(|(found, expected)| {
                found[index * expected.len()..].iter().zip(expected)
            }));
    }
    Ok(parity)
}

/// Compares the model of the twist search with the search of the controller, on the way through the scenes of the paper's test: the twists, and their values.
///
/// # Errors
/// When tract cannot run the model, or the bundle lacks the value.
pub fn of_twist_search(model: &[u8], bundle: &Bundle, robot: &Robot) -> Result<[Parity; 2]> {
    let layout = bundle.spec.layout(role::REACH_AVOID)?;
    let switch = bundle.switch();
    let mut search = TwistSearch::of_layout(&switch.search, &layout, &bundle.spec.rays);
    let mut value = ReachAvoidValue::new(bundle.layers(role::REACH_AVOID).to_vec())?;
    let (observations, starts) = scenes(bundle, robot, &layout)?;
    let outputs = run(model, &[(&observations, layout.dim()), (&starts, 3)])?;
    let (twists, values) = (&outputs[0], &outputs[1]);
    let goal = layout.range(Quantity::GoalPosition).unwrap_or(0..0).start;
    let mut parity = [Parity::default(); 2];
    for (index, observation) in observations.chunks_exact(layout.dim()).enumerate() {
        let goal = GoalYaw {
            x_m: observation[goal],
            y_m: observation[goal + 1],
            heading_error_rad: 0.0,
        };
        let found = search.search(&mut value, observation, &goal, switch.threshold);
        let twist = found.twist;
        let expected = [twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps];
        parity[0].add(twists[3 * index..].iter().zip(&expected));
        parity[1].add(values[index..].iter().zip(&[found.value]));
    }
    Ok(parity)
}

/// Observations of the value by robots on their way through the paper's test, and the twist of each.
fn scenes(bundle: &Bundle, robot: &Robot, layout: &Layout) -> Result<(Vec<f32>, Vec<f32>)> {
    let spec = &bundle.spec;
    let caster = RayCaster::new(&spec.rays);
    let mut history = FrameHistory::new(layout);
    let mut row = vec![0.0; layout.dim()];
    let (mut rows, mut twists) = (Vec::new(), Vec::new());
    let testbed = TestbedConfig::default();
    for index in 0..INPUTS as u64 {
        let mut stream = Pcg64::seed_from_u64(index);
        let scene = TestScene::new(0, index, &testbed)?;
        let x_m = stream.random_range(0.0..=scene.goal.position_world.x);
        let mut state = RobotState::zero(robot.num_joints(), robot.num_feet());
        state.position_world = Point3::new(x_m, scene.passage.y_m(x_m), 0.3);
        let yaw_rad = stream.random_range(-1.0..=1.0);
        state.orientation = UnitQuaternion::from_euler_angles(0.0, 0.0, yaw_rad);
        let [vx, vy, w] =
            [-0.5..=4.0, -1.0..=1.0, -3.0..=3.0].map(|range| stream.random_range(range));
        state.linear_velocity_base = Vector3::new(vx, vy, 0.0);
        state.angular_velocity_base = Vector3::new(0.0, 0.0, w);
        let (mut scan, mut previous) = (RayScan::default(), RayScan::default());
        caster.cast(&state, &scene.obstacles, 0.0, &mut scan);
        caster.cast(&state, &scene.obstacles[1..], 0.0, &mut previous);
        if spec.rays.previous_steps == 0 {
            previous.distance_m.clear();
        }
        layout.write(
            &ObservationInput {
                state: &state,
                foot_contact: &state.foot_contact,
                goal: GoalYaw::new(&state, &scene.goal),
                time_left_s: 5.0,
                twist: Twist::default(),
                previous_action: &state.joint_torque_nm,
                ray_distance_m: &scan.distance_m,
                previous_ray_distance_m: &previous.distance_m,
                reality: &[],
            },
            &mut row,
        );
        history.reset();
        history.complete(layout, &mut row);
        rows.extend_from_slice(&row);
        twists.extend([vx, vy, w]);
    }
    Ok((rows, twists))
}

/// The outputs of a model for inputs [rows, columns].
fn run(model: &[u8], inputs: &[(&[f32], usize)]) -> Result<Vec<Vec<f32>>> {
    let mut model = tract_onnx::onnx().model_for_read(&mut &*model)?;
    let mut tensors = tvec![];
    for (index, (values, columns)) in inputs.iter().enumerate() {
        let shape = [values.len() / columns, *columns];
        model.set_input_fact(index, f32::fact(shape).into())?;
        tensors.push(Tensor::from_shape(&shape, values)?.into());
    }
    let model = model.into_optimized()?.into_runnable()?;
    let outputs = model.run(tensors).context("tract cannot run the model")?;
    let values = |output: &TValue| Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec());
    outputs.iter().map(values).collect()
}
