//! The one observation table. Simulator, controller, bundles and documentation all read what a policy observes, in
//! which order, unit and scale, from here.

use std::{fmt::Write as _, ops::Range};

use robots::{JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    command::{GoalYaw, Twist},
    rays::RaySpec,
};

/// Longest episode: the time left is observed as a share of it, s.
pub const MAX_EPISODE_S: f32 = 9.0;

/// Something that a policy observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// +1 for a foot with contact now or at the previous policy step, else -1.
    FootContact,
    /// Linear velocity of the base.
    LinearVelocityBase,
    /// Angular velocity of the base.
    AngularVelocityBase,
    /// Direction of gravity.
    ProjectedGravityBase,
    /// Goal position x, y.
    GoalPosition,
    /// Goal heading minus base heading.
    GoalHeading,
    /// Time left in the episode.
    TimeLeft,
    /// Twist command v_x, v_y, w_z.
    TwistCommand,
    /// Joint positions minus default joint positions.
    JointPosition,
    /// Joint velocities.
    JointVelocity,
    /// The clipped action of the previous policy step.
    PreviousAction,
    /// Base-2 logarithm of the ray distances.
    LogRays,
    /// The same of an earlier scan, as it would look from here had nothing moved since.
    EarlierLogRays,
}

/// How many numbers a quantity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The same for every robot.
    Fixed(usize),
    /// One per foot.
    PerFoot,
    /// One per joint.
    PerJoint,
    /// One per ray.
    PerRay,
}

/// A row of the observation table: observed value = scale * quantity in `unit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantitySpec {
    /// Name in bundles and in the documentation.
    pub name: &'static str,
    /// How many numbers.
    pub width: Width,
    /// Unit before scaling.
    pub unit: &'static str,
    /// Frame of reference, empty where there is none.
    pub frame: &'static str,
    /// Factor from `unit` to the observed value.
    pub scale: f32,
    /// Half-width of the uniform sensor noise in training, in `unit`.
    pub noise_half_width: f32,
}

impl Quantity {
    /// The row of this quantity (values of ABS, arXiv 2401.17583).
    pub const fn spec(self) -> QuantitySpec {
        use Width::{Fixed, PerFoot, PerJoint, PerRay};
        let (name, width, unit, frame, scale, noise_half_width) = match self {
            Self::FootContact => ("foot-contact", PerFoot, "±1", "", 1.0, 0.0),
            Self::LinearVelocityBase => ("linear-velocity-base", Fixed(3), "m/s", "base", 1.0, 0.0),
            Self::AngularVelocityBase => {
                ("angular-velocity-base", Fixed(3), "rad/s", "base", 1.0, 0.2)
            }
            Self::ProjectedGravityBase => {
                ("projected-gravity-base", Fixed(3), "1", "base", 1.0, 0.05)
            }
            Self::GoalPosition => ("goal-position", Fixed(2), "m", "yaw", 1.0, 0.0),
            Self::GoalHeading => ("goal-heading", Fixed(1), "rad", "yaw", 1.0, 0.0),
            Self::TimeLeft => ("time-left", Fixed(1), "s", "", 1.0 / MAX_EPISODE_S, 0.0),
            Self::TwistCommand => ("twist-command", Fixed(3), "m/s, rad/s", "base", 1.0, 0.0),
            Self::JointPosition => ("joint-position", PerJoint, "rad", "joint", 1.0, 0.01),
            Self::JointVelocity => ("joint-velocity", PerJoint, "rad/s", "joint", 0.2, 1.5),
            Self::PreviousAction => ("previous-action", PerJoint, "1", "joint", 1.0, 0.0),
            Self::LogRays => ("log-rays", PerRay, "log2(m)", "yaw", 1.0, 0.2),
            Self::EarlierLogRays => ("earlier-log-rays", PerRay, "log2(m)", "yaw", 1.0, 0.1),
        };
        QuantitySpec {
            name,
            width,
            unit,
            frame,
            scale,
            noise_half_width,
        }
    }
}

/// Everything that an observation is made of at one policy step. Slices have the lengths of the robot and rays that
/// the [`Layout`] was made for.
#[derive(Clone, Copy, Debug)]
pub struct ObservationInput<'a> {
    /// State of the robot; its `foot_contact` is not used, see below.
    pub state: &'a RobotState,
    /// Per foot: contact now or at the previous policy step. The caller forms the disjunction.
    pub foot_contact: &'a [bool],
    /// The goal in the yaw frame.
    pub goal: GoalYaw,
    /// Time left in the episode, s.
    pub time_left_s: f32,
    /// Twist command, for layouts that have one.
    pub twist: Twist,
    /// Clipped action of the previous policy step, zeros at the start.
    pub previous_action: &'a [f32],
    /// Ray distances, m; clipped to the range of the [`RaySpec`] here.
    pub ray_distance_m: &'a [f32],
    /// Ray distances of the earlier scan, m, for layouts that have one; clipped like the others.
    pub earlier_ray_distance_m: &'a [f32],
}

