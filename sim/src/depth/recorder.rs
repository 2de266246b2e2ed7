//! Recording: the agile policy, alone or with the switch, runs about among objects while the camera looks.
//!
//! The motion comes from the batch engine, which is some eighty times faster than rapier. It knows no compounds, so the
//! robot avoids the upright cylinder around each object (walls and boxes as they are); camera and rays see the object
//! itself. The rays' height and the image depend on the motion, not on what it was that the robot avoided.

use std::ops::Range;

use controller::{ControlInput, Controller, ControllerConfig, ControllerError, Fault, Method};
use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use policies::{Bundle, RayScan, RaySpec, depth::DepthSamples};
use rand::RngExt;
use rayon::prelude::*;
use robots::Robot;
use serde::{Deserialize, Serialize};

use super::scene::DepthScene;
use crate::{
    engine::{self, Engine, EngineError, EngineKind, EpisodeStart, PhysicsConfig, PhysicsState},
    env::uniform,
    episode::SimLink,
    eval::touching_body,
    random::{Stream, stream},
    scene::ObjectKind,
    sensors::{DepthCamera, RayCaster, RealismConfig, RealismConfigError},
};

/// Robots that are stepped together.
const ROBOTS: usize = 64;
/// Nearer than this the goal is reached, m, and another one is set.
const REACHED_M: f32 = 0.5;
/// Longest time to a goal, s.
const LEG_S: f32 = 9.0;

/// Settings of a recording. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingConfig {
    /// Scenes to learn from, with the kinds of objects that may be learned; every second one with random compounds instead.
    pub train_scenes: usize,
    /// Scenes to test on; every second one with the kinds that are kept for the test, and no other.
    pub test_scenes: usize,
    /// Number of objects in a scene.
    pub objects: [usize; 2],
    /// Where objects stand and the robot runs, m.
    pub area_x_m: [f32; 2],
    /// Where objects stand and the robot runs, m.
    pub area_y_m: [f32; 2],
    /// How long the robot runs about in a scene, s.
    pub duration_s: f32,
    /// Time from one image to the next, s.
    pub interval_s: [f32; 2],
    /// Share of the scenes in which the switch acts; in the others the agile policy runs alone.
    pub abs_share: f32,
    /// Share of the scenes in which the camera has the errors of `realism`.
    pub realism_share: f32,
    /// Errors of the camera. Images are of the instant of the rays, so that a latency has no effect.
    pub realism: RealismConfig,
    /// Physics step, decimation, gravity, motors.
    pub physics: PhysicsConfig,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            train_scenes: 12288,
            test_scenes: 512,
            objects: [6, 24],
            area_x_m: [-1.0, 8.0],
            area_y_m: [-3.0, 3.0],
            duration_s: 9.0,
            interval_s: [0.4, 0.8],
            abs_share: 0.5,
            realism_share: 0.3,
            realism: RealismConfig::ordinary(),
            physics: PhysicsConfig::default(),
        }
    }
}

/// What images are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// To learn from.
    Train,
    /// To test on.
    Test,
}

impl Split {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// Why images cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A setting is out of range.
    #[error("`depth.recording.{key}` is {value}, must be {expected}")]
    Setting {
        /// Key in the configuration.
        key: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The camera's errors are impossible.
    #[error("depth.recording.realism: {0}")]
    Realism(#[from] RealismConfigError),
    /// A blind robot.
    #[error("robot `{0}` has no camera; add [camera] to its robot.toml")]
    NoCamera(String),
    /// The policies look where the camera does not.
    #[error(
        "the camera of robot `{0}` sees fewer than two of the rays that the policies see; record with another bundle or camera"
    )]
    NoRays(String),
    /// The bundle does not fit the robot.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The engine cannot hold the robot or a scene.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The policy cannot be run.
    #[error("scene {scene} at {time_s:.2} s: {fault}")]
    Fault {
        /// Number of the scene.
        scene: u64,
        /// Time in the scene, s.
        time_s: f32,
        /// What the controller said.
        fault: Fault,
    },
}

