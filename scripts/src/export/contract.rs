//! `contract.json`: what somebody needs to run exported networks who has nothing else.

use std::collections::BTreeMap;

use controller::{JointLimits, SafetyConfig};
use policies::{
    Bundle, RaySpec, TwistRange,
    spec::{NetworkSpec, Output, SpecError, SwitchSpec, role},
};
use robots::Robot;
use serde::Serialize;
use sim::{engine::PhysicsConfig, eval::EvalConfig};

use super::{
    networks::{ACTION, JOINT_TARGET, OBSERVATION, VALUE},
    twist_search::{START_TWIST, TWIST},
};

/// The order of a policy step.
const STEPS: &[&str] = &[
    "Every `policy_step_s`: measure, and compute the observation of each network that runs, term by term as in `networks`. Nothing else is normalized.",
    "Frames: base has x forward, y left, z up; yaw is the base turned level, with the heading of its x axis; rotations are right-handed.",
    "With `switch`: if `value` of reach-avoid is not below `threshold` (less `hysteresis`, if the recovery policy acted in the last step), run the twist search from the present v_x, v_y, w_z of the base. The recovery policy acts, with `twist` as its twist command, where the search lowers the value by `min_improvement` or more; else the agile policy.",
    "Run the policy. Its `action` is the previous action of the next step, its `joint_target_rad` the target of the joints.",
    "Limit the targets as in `safety`, and hold them for the policy step: torque = stiffness * (target - position) - damping * velocity, within plus and minus `effort_limit_nm`.",
];

/// All of it.
#[derive(Serialize)]
pub struct Contract<'a> {
    format: &'static str,
    version: u32,
    steps: &'static [&'static str],
    policy_step_s: f32,
    robot: RobotContract<'a>,
    rays: RaysContract<'a>,
    safety: SafetyContract,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<SwitchSpec>,
    networks: BTreeMap<&'a str, NetworkContract<'a>>,
    simulation: SimulationContract,
}

#[derive(Serialize)]
struct RobotContract<'a> {
    name: &'a str,
    /// In the order of every vector over legs.
    legs: Vec<&'a str>,
    /// In the order of every vector over joints.
    joints: Vec<JointContract<'a>>,
    /// Height of the base over the ground in the standing pose, m.
    standing_height_m: f32,
}

#[derive(Serialize)]
struct JointContract<'a> {
    name: &'a str,
    default_position_rad: f32,
    standing_position_rad: f32,
    stiffness_nm_per_rad: f32,
    damping_nms_per_rad: f32,
    effort_limit_nm: f32,
    velocity_limit_radps: f32,
    lower_limit_rad: f32,
    upper_limit_rad: f32,
}

#[derive(Serialize)]
struct RaysContract<'a> {
    how: &'static str,
    #[serde(flatten)]
    spec: &'a RaySpec,
    /// Direction of each ray.
    angle_rad: Vec<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    illusion_margin_m: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    illusion: Option<&'static str>,
}

#[derive(Serialize)]
struct SafetyContract {
    how: &'static str,
    lowest_target_rad: Vec<f32>,
    highest_target_rad: Vec<f32>,
    largest_change_rad: Vec<f32>,
}

#[derive(Serialize)]
struct NetworkContract<'a> {
    file: String,
    inputs: BTreeMap<&'static str, Input>,
    outputs: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_scale_rad: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_clip: Option<f32>,
    /// The twists that it was trained to follow, each [low, high], m/s and rad/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    twist_range: Option<TwistRange>,
    /// SHA-256 of the weights in the bundle, and where they come from.
    weights_sha256: &'a str,
    git_revision: &'a str,
    seed: u64,
    policy_steps: u64,
}

#[derive(Serialize)]
struct Input {
    width: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    terms: Vec<TermContract>,
}

