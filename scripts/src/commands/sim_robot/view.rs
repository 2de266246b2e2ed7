//! `--view`: the simulated robot in 3-D.

use anyhow::Result;
use nalgebra::Point2;
use policies::RaySpec;
use robots::RobotState;

use super::Session;
use crate::view::{Destination, Feed, Frame, Pace, Subject, Surroundings, View};

/// Steps from one frame to the next.
pub const FRAME_STEPS: u64 = 20;

impl Session {
    /// Opens a view, and a thread that shows frames in it.
    pub(super) fn view(
        &self,
        destination: Option<&Destination>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Option<Feed<Frame>>> {
        let Some(destination) = destination else {
            return Ok(None);
        };
        let shown = Subject {
            title: format!("{}, simulated", self.robot.name),
            robot: &self.robot,
            rays: &RaySpec::default(),
            threshold: None,
            camera: None,
            pace: Pace::Live,
        };
        let mut view = View::open(destination, &shown)?;
        view.enter(surroundings)?;
        let feed = Feed::start(move |frames| {
            frames.iter().try_for_each(|frame| view.show(&frame))?;
            view.close()
        })?;
        Ok(Some(feed))
    }

    /// What is shown of the robot after so many steps.
    pub(super) fn frame(&self, step: u64, goal_world: Option<Point2<f32>>) -> Frame {
        let mut state = RobotState::zero(self.robot.num_joints(), self.robot.num_feet());
        (self.simulated.simulated().physics()).write_robot_state(&mut state);
        Frame {
            time_s: step as f64 * f64::from(self.simulated.step_s()),
            state,
            ray_distance_m: Vec::new(),
            goal_world,
            mode: self.simulated.run_state().to_owned().into(),
            value: None,
            twist: None,
        }
    }
}
