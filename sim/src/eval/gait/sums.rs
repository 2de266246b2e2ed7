//! Sums over steps and their means.

use nalgebra::Vector3;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;

/// Bins of touchdown speeds: 0.05 m/s, up to 12 m/s.
const SPEED_BIN_MPS: f32 = 0.05;
const SPEED_BINS: usize = 240;
/// Bins of heights: 0.5 mm, up to 12 cm.
const HEIGHT_BIN_M: f32 = 0.0005;
const HEIGHT_BINS: usize = 240;

/// What is summed up over the steps in which a robot moves; sums of episodes add up. Its size is fixed.
#[derive(Clone, Debug, PartialEq)]
pub struct GaitSums {
    pub(super) moving_s: f64,
    /// Positive work of the motors.
    pub(super) work_j: f64,
    /// Weight times the horizontal path.
    pub(super) weight_times_path_j: f64,
    pub(super) slip_mps: f64,
    pub(super) stance_steps: u64,
    pub(super) joint_steps: u64,
    pub(super) at_effort_limit: u64,
    pub(super) at_velocity_limit: u64,
    pub(super) changes: u64,
    pub(super) reversals: u64,
    pub(super) targets: u64,
    pub(super) targets_beyond: u64,
    pub(super) knee_targets: u64,
    pub(super) knee_targets_beyond: u64,
    touchdown_mps: f64,
    touchdown_down_mps: f64,
    touchdowns: u64,
    touchdown_speeds: Histogram,
    peak_heights: Histogram,
}

impl Default for GaitSums {
    fn default() -> Self {
        Self {
            moving_s: 0.0,
            work_j: 0.0,
            weight_times_path_j: 0.0,
            slip_mps: 0.0,
            stance_steps: 0,
            joint_steps: 0,
            at_effort_limit: 0,
            at_velocity_limit: 0,
            changes: 0,
            reversals: 0,
            targets: 0,
            targets_beyond: 0,
            knee_targets: 0,
            knee_targets_beyond: 0,
            touchdown_mps: 0.0,
            touchdown_down_mps: 0.0,
            touchdowns: 0,
            touchdown_speeds: Histogram::new(SPEED_BIN_MPS, SPEED_BINS),
            peak_heights: Histogram::new(HEIGHT_BIN_M, HEIGHT_BINS),
        }
    }
}

impl GaitSums {
    /// A swing has ended.
    pub(super) fn touch_down(&mut self, velocity_world: &Vector3<f32>, peak_m: f32) {
        let speed_mps = velocity_world.norm();
        self.touchdowns += 1;
        self.touchdown_down_mps += f64::from(-velocity_world.z);
        self.touchdown_mps += f64::from(speed_mps);
        self.touchdown_speeds.count(speed_mps);
        self.peak_heights.count(peak_m);
    }

    /// Adds those of another episode. In the same order the sums are the same, bit for bit.
    pub(in crate::eval) fn add(&mut self, other: &Self) {
        for (sum, value) in [
            (&mut self.moving_s, other.moving_s),
            (&mut self.work_j, other.work_j),
            (&mut self.weight_times_path_j, other.weight_times_path_j),
            (&mut self.slip_mps, other.slip_mps),
            (&mut self.touchdown_mps, other.touchdown_mps),
            (&mut self.touchdown_down_mps, other.touchdown_down_mps),
        ] {
            *sum += value;
        }
        for (sum, value) in [
            (&mut self.stance_steps, other.stance_steps),
            (&mut self.joint_steps, other.joint_steps),
            (&mut self.at_effort_limit, other.at_effort_limit),
            (&mut self.at_velocity_limit, other.at_velocity_limit),
            (&mut self.changes, other.changes),
            (&mut self.reversals, other.reversals),
            (&mut self.targets, other.targets),
            (&mut self.targets_beyond, other.targets_beyond),
            (&mut self.knee_targets, other.knee_targets),
            (&mut self.knee_targets_beyond, other.knee_targets_beyond),
            (&mut self.touchdowns, other.touchdowns),
        ] {
            *sum += value;
        }
        self.touchdown_speeds.add(&other.touchdown_speeds);
        self.peak_heights.add(&other.peak_heights);
    }

    /// Means and fractions; none if the robot never moved.
    pub fn report(&self) -> Option<GaitReport> {
        let fraction = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let per = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        (self.joint_steps > 0).then(|| GaitReport {
            moving_s: self.moving_s,
            touchdown_speed_mps: per(self.touchdown_mps, self.touchdowns),
            touchdown_vertical_mps: per(self.touchdown_down_mps, self.touchdowns),
            touchdown_speed_p95_mps: self.touchdown_speeds.percentile(0.95),
            swing_clearance_p5_m: self.peak_heights.percentile(0.05),
            slip_mps: per(self.slip_mps, self.stance_steps),
            target_reversal_fraction: fraction(self.reversals, self.changes),
            target_beyond_limit_fraction: fraction(self.targets_beyond, self.targets),
            knee_target_beyond_limit_fraction: fraction(
                self.knee_targets_beyond,
                self.knee_targets,
            ),
            effort_limit_fraction: fraction(self.at_effort_limit, self.joint_steps),
            velocity_limit_fraction: fraction(self.at_velocity_limit, self.joint_steps),
            mechanical_power_w: self.work_j / self.moving_s,
            cost_of_transport: self.work_j / self.weight_times_path_j,
        })
    }
}

/// What a gait costs motors and floor, measured after every physics step in which the base is faster than 0.5 m/s over the
/// ground.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GaitReport {
    /// Time over which it was measured, s.
    pub moving_s: f64,
    /// Mean speed of a foot's lowest point after the last physics step before it touches the ground, in all directions, m/s.
    /// A swing is at least 20 ms long.
    pub touchdown_speed_mps: Option<f64>,
    /// Mean downward part of these velocities, m/s.
    pub touchdown_vertical_mps: Option<f64>,
    /// 95th percentile of these speeds, m/s, exact to 0.05.
    pub touchdown_speed_p95_mps: Option<f64>,
    /// 5th percentile of the largest heights of a foot over the ground, one per swing, m, exact to 0.0005.
    pub swing_clearance_p5_m: Option<f64>,
    /// Mean horizontal speed of the lowest point of a foot in contact, m/s.
    pub slip_mps: Option<f64>,
    /// Fraction of the changes of a joint target that reverse the sign of the change before.
    pub target_reversal_fraction: f64,
    /// Fraction of the joint targets beyond the position limits.
    pub target_beyond_limit_fraction: f64,
    /// The same of the last joint of each leg.
    pub knee_target_beyond_limit_fraction: f64,
    /// Fraction of physics steps and joints with at least 99% of the effort limit.
    pub effort_limit_fraction: f64,
    /// Fraction of physics steps and joints with at least 99% of the velocity limit.
    pub velocity_limit_fraction: f64,
    /// Mean positive mechanical power of all motors, W: braking gives nothing back.
    pub mechanical_power_w: f64,
    /// This work over weight times path.
    pub cost_of_transport: f64,
}