/// Observed value = scale * quantity in `unit`, for each of the last `history` policy steps.
#[derive(Serialize)]
struct TermContract {
    term: &'static str,
    start: usize,
    width: usize,
    unit: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    frame: &'static str,
    scale: f32,
    how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<History>,
    /// What the model itself clips to plus and minus this.
    #[serde(skip_serializing_if = "Option::is_none")]
    clipped_inside: Option<f32>,
    /// Elements that the model itself takes for zero.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<usize>,
}

#[derive(Serialize)]
struct History {
    policy_steps: usize,
    how: &'static str,
}

/// What a simulation needs that is to agree with ours.
#[derive(Serialize)]
struct SimulationContract {
    file: &'static str,
    how: &'static str,
    /// Of a physics step; so many are a policy step.
    step_s: f32,
    decimation: usize,
    joint_damping_nms_per_rad: Vec<f32>,
    episode_s: f32,
    /// Largest distance to a goal that is reached.
    reach_m: f32,
}

impl<'a> Contract<'a> {
    /// Of these networks of a bundle, and the file of each.
    ///
    /// # Errors
    /// When the bundle lacks a network, or a term cannot be observed.
    pub fn new(
        bundle: &'a Bundle,
        robot: &'a Robot,
        files: &[(&'a str, String)],
        twist_search: Option<&str>,
    ) -> Result<Self, SpecError> {
        let spec = &bundle.spec;
        let (physics, eval) = (PhysicsConfig::default(), EvalConfig::default());
        let mut networks = BTreeMap::new();
        for (role, file) in files {
            networks.insert(*role, NetworkContract::new(bundle, role, file.clone())?);
        }
        if let Some(file) = twist_search {
            let mut search = NetworkContract::new(bundle, role::REACH_AVOID, file.to_owned())?;
            search.inputs.insert(
                START_TWIST,
                Input {
                    width: 3,
                    how: Some("v_x, v_y (m/s) and w_z (rad/s) where the search begins: the present ones of the base"),
                    terms: Vec::new(),
                },
            );
            search.outputs = BTreeMap::from([
                (
                    TWIST,
                    "v_x, v_y (m/s) and w_z (rad/s) that the recovery policy is to follow",
                ),
                (VALUE, "reach-avoid value with the robot at that twist"),
            ]);
            networks.insert("twist-search", search);
        }
        Ok(Self {
            format: "Agile But Safe policy",
            version: 1,
            steps: STEPS,
            policy_step_s: spec.policy_step_s,
            robot: RobotContract::new(robot),
            rays: RaysContract {
                how: "rays in the yaw frame, from right to left; they begin `origin_x_m` ahead of the base. Each is the horizontal distance of the nearest surface between `height_m` over the base in a sector of `width_rad` around its `angle_rad`, where these are 0 a line in the plane of the base. A ray that meets nothing within `max_m` has `max_m`",
                spec: &spec.rays,
                angle_rad: (0..spec.rays.count).map(|ray| spec.rays.angle_rad(ray)).collect(),
                illusion_margin_m: spec.illusion_margin_m,
                illusion: spec.illusion_margin_m.map(|_| {
                    "every ray longer than b = (horizontal distance to the goal + `illusion_margin_m`) is replaced by b + (length - b) * u, u drawn from [0, 1) for each ray and step"
                }),
            },
            safety: SafetyContract::new(robot, spec.policy_step_s),
            switch: twist_search.map(|_| bundle.switch()),
            networks,
            simulation: SimulationContract {
                file: super::ROBOT_FILE,
                how: "MJCF of the robot on flat ground, without motors. Each geometry of the robot is named LINK CLASS NUMBER, and its class is base, thigh, calf or foot. A collision is a contact of more than 1 N on any but a foot, or a force on a foot whose horizontal part exceeds twice the vertical part by more than 10 N. The goal is reached when the episode ends within `reach_m` of it without a collision",
                step_s: physics.step_s,
                decimation: physics.decimation,
                joint_damping_nms_per_rad: robot.joints().map(|joint| joint.damping_nms).collect(),
                episode_s: eval.episode_s,
                reach_m: eval.reach_m,
            },
        })
    }
}

impl<'a> RobotContract<'a> {
    fn new(robot: &'a Robot) -> Self {
        let control = &robot.control;
        let joints = robot.joints().enumerate();
        Self {
            name: &robot.name,
            legs: robot.legs.iter().map(|leg| leg.name.as_str()).collect(),
            joints: joints
                .map(|(index, joint)| JointContract {
                    name: &joint.name,
                    default_position_rad: control.default_position_rad[index],
                    standing_position_rad: control.standing_position_rad[index],
                    stiffness_nm_per_rad: control.stiffness[index],
                    damping_nms_per_rad: control.damping[index],
                    effort_limit_nm: joint.effort_limit_nm,
                    velocity_limit_radps: joint.velocity_limit_radps,
                    lower_limit_rad: joint.lower_rad,
                    upper_limit_rad: joint.upper_rad,
                })
                .collect(),
            standing_height_m: robot.height_over_feet_m(&control.standing_position_rad),
        }
    }
}

impl SafetyContract {
    fn new(robot: &Robot, policy_step_s: f32) -> Self {
        let limits: Vec<_> = SafetyConfig::default()
            .joint_limits(robot, policy_step_s)
            .collect();
        let each = |of: fn(&JointLimits) -> f32| limits.iter().map(of).collect();
        Self {
            how: "clamp each target to these limits, then its change since the last one (at first, since the measured position) to plus and minus `largest_change_rad`. On a robot, stop when an observation or action is not finite",
            lowest_target_rad: each(|limits| limits.lower_rad),
            highest_target_rad: each(|limits| limits.upper_rad),
            largest_change_rad: each(|limits| limits.change_rad),
        }
    }
}

impl<'a> NetworkContract<'a> {
    fn new(bundle: &'a Bundle, role: &str, file: String) -> Result<Self, SpecError> {
        let network = bundle.spec.network(role)?;
        let (outputs, action) = match network.output {
            Output::Actions { scale, clip, .. } => (
                BTreeMap::from([
                    (
                        ACTION,
                        "one per joint, clipped to plus and minus `action_clip`",
                    ),
                    (
                        JOINT_TARGET,
                        "one per joint: default_position_rad + action_scale_rad * action",
                    ),
                ]),
                Some((scale, clip)),
            ),
            Output::Value { .. } | Output::Rays { .. } => (
                BTreeMap::from([(
                    VALUE,
                    "below 0: from here the agile policy reaches its goal without a collision",
                )]),
                None,
            ),
        };
        let provenance = &network.provenance;
        Ok(Self {
            file,
            inputs: BTreeMap::from([(OBSERVATION, observation(bundle, role, network)?)]),
            outputs,
            action_scale_rad: action.map(|(scale, _)| scale),
            action_clip: action.map(|(_, clip)| clip),
            twist_range: network.twist_range,
            weights_sha256: &network.sha256,
            git_revision: &provenance.git_revision,
            seed: provenance.seed,
            policy_steps: provenance.policy_steps,
        })
    }
}

/// The terms of an observation, each with its place.
fn observation(bundle: &Bundle, role: &str, network: &NetworkSpec) -> Result<Input, SpecError> {
    let layout = bundle.spec.layout(role)?;
    let masked: Vec<usize> = layout.masked().collect();
    let terms = network.observations.iter().map(|term| {
        let quantity = term.term.spec();
        let range = layout.range(term.term).unwrap_or(0..0);
        let start = range.end - range.len() * term.history;
        let ignored = masked.iter().copied();
        TermContract {
            term: quantity.name,
            start,
            width: range.end - start,
            unit: quantity.unit,
            frame: quantity.frame,
            scale: term.scale.unwrap_or(quantity.scale),
            how: term.term.how(),
            history: (term.history > 1).then_some(History {
                policy_steps: term.history,
                how: "the last policy steps, oldest first; at the start all are the first one",
            }),
            clipped_inside: term.clip,
            ignored: ignored
                .filter(|at| (start..range.end).contains(at))
                .collect(),
        }
    });
    Ok(Input {
        width: layout.dim(),
        how: None,
        terms: terms.collect(),
    })
}