/// What one policy observes, in order, for one robot and one ray arrangement.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    rows: Vec<(Quantity, Range<usize>)>,
    dim: usize,
    default_position_rad: JointVec,
    rays: RaySpec,
}

impl Layout {
    /// A layout of any quantities.
    pub fn new(quantities: &[Quantity], robot: &Robot, rays: &RaySpec) -> Self {
        let mut dim = 0;
        let rows = quantities
            .iter()
            .map(|&quantity| {
                let width = match quantity.spec().width {
                    Width::Fixed(width) => width,
                    Width::PerFoot => robot.num_feet(),
                    Width::PerJoint => robot.num_joints(),
                    Width::PerRay => rays.count,
                };
                dim += width;
                (quantity, dim - width..dim)
            })
            .collect();
        Self {
            rows,
            dim,
            default_position_rad: robot.control.default_position_rad.iter().copied().collect(),
            rays: rays.clone(),
        }
    }

    /// Agile policy: 61 numbers for a quadruped with 12 joints and 11 rays (the paper's).
    pub fn agile(robot: &Robot, rays: &RaySpec) -> Self {
        use Quantity::*;
        Self::with_rays(
            &[
                FootContact,
                AngularVelocityBase,
                ProjectedGravityBase,
                GoalPosition,
                GoalHeading,
                TimeLeft,
                JointPosition,
                JointVelocity,
                PreviousAction,
            ],
            robot,
            rays,
        )
    }

    /// Recovery policy: 49 numbers for a quadruped (the paper's).
    pub fn recovery(robot: &Robot, rays: &RaySpec) -> Self {
        use Quantity::*;
        Self::new(
            &[
                FootContact,
                AngularVelocityBase,
                ProjectedGravityBase,
                TwistCommand,
                JointPosition,
                JointVelocity,
                PreviousAction,
            ],
            robot,
            rays,
        )
    }

    /// Reach-avoid value: 19 numbers with 11 rays (the paper's).
    pub fn reach_avoid(robot: &Robot, rays: &RaySpec) -> Self {
        use Quantity::*;
        Self::with_rays(
            &[LinearVelocityBase, AngularVelocityBase, GoalPosition],
            robot,
            rays,
        )
    }

    /// With the rays at the end, and those of an earlier scan if there is one.
    fn with_rays(quantities: &[Quantity], robot: &Robot, rays: &RaySpec) -> Self {
        let mut quantities = quantities.to_vec();
        quantities.push(Quantity::LogRays);
        if rays.earlier_steps > 0 {
            quantities.push(Quantity::EarlierLogRays);
        }
        Self::new(&quantities, robot, rays)
    }

