//! Every policy step of an episode as CSV: the state of the robot and the decision of the switch.

use anyhow::Result;
use controller::Mode;
use serde::Serialize;
use sim::eval::EpisodeRecord;

/// Units are in the names; positions are of the base in the world frame.
#[derive(Serialize)]
struct Row {
    episode: u64,
    time_s: f32,
    x_m: f32,
    y_m: f32,
    yaw_rad: f32,
    speed_mps: f32,
    goal_distance_m: f32,
    mode: Mode,
    /// Reach-avoid value, for methods that have one.
    value: Option<f32>,
    /// The twist that the recovery policy followed.
    twist_vx_mps: Option<f32>,
    twist_vy_mps: Option<f32>,
    twist_yaw_rate_radps: Option<f32>,
}

/// One row per policy step of traced episodes.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn steps_csv(records: &[EpisodeRecord]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        // The last entry of a trace is the final state, without a decision.
        for step in record.trace.iter().take(record.steps) {
            writer.serialize(Row {
                episode: record.scene.index,
                time_s: step.time_s,
                x_m: step.state.position_world.x,
                y_m: step.state.position_world.y,
                yaw_rad: step.yaw_rad,
                speed_mps: step.speed_mps,
                goal_distance_m: step.goal_distance_m,
                mode: step.mode,
                value: step.value,
                twist_vx_mps: step.twist.map(|twist| twist.vx_mps),
                twist_vy_mps: step.twist.map(|twist| twist.vy_mps),
                twist_yaw_rate_radps: step.twist.map(|twist| twist.yaw_rate_radps),
            })?;
        }
    }
    Ok(writer.into_inner()?)
}