impl RecordingConfig {
    /// Number of scenes of a split.
    pub fn scenes(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train_scenes,
            Split::Test => self.test_scenes,
        }
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), RecordingError> {
        let check = |ok: bool, key, value: String, expected| match ok {
            true => Ok(()),
            false => Err(RecordingError::Setting {
                key,
                value,
                expected,
            }),
        };
        for (key, scenes) in [
            ("train_scenes", self.train_scenes),
            ("test_scenes", self.test_scenes),
        ] {
            let ok = scenes <= u32::MAX as usize;
            check(ok, key, scenes.to_string(), "at most 4294967295")?;
        }
        let [fewest, most] = self.objects;
        let ok = fewest <= most && most <= 64;
        check(
            ok,
            "objects",
            format!("{:?}", self.objects),
            "[low, high], at most 64",
        )?;
        for (key, [low, high]) in [
            ("area_x_m", self.area_x_m),
            ("area_y_m", self.area_y_m),
            ("interval_s", self.interval_s),
        ] {
            let ok = low <= high && low.is_finite() && high.is_finite();
            check(ok, key, format!("[{low}, {high}]"), "[low, high]")?;
        }
        for (key, value) in [
            ("interval_s", self.interval_s[0]),
            ("duration_s", self.duration_s),
            ("physics.step_s", self.physics.step_s),
        ] {
            let ok = value > 0.0 && value.is_finite();
            check(ok, key, value.to_string(), "positive")?;
        }
        let decimation = self.physics.decimation;
        check(
            decimation > 0,
            "physics.decimation",
            decimation.to_string(),
            "at least 1",
        )?;
        for (key, share) in [
            ("abs_share", self.abs_share),
            ("realism_share", self.realism_share),
        ] {
            let ok = (0.0..=1.0).contains(&share);
            check(ok, key, share.to_string(), "between 0 and 1")?;
        }
        Ok(self.realism.validate()?)
    }
}

/// Records what the camera of a robot sees while a bundle runs it.
pub struct DepthRecorder<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    config: &'a RecordingConfig,
    seed: u64,
    camera: DepthCamera,
    /// Those of the bundle that the camera sees.
    rays: RaySpec,
    agile: Controller,
    abs: Controller,
}

impl<'a> DepthRecorder<'a> {
    /// Checks the settings, and that the bundle fits the robot.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn new(
        robot: &'a Robot,
        bundle: &'a Bundle,
        config: &'a RecordingConfig,
        seed: u64,
    ) -> Result<Self, RecordingError> {
        config.validate()?;
        let camera = robot.camera.as_ref();
        let camera = camera.ok_or_else(|| RecordingError::NoCamera(robot.name.clone()))?;
        let rays = bundle
            .camera_rays(camera)
            .ok_or_else(|| RecordingError::NoRays(robot.name.clone()))?;
        let controller =
            |method| Controller::new(robot, bundle, method, &ControllerConfig::default());
        let agile = controller(Method::agile())?;
        Ok(Self {
            abs: match config.abs_share > 0.0 {
                true => controller(Method::Abs)?,
                false => agile.clone(),
            },
            agile,
            camera: DepthCamera::new(camera),
            rays,
            robot,
            bundle,
            config,
            seed,
        })
    }

    /// Records scenes on all threads of the current rayon pool, in order; each depends on the seed, the split and its
    /// number alone.
    ///
    /// # Errors
    /// A scene that the engine cannot hold, or a policy whose output is not finite.
    pub fn record(&self, split: Split, scenes: Range<u64>) -> Result<DepthSamples, RecordingError> {
        let scenes: Vec<u64> = scenes.collect();
        let recorded: Vec<DepthSamples> = scenes
            .par_chunks(ROBOTS)
            .map(|scenes| Batch::new(self, split, scenes)?.run())
            .collect::<Result<_, RecordingError>>()?;
        let mut all = self.no_samples();
        for samples in &recorded {
            all.append(samples);
        }
        Ok(all)
    }

    /// The rays that are recorded: those of the bundle that the camera sees.
    pub fn rays(&self) -> &RaySpec {
        &self.rays
    }

    fn no_samples(&self) -> DepthSamples {
        let size = self.camera.intrinsics();
        let size_px = [size.width_px, size.height_px];
        DepthSamples::new(size_px, self.rays.count)
    }
}

