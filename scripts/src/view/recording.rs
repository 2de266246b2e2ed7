//! A view as a recording of the viewer.

use anyhow::{Context, Result};
use policies::RaySpec;
use re_sdk::{RecordingStream, RecordingStreamBuilder};
#[cfg(feature = "train")]
use re_sdk_types::archetypes::Scalars;
use re_sdk_types::archetypes::TextLog;
use robots::Robot;
use sim::scene::Obstacle;

use super::{
    Destination, Frame, Subject, Surroundings,
    camera::CameraImages,
    layout::send_layout,
    output::Output,
    plots::Plots,
    rays::log_rays,
    robot::RobotEntities,
    scene::{Goal, has_moving, log_ground, log_obstacles},
};

/// Time between two scenes on the timeline, s.
const PAUSE_S: f64 = 1.0;
/// The timeline of learning curves.
#[cfg(feature = "train")]
const ITERATIONS: &str = "iteration";
/// The timeline.
pub(super) const TIMELINE: &str = "time";

/// Something that is shown in 3-D.
pub struct View {
    stream: RecordingStream,
    output: Output,
    robot: Robot,
    rays: RaySpec,
    entities: RobotEntities,
    plots: Plots,
    goal: Goal,
    camera: Option<CameraImages>,
    obstacles: Vec<Obstacle>,
    /// Some of them move.
    has_moving: bool,
    /// Time on the timeline at which the present scene started, s.
    start_s: f64,
    /// Time of the last frame, s.
    now_s: f64,
}

impl View {
    /// Opens a view that shows nothing but the robot.
    ///
    /// # Errors
    /// One line that says what is missing, and what would do instead.
    pub fn open(destination: &Destination, subject: &Subject<'_>) -> Result<Self> {
        let builder = RecordingStreamBuilder::new("abs").recording_name(subject.title.clone());
        let (stream, output) = Output::open(destination, builder)?;
        // Our own timeline is enough.
        stream.set_log_time_enabled(false);
        stream.set_log_tick_enabled(false);
        let entities = RobotEntities::new(subject.robot);
        let hidden = entities.log_links(&stream, subject.robot)?;
        let plots = Plots::new(subject.robot, subject.threshold);
        plots.log_names(&stream)?;
        send_layout(&stream, subject, &hidden)?;
        Ok(Self {
            stream,
            output,
            robot: subject.robot.clone(),
            rays: subject.rays.clone(),
            entities,
            plots,
            goal: Goal::default(),
            camera: subject.camera.map(CameraImages::new),
            obstacles: Vec::new(),
            has_moving: false,
            start_s: 0.0,
            now_s: 0.0,
        })
    }

    /// Puts the robot into another scene, a second after the last frame.
    ///
    /// # Errors
    /// When the recording does not take it.
    pub fn enter(&mut self, surroundings: &Surroundings<'_>) -> Result<()> {
        if self.now_s > 0.0 {
            self.start_s = self.now_s + PAUSE_S;
        }
        self.set_time(0.0);
        log_ground(&self.stream, surroundings.terrain)?;
        log_obstacles(&self.stream, surroundings.obstacles, 0.0)?;
        self.obstacles = surroundings.obstacles.to_vec();
        self.has_moving = has_moving(&self.obstacles);
        self.goal = Goal::new(surroundings.reach_m);
        self.entities.forget_path();
        Ok(())
    }

    /// Shows the next instant.
    ///
    /// # Errors
    /// When the recording does not take it.
    pub fn show(&mut self, frame: &Frame) -> Result<()> {
        self.set_time(frame.time_s);
        let stream = &self.stream;
        self.entities.log_state(stream, &self.robot, frame)?;
        log_rays(stream, &self.rays, frame)?;
        self.goal.log(stream, frame.goal_world)?;
        self.plots.log(stream, frame)?;
        if self.has_moving {
            log_obstacles(stream, &self.obstacles, frame.time_s as f32)?;
        }
        if let Some(camera) = &mut self.camera {
            camera.log(stream, &self.obstacles, frame)?;
        }
        Ok(())
    }

    /// Lets the next scene begin not before `time_s` on the timeline.
    pub fn wait_until(&mut self, time_s: f64) {
        self.now_s = self.now_s.max(time_s - PAUSE_S);
    }

    /// Plots learning curves at `time_s` on the timeline, and over iterations on one of their own.
    ///
    /// # Errors
    /// When the recording does not take it.
    #[cfg(feature = "train")]
    pub fn plot_curves(
        &mut self,
        time_s: f64,
        iteration: u64,
        curves: impl Iterator<Item = (String, f64)>,
    ) -> Result<()> {
        let stream = &self.stream;
        stream.set_duration_secs(TIMELINE, time_s);
        stream.set_time_sequence(ITERATIONS, iteration as i64);
        for (name, value) in curves {
            stream.log(format!("curves/{name}"), &Scalars::single(value))?;
        }
        stream.disable_timeline(ITERATIONS);
        Ok(())
    }

    /// Writes a line of text at the time of the last frame.
    ///
    /// # Errors
    /// When the recording does not take it.
    pub fn report(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.log("log", &TextLog::new(text))?)
    }

    fn set_time(&mut self, time_s: f64) {
        self.now_s = self.start_s + time_s;
        self.stream.set_duration_secs(TIMELINE, self.now_s);
    }

    /// Ends the view: a file is complete, a window stays.
    ///
    /// # Errors
    /// When it could not all be written or sent.
    pub fn close(self) -> Result<()> {
        let Self { stream, output, .. } = self;
        stream.flush_blocking().context("the view is incomplete")?;
        drop(stream);
        output.close()
    }

    /// As [`close`](Self::close), after the user has seen it: a page is there until Ctrl-C.
    ///
    /// # Errors
    /// As of [`close`](Self::close).
    pub fn finish(mut self) -> Result<()> {
        self.stream
            .flush_blocking()
            .context("the view is incomplete")?;
        self.output.wait()?;
        self.close()
    }
}
