//! The 3-D view: robot, scene, rays and plots over time in the viewer rerun, in a window, a browser or a file.

#[cfg(not(feature = "viewer"))]
mod absent;
#[cfg(feature = "viewer")]
mod camera;
mod destination;
mod feed;
#[cfg(feature = "viewer")]
mod layout;
#[cfg(feature = "viewer")]
mod output;
#[cfg(feature = "viewer")]
mod plots;
#[cfg(feature = "viewer")]
mod rays;
#[cfg(feature = "viewer")]
mod recording;
#[cfg(feature = "viewer")]
mod robot;
#[cfg(feature = "viewer")]
mod scene;
mod status;
#[cfg(all(test, feature = "viewer"))]
mod tests;
#[cfg(feature = "train")]
mod training;
#[cfg(feature = "viewer")]
mod web;

use std::borrow::Cow;

use anyhow::Result;
use controller::Mode;
use nalgebra::Point2;
use policies::{RaySpec, Twist};
use robots::{Camera, Robot, RobotState};
use sim::{
    eval::{EpisodeRecord, TraceStep},
    scene::{Obstacle, Terrain},
};

#[cfg(not(feature = "viewer"))]
pub use self::absent::{View, open_file};
#[cfg(feature = "train")]
pub use self::training::TrainingView;
pub use self::{
    destination::{Destination, ViewArgs},
    feed::Feed,
    status::StatusView,
};
#[cfg(feature = "viewer")]
pub use self::{output::open_file, recording::View};

/// What is the same in all that a view shows.
pub struct Subject<'a> {
    /// Name of the recording.
    pub title: String,
    /// The robot.
    pub robot: &'a Robot,
    /// Where the rays point.
    pub rays: &'a RaySpec,
    /// Values below this are safe; none without a switch.
    pub threshold: Option<f32>,
    /// The depth camera, where rays come from its images and it is known what it sees.
    pub camera: Option<&'a Camera>,
    /// When it is shown.
    pub pace: Pace,
}

/// When something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Afterwards, again and again.
    Recorded,
    /// While it happens.
    Live,
    /// Episodes of a training, each after it was simulated, with learning curves.
    Training,
}

/// The scene around the robot.
pub struct Surroundings<'a> {
    /// Obstacles at the start, with their velocities.
    pub obstacles: &'a [Obstacle],
    /// Ground.
    pub terrain: &'a Terrain,
    /// Distance from the goal that counts as reached, m.
    pub reach_m: f32,
}

/// What is known at one instant.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Time since the surroundings are as they are, s.
    pub time_s: f64,
    /// State of the robot.
    pub state: RobotState,
    /// Ray distances, m; empty without a scan.
    pub ray_distance_m: Vec<f32>,
    /// Where the robot runs to, world frame, m.
    pub goal_world: Option<Point2<f32>>,
    /// What decides its commands.
    pub mode: Cow<'static, str>,
    /// Reach-avoid value.
    pub value: Option<f32>,
    /// Twist that it is to follow.
    pub twist: Option<Twist>,
}

impl View {
    /// Shows an episode that was traced, after all that was shown before.
    ///
    /// # Errors
    /// When the recording does not take it.
    pub fn show_episode(
        &mut self,
        record: &EpisodeRecord,
        reach_m: f32,
        caption: &str,
    ) -> Result<()> {
        self.enter(&Surroundings {
            obstacles: &record.scene.obstacles,
            terrain: &record.scene.terrain,
            reach_m,
        })?;
        for step in &record.trace {
            self.show(&Frame::of_step(step, record.scene.goal.position_world))?;
        }
        self.report(caption)
    }
}

impl Frame {
    fn of_step(step: &TraceStep, goal_world: Point2<f32>) -> Self {
        Self {
            time_s: step.time_s.into(),
            state: step.state.clone(),
            ray_distance_m: step.ray_distance_m.clone(),
            goal_world: Some(goal_world),
            mode: mode_name(step.mode).into(),
            value: step.value,
            twist: step.twist,
        }
    }
}

/// As plots and logs say it.
fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Agile => "agile",
        Mode::Recovery => "recovery",
        Mode::Fallback => "fallback",
    }
}