/// Robots of one engine, each in a scene of its own.
struct Batch<'a> {
    job: &'a DepthRecorder<'a>,
    engine: Box<dyn Engine>,
    seats: Vec<Seat>,
    physics: PhysicsState,
    caster: RayCaster,
    depth_m: Vec<f32>,
    scan: RayScan,
    hit: Vec<u8>,
}

/// A robot, its scene and what was seen of it.
struct Seat {
    number: u64,
    scene: DepthScene,
    stream: Stream,
    controller: Controller,
    link: SimLink,
    input: ControlInput,
    has_errors: bool,
    mounting: Isometry3<f32>,
    /// Time of the next image, s.
    next_image_s: f32,
    /// Time since the goal was set, s.
    leg_s: f32,
    samples: DepthSamples,
}

impl<'a> Batch<'a> {
    fn new(
        job: &'a DepthRecorder<'a>,
        split: Split,
        scenes: &[u64],
    ) -> Result<Self, RecordingError> {
        let physics = &job.config.physics;
        let rays = &job.rays;
        let mut batch = Self {
            engine: engine::build(EngineKind::Batch, job.robot, physics, scenes.len())?,
            seats: scenes
                .iter()
                .map(|number| Seat::new(job, split, *number))
                .collect(),
            physics: PhysicsState::zero(job.robot),
            caster: RayCaster::new(rays),
            depth_m: vec![0.0; job.camera.num_pixels()],
            scan: RayScan::clear(rays),
            hit: Vec::new(),
            job,
        };
        for index in 0..batch.seats.len() {
            batch.begin(index)?;
        }
        Ok(batch)
    }

    fn run(mut self) -> Result<DepthSamples, RecordingError> {
        let step_s = self.job.config.physics.policy_step_s();
        let steps = (self.job.config.duration_s / step_s).round() as usize;
        let mut targets_rad = Vec::new();
        for step in 0..steps {
            let time_s = step as f32 * step_s;
            targets_rad.clear();
            for seat in &mut self.seats {
                let Ok(()) = seat.controller.cycle(&mut seat.link, &mut seat.input);
                if let Some(fault) = seat.controller.fault() {
                    let scene = seat.number;
                    return Err(RecordingError::Fault {
                        scene,
                        time_s,
                        fault,
                    });
                }
                targets_rad.extend_from_slice(seat.link.target_rad());
            }
            self.engine.step(&targets_rad);
            for index in 0..self.seats.len() {
                self.follow(index, time_s + step_s, step_s)?;
            }
        }
        let mut all = self.job.no_samples();
        for seat in &self.seats {
            all.append(&seat.samples);
        }
        Ok(all)
    }

    /// After the physics: an image, if it is time; a new start after a collision, a new goal where the last was reached.
    fn follow(&mut self, index: usize, time_s: f32, step_s: f32) -> Result<(), RecordingError> {
        self.engine.read(index, &mut self.physics);
        let failed =
            !self.physics.is_finite() || touching_body(self.job.robot, &self.physics).is_some();
        if failed {
            return self.begin(index);
        }
        let seat = &mut self.seats[index];
        seat.leg_s += step_s;
        seat.link.sense(&self.physics, seat.leg_s);
        if time_s >= seat.next_image_s {
            seat.next_image_s = time_s + uniform(self.job.config.interval_s, &mut seat.stream);
            self.look(index);
        }
        let seat = &mut self.seats[index];
        let goal = seat.input.goal.position_world;
        let place = self.physics.position_world.xy();
        if (place - goal).norm() < REACHED_M || seat.leg_s > LEG_S - step_s {
            seat.set_goal(self.job.config, &self.physics);
        }
        Ok(())
    }

