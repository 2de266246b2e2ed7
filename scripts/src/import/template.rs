//! A contract to start from: all keys, with their meaning.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use robots::Robot;

use super::{
    contract::{Contract, Numbers, POLICY_STEP_S},
    network::name,
    order::Order,
};
use policies::{TwistRange, policy::ACTION_CLIP};

/// The text of a contract with all keys. What `contract` does not say is as in the folder of its robot.
///
/// # Errors
/// When there is no such robot, or the contract does not fit it.
pub fn template(contract: &Contract) -> Result<String> {
    let robot_name = contract.robot.as_deref().context("no robot")?;
    let robot = Robot::load(robot_name)?;
    let order = Order::new(contract, &robot)?;
    let control = &robot.control;
    let per_joint = |given: &Option<Numbers>, own: &[f32]| match given {
        Some(Numbers::All(number)) => number.to_string(),
        Some(Numbers::Each(numbers)) => list(numbers),
        None => list(shortest(own, &robot, &order)),
    };
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line(
        "# What a network from elsewhere means, for `abs import`. A key that is left out is as in the robot's folder.",
    );
    line(&format!("robot = {robot_name:?}"));
    line("# What it is in the bundle: agile runs to a goal, recovery and velocity track twists.");
    line(&format!(
        "role = {:?}",
        contract.role.as_deref().unwrap_or_default()
    ));
    line(&format!(
        "policy_step_s = {}",
        contract.policy_step_s.unwrap_or(POLICY_STEP_S)
    ));
    line("");
    line(
        "# The order in which the network has legs (vectors over feet) and joints (vectors over joints), here and in its observation.",
    );
    let legs = in_network_order(&order.feet, robot.legs.iter().map(|leg| &leg.name));
    line(&format!("legs = [{}]", legs.join(", ")));
    let joints = in_network_order(&order.joints, robot.joints().map(|joint| &joint.name));
    line("joints = [");
    for joints in joints.chunks(robot.num_joints().div_ceil(robot.num_feet())) {
        line(&format!("    {},", joints.join(", ")));
    }
    line("]");
    line("");
    line(
        "# Gains and default position: one number, one per joint of a leg, or one per joint in the order of `joints`.",
    );
    let own = &control.default_position_rad;
    let default_rad = per_joint(&contract.default_position_rad, own);
    line(&format!("default_position_rad = {default_rad}"));
    let stiffness = per_joint(&contract.stiffness, &control.stiffness);
    line(&format!("stiffness = {stiffness}"));
    let damping = per_joint(&contract.damping, &control.damping);
    line(&format!("damping = {damping}"));
    line("");
    line(
        "# Joint target = default position + action_scale * action, in rad; the action is clipped to +-action_clip.",
    );
    line(&format!(
        "action_scale = {}",
        match &contract.action_scale {
            Some(Numbers::Each(numbers)) => list(numbers),
            Some(Numbers::All(number)) => number.to_string(),
            None => control.action_scale.to_string(),
        }
    ));
    line(&format!(
        "action_clip = {}",
        contract.action_clip.unwrap_or(ACTION_CLIP)
    ));
    line("");
    line(
        "# identity, elu, relu, silu or tanh. An ONNX model tells what is between its layers; a safetensors file does not.",
    );
    line(&match contract.activation {
        Some(activation) => format!("activation = {:?}", name(activation)),
        None => "# activation = \"elu\"".to_owned(),
    });
    line("# What the environment, not the model, does to the output of the last layer.");
    line(&match contract.output_activation {
        Some(activation) => format!("output_activation = {:?}", name(activation)),
        None => "# output_activation = \"tanh\"".to_owned(),
    });
    line(
        "# Which output of an ONNX model is the action, or which layers of a safetensors file are the policy, if there are several.",
    );
    line("# output = \"actions\"");
    line("# layers = \"actor\"");
    line("");
    line(
        "# What the network observes, in order: clip(scale * quantity). `scale` is one number, or one for each of the term; `clip`, `history` (policy steps)",
    );
    line(
        "# and `mask` ([true, false, ...]) may be left out. Quantities are in the base frame, in m, rad and s:",
    );
    line(
        "#   linear-velocity-base, angular-velocity-base, projected-gravity-base (3 each), twist-command (v_x, v_y, w_z),",
    );
    line(
        "#   joint-position (minus the default position), joint-velocity, previous-action (one per joint), foot-contact (+-1 per foot),",
    );
    line(
        "#   goal-position (2), goal-heading (1), goal-polar (2), time-left (1), log-rays (log2 of the distance of each ray).",
    );
    line("observations = [");
    for term in contract.observations.iter().flatten() {
        let scale = match &term.scale {
            Numbers::All(scale) => scale.to_string(),
            Numbers::Each(scales) => list(scales),
        };
        let quantity = term.term.spec().name;
        line(&format!(
            "    {{ term = {quantity:?}, scale = {} }},",
            decimal(&scale)
        ));
    }
    line("]");
    line(
        "# Several policy steps: \"terms\" has all steps of a term together, \"frames\" all terms of a step; the present step is last or first.",
    );
    line("stacking = \"terms\"");
    line("history_order = \"oldest-first\"");
    line("");
    line(
        "# (observation - mean) / (std + epsilon), unless the model does it. In a safetensors file they may be tensors, e.g. \"normalizer.mean\".",
    );
    line("# [normalization]");
    line("# mean = [0.0, 0.0]");
    line("# std = [1.0, 1.0]");
    line("# epsilon = 0.01");
    line("");
    line(
        "# The twists [low, high] that the policy was trained to follow, in m/s and rad/s; an operator commands no others.",
    );
    let (mark, range) = match contract.twist_range {
        Some(range) => ("", range),
        None => ("# ", TwistRange::default()),
    };
    line(&format!("{mark}[twist_range]"));
    for of_direction in toml::to_string(&range)?.lines() {
        line(&format!("{mark}{of_direction}"));
    }
    if let Some(rays) = &contract.rays {
        line("");
        line("[rays]");
        let _ = write!(text, "{}", toml::to_string(rays)?);
    }
    Ok(text)
}

/// Quoted names, which are in the robot's order, in that of the network.
fn in_network_order<'a>(places: &[usize], names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<(usize, String)> = places
        .iter()
        .copied()
        .zip(names.map(|name| format!("{name:?}")))
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// The numbers of one leg where all legs have the same, else those of all joints.
fn shortest(own: &[f32], robot: &Robot, order: &Order) -> Vec<f32> {
    let leg = robot.num_joints() / robot.num_feet();
    if own.chunks(leg).all(|numbers| *numbers == own[..leg]) {
        return own[..leg].to_vec();
    }
    let mut numbers: Vec<(usize, f32)> = order
        .joints
        .iter()
        .copied()
        .zip(own.iter().copied())
        .collect();
    numbers.sort_by_key(|(place, _)| *place);
    numbers.into_iter().map(|(_, number)| number).collect()
}

fn list(numbers: impl AsRef<[f32]>) -> String {
    let numbers: Vec<String> = numbers
        .as_ref()
        .iter()
        .map(|number| decimal(&number.to_string()))
        .collect();
    format!("[{}]", numbers.join(", "))
}

/// A number as TOML reads float64: with a decimal point.
fn decimal(number: &str) -> String {
    match number.parse::<i64>() {
        Ok(_) => format!("{number}.0"),
        Err(_) => number.to_owned(),
    }
}
