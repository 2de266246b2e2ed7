//! What is plotted over time.

use std::borrow::Cow;

use anyhow::Result;
use re_sdk::RecordingStream;
use re_sdk_types::archetypes::{Scalars, SeriesLines, StateChange};
use robots::Robot;

use super::Frame;

/// Plots of numbers and of states. A state is logged when it changes.
pub(super) struct Plots {
    threshold: Option<f32>,
    joints: Vec<String>,
    effort_limit_nm: Vec<f32>,
    feet: Vec<String>,
    mode: Option<Cow<'static, str>>,
    touching: Vec<Option<bool>>,
    has_twist: bool,
}

impl Plots {
    pub(super) fn new(robot: &Robot, threshold: Option<f32>) -> Self {
        Self {
            threshold,
            joints: robot.joints().map(|joint| joint.name.clone()).collect(),
            effort_limit_nm: robot.joints().map(|joint| joint.effort_limit_nm).collect(),
            feet: robot.legs.iter().map(|leg| leg.name.clone()).collect(),
            mode: None,
            touching: vec![None; robot.num_feet()],
            has_twist: false,
        }
    }

    /// Names of the lines, once.
    pub(super) fn log_names(&self, stream: &RecordingStream) -> Result<()> {
        let name = |plot: &str, names: &[&str]| {
            let lines = SeriesLines::new().with_names(names.iter().copied());
            stream.log_static(format!("plots/{plot}"), &lines)
        };
        name("value", &["value", "threshold"])?;
        let velocity = ["forward, m/s", "left, m/s", "turning, rad/s"];
        name("velocity", &velocity)?;
        name(
            "twist",
            &velocity
                .map(|axis| format!("wanted {axis}"))
                .each_ref()
                .map(String::as_str),
        )?;
        let joints: Vec<&str> = self.joints.iter().map(String::as_str).collect();
        Ok(name("torque", &joints)?)
    }

    pub(super) fn log(&mut self, stream: &RecordingStream, frame: &Frame) -> Result<()> {
        let state = &frame.state;
        if let Some(value) = frame.value {
            let values = [Some(value), self.threshold].into_iter().flatten();
            stream.log("plots/value", &Scalars::new(values.map(f64::from)))?;
        }
        let [linear, angular] = [state.linear_velocity_base, state.angular_velocity_base];
        let velocity = [linear.x, linear.y, angular.z].map(f64::from);
        stream.log("plots/velocity", &Scalars::new(velocity))?;
        match frame.twist {
            Some(twist) => {
                let twist = [twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps].map(f64::from);
                stream.log("plots/twist", &Scalars::new(twist))?;
            }
            // The line ends.
            None if self.has_twist => stream.log("plots/twist", &Scalars::clear_fields())?,
            None => {}
        }
        self.has_twist = frame.twist.is_some();
        let torques = state.joint_torque_nm.iter().zip(&self.effort_limit_nm);
        let torques = torques.map(|(torque, limit)| f64::from(torque / limit));
        stream.log("plots/torque", &Scalars::new(torques))?;
        self.log_states(stream, frame)
    }

    fn log_states(&mut self, stream: &RecordingStream, frame: &Frame) -> Result<()> {
        if self.mode.as_ref() != Some(&frame.mode) {
            stream.log("states/mode", &StateChange::single(&*frame.mode))?;
            self.mode = Some(frame.mode.clone());
        }
        let feet = self.feet.iter().zip(&mut self.touching);
        for ((foot, before), now) in feet.zip(&frame.state.foot_contact) {
            if *before != Some(*now) {
                // An empty state is a gap.
                let state = if *now { "ground" } else { "" };
                stream.log(format!("states/{foot}"), &StateChange::single(state))?;
                *before = Some(*now);
            }
        }
        Ok(())
    }
}