    /// Puts the robot somewhere else in its scene, standing.
    fn begin(&mut self, index: usize) -> Result<(), RecordingError> {
        let Self { job, seats, .. } = self;
        let seat = &mut seats[index];
        let place = seat.scene.free_place(job.config, &mut seat.stream);
        let standing = EpisodeStart::standing(job.robot);
        let height_m = standing.position_world.z;
        let yaw_rad = uniform(
            [-std::f32::consts::PI, std::f32::consts::PI],
            &mut seat.stream,
        );
        let start = EpisodeStart {
            obstacles: seat.scene.hulls.clone(),
            position_world: Point3::new(place.x, place.y, height_m),
            orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad),
            ..standing
        };
        self.engine.reset(index, &start)?;
        self.engine.read(index, &mut self.physics);
        seat.controller.reset();
        seat.set_goal(job.config, &self.physics);
        Ok(())
    }

    /// Takes an image, and the rays of the same instant.
    fn look(&mut self, index: usize) {
        let Self { job, seats, .. } = self;
        let seat = &mut seats[index];
        let base = Isometry3::from_parts(
            Translation3::from(self.physics.position_world),
            self.physics.orientation,
        );
        let mut pose = base * job.camera.pose_base();
        if seat.has_errors {
            pose *= seat.mounting;
        }
        job.camera
            .render(&pose, &seat.scene.parts, 0.0, &mut self.depth_m);
        if seat.has_errors {
            let columns = job.camera.intrinsics().width_px;
            job.config
                .realism
                .spoil(&mut self.depth_m, columns, &mut seat.stream);
        }
        self.physics.write_robot_state(1.0, &mut seat.input.state);
        let rays = &job.rays;
        let state = &seat.input.state;
        seat.scene
            .cast(&self.caster, rays, state, &mut self.scan, &mut self.hit);
        seat.samples.push(
            &self.depth_m,
            &state.projected_gravity_base(),
            &self.scan.distance_m,
            &self.hit,
            seat.number as u32,
            seat.has_errors,
        );
    }
}

impl Seat {
    fn new(job: &DepthRecorder<'_>, split: Split, number: u64) -> Self {
        let DepthRecorder { robot, config, .. } = job;
        // The scenes of the two splits have streams of their own.
        let index = match split {
            Split::Train => number,
            Split::Test => number | 1 << 63,
        };
        let mut stream = stream(job.seed, index);
        let kinds: &[ObjectKind] = match split {
            Split::Test if number % 2 == 1 => &ObjectKind::HELD_OUT,
            Split::Train if number % 2 == 1 => &[ObjectKind::Compound],
            _ => &ObjectKind::TRAINING,
        };
        let scene = DepthScene::draw(kinds, config, &mut stream);
        let with_switch = stream.random::<f32>() < config.abs_share;
        let controller = if with_switch { &job.abs } else { &job.agile };
        let rays = &job.bundle.spec.rays;
        Self {
            number,
            scene,
            controller: controller.clone(),
            // The margin of the paper's illusion.
            link: SimLink::new(robot, rays, Some(0.3)),
            input: ControlInput::new(robot, rays),
            has_errors: stream.random::<f32>() < config.realism_share,
            mounting: config.realism.draw_mounting(&mut stream),
            next_image_s: uniform([0.0, config.interval_s[1]], &mut stream),
            leg_s: 0.0,
            samples: job.no_samples(),
            stream,
        }
    }

    /// The next goal, from where the robot is.
    fn set_goal(&mut self, config: &RecordingConfig, physics: &PhysicsState) {
        let from = physics.position_world.xy();
        let goal = self.scene.goal(from, config, &mut self.stream);
        let seed = self.stream.random();
        self.link.reset(&self.scene.hulls, goal, LEG_S, seed);
        self.input.goal = goal;
        self.leg_s = 0.0;
        self.link.sense(physics, 0.0);
    }
}