    /// Length of an observation.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The quantities in order.
    pub fn quantities(&self) -> impl Iterator<Item = Quantity> + '_ {
        self.rows.iter().map(|(quantity, _)| *quantity)
    }

    /// Where a quantity stands in the observation, if it is observed.
    pub fn range(&self, quantity: Quantity) -> Option<Range<usize>> {
        self.rows
            .iter()
            .find(|(row, _)| *row == quantity)
            .map(|(_, range)| range.clone())
    }

    /// Writes one observation, without noise and without allocation.
    ///
    /// # Panics
    /// When `row` is not [`Layout::dim`] long or a slice of the input does not fit the robot or the rays.
    pub fn write(&self, input: &ObservationInput<'_>, row: &mut [f32]) {
        assert_eq!(row.len(), self.dim, "length of the observation row");
        let state = input.state;
        for (quantity, range) in &self.rows {
            let out = &mut row[range.clone()];
            match quantity {
                Quantity::FootContact => {
                    assert_eq!(out.len(), input.foot_contact.len(), "number of feet");
                    for (value, &contact) in out.iter_mut().zip(input.foot_contact) {
                        *value = if contact { 1.0 } else { -1.0 };
                    }
                }
                Quantity::LinearVelocityBase => {
                    out.copy_from_slice(state.linear_velocity_base.as_slice());
                }
                Quantity::AngularVelocityBase => {
                    out.copy_from_slice(state.angular_velocity_base.as_slice());
                }
                Quantity::ProjectedGravityBase => {
                    out.copy_from_slice(state.projected_gravity_base().as_slice());
                }
                Quantity::GoalPosition => out.copy_from_slice(&[input.goal.x_m, input.goal.y_m]),
                Quantity::GoalHeading => out[0] = input.goal.heading_error_rad,
                Quantity::TimeLeft => out[0] = input.time_left_s,
                Quantity::TwistCommand => {
                    let Twist {
                        vx_mps,
                        vy_mps,
                        yaw_rate_radps,
                    } = input.twist;
                    out.copy_from_slice(&[vx_mps, vy_mps, yaw_rate_radps]);
                }
                Quantity::JointPosition => {
                    out.copy_from_slice(&state.joint_position_rad);
                    for (value, default_rad) in out.iter_mut().zip(&self.default_position_rad) {
                        *value -= default_rad;
                    }
                }
                Quantity::JointVelocity => out.copy_from_slice(&state.joint_velocity_radps),
                Quantity::PreviousAction => out.copy_from_slice(input.previous_action),
                Quantity::LogRays => self.write_rays(input.ray_distance_m, out),
                Quantity::EarlierLogRays => self.write_rays(input.earlier_ray_distance_m, out),
            }
            let scale = quantity.spec().scale;
            if scale != 1.0 {
                for value in out {
                    *value *= scale;
                }
            }
        }
    }

    fn write_rays(&self, distance_m: &[f32], out: &mut [f32]) {
        assert_eq!(out.len(), distance_m.len(), "number of rays");
        for (value, distance_m) in out.iter_mut().zip(distance_m) {
            *value = distance_m.clamp(self.rays.min_m, self.rays.max_m).log2();
        }
    }

    /// For each element of this layout, which element of `other` is the same: of the same quantity, and a ray in the same direction.
    pub fn same_elements(&self, other: &Self) -> Vec<Option<usize>> {
        let mut same = Vec::with_capacity(self.dim);
        for (quantity, range) in &self.rows {
            let there = other.range(*quantity).unwrap_or(0..0);
            same.extend((0..range.len()).map(|index| match quantity {
                Quantity::LogRays | Quantity::EarlierLogRays => {
                    let angle_rad = self.rays.angle_rad(index);
                    let mut there = there.clone();
                    let start = there.start;
                    there.find(|element| other.rays.points_to(element - start, angle_rad))
                }
                _ if there.len() == range.len() => Some(there.start + index),
                _ => None,
            }));
        }
        same
    }

    /// The first quantity with an element that is NaN or infinite.
    pub fn first_not_finite(&self, row: &[f32]) -> Option<Quantity> {
        self.rows
            .iter()
            .find(|(_, range)| !row[range.clone()].iter().all(|value| value.is_finite()))
            .map(|(quantity, _)| *quantity)
    }

    /// Half-width of the uniform noise on each element of the observation, scaled like it.
    pub fn noise_half_width(&self) -> Vec<f32> {
        let mut noise = vec![0.0; self.dim];
        for (quantity, range) in &self.rows {
            let spec = quantity.spec();
            noise[range.clone()].fill(spec.noise_half_width * spec.scale);
        }
        noise
    }

    /// SHA-256 over everything that gives the numbers their meaning: quantities, widths, units, frames, scales, and
    /// the default joint positions and the rays where they are observed. Noise is not part of it.
    pub fn hash(&self) -> String {
        let mut text = String::new();
        for (quantity, range) in &self.rows {
            let QuantitySpec {
                name,
                unit,
                frame,
                scale,
                ..
            } = quantity.spec();
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}|{}|{unit}|{frame}|{scale:?}", range.len());
            let _ = match quantity {
                Quantity::JointPosition => write!(text, "|{:?}", self.default_position_rad),
                Quantity::LogRays => write!(text, "|{}", self.rays.meaning()),
                Quantity::EarlierLogRays => write!(text, "|{}", self.rays.earlier_steps),
                _ => Ok(()),
            };
            text.push('\n');
        }
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(text.as_bytes()) {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// The table in Markdown, as it stands in the documentation.
    pub fn describe(&self) -> String {
        let mut table = String::from(
            "| elements | quantity | unit | frame | scale | noise ± |\n|---|---|---|---|---|---|\n",
        );
        for (quantity, range) in &self.rows {
            let QuantitySpec {
                name,
                unit,
                frame,
                scale,
                noise_half_width,
                ..
            } = quantity.spec();
            let last = range.end - 1;
            let elements = if range.len() == 1 {
                format!("{last}")
            } else {
                format!("{}–{last}", range.start)
            };
            let _ = writeln!(
                table,
                "| {elements} | {name} | {unit} | {frame} | {scale:.4} | {noise_half_width} |"
            );
        }
        table
    }
}

#[cfg(test)]
mod tests;
