//! Recording: the agile policy, alone or with the switch, runs about among objects while the camera takes images.
//!
//! The motion comes from the batch engine, which is some eighty times faster than rapier. It knows no compounds, so the
//! robot avoids the upright cylinder around each object (walls and boxes as they are); camera and rays see the object
//! itself. The rays' height and the image depend on the motion, not on what it was that the robot avoided.

use std::{f32::consts::PI, ops::Range};

use controller::{Controller, ControllerConfig, Method};
use nalgebra::{Isometry3, Point2, Point3, Translation3, UnitQuaternion, Vector3};
use policies::{Bundle, Goal, RayScan, RaySpec, depth::DepthSamples};
use rand::RngExt;
use robots::Robot;

use super::{
    config::{RecordingConfig, RecordingError, Split},
    scene::DepthScene,
};
use crate::{
    engine::{EngineKind, EpisodeStart, PhysicsConfig, PhysicsState},
    episode::{EPISODE_S, Next, Observer, Plan, Runner, SimLink, Slot, SlotStart, Step},
    random::{Stream, stream, uniform},
    reality::RealityConfig,
    scene::ObjectKind,
    sensors::{DepthCamera, RayCaster},
};

/// Nearer than this the goal is reached, m, and another one is set.
const REACHED_M: f32 = 0.5;

/// Records what the camera of a robot sees while a bundle runs it.
pub struct DepthRecorder<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    config: &'a RecordingConfig,
    physics: &'a PhysicsConfig,
    seed: u64,
    reality: RealityConfig,
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
        physics: &'a PhysicsConfig,
        seed: u64,
    ) -> Result<Self, RecordingError> {
        config.validate(physics)?;
        let camera = robot.camera.as_ref();
        let camera = camera.ok_or_else(|| RecordingError::NoCamera(robot.name.clone()))?;
        let rays = bundle
            .camera_rays(camera)
            .ok_or_else(|| RecordingError::NoRays(robot.name.clone()))?;
        let controller =
            |method| Controller::new(robot, bundle, method, &ControllerConfig::default());
        let agile = controller(Method::agile())?;
        Ok(Self {
            abs: match config.abs_fraction > 0.0 {
                true => controller(Method::Abs)?,
                false => agile.clone(),
            },
            agile,
            camera: DepthCamera::new(camera),
            rays,
            robot,
            bundle,
            config,
            physics,
            seed,
            reality: RealityConfig::default(),
        })
    }

    /// On robots that differ from the simulation. Rays and images stay true.
    ///
    /// # Errors
    /// The first range that is wrong.
    pub fn with_reality(mut self, reality: &RealityConfig) -> Result<Self, RecordingError> {
        reality.validate()?;
        self.reality.clone_from(reality);
        Ok(self)
    }

    /// Records scenes on all threads of the current rayon pool, in order; each depends on the seed, the split and its
    /// number alone.
    ///
    /// # Errors
    /// A scene that the engine cannot hold, or a policy whose output is not finite.
    pub fn record(&self, split: Split, scenes: Range<u64>) -> Result<DepthSamples, RecordingError> {
        let DepthRecorder {
            robot,
            bundle,
            physics,
            ..
        } = *self;
        let rays = &bundle.spec.rays;
        let runner = Runner {
            robot,
            engine: EngineKind::Batch,
            physics,
            rays,
            link: SimLink::new(robot, rays, bundle.spec.illusion_margin_m).with_reality(
                &self.reality,
                robot,
                rays,
            ),
        };
        let plan = Recording {
            recorder: self,
            split,
        };
        let observe = |_: &SceneEpisode| ImageObserver {
            recorder: self,
            caster: RayCaster::new(&self.rays),
            depth_m: vec![0.0; self.camera.num_pixels()],
            scan: RayScan::clear(&self.rays),
            hit: Vec::new(),
            samples: self.no_samples(),
        };
        let numbers: Vec<u64> = scenes.collect();
        let mut all = self.no_samples();
        for samples in runner.run(&plan, &numbers, observe, || ())? {
            all.append(&samples);
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

/// The scenes of a split to record.
struct Recording<'a> {
    recorder: &'a DepthRecorder<'a>,
    split: Split,
}

/// A scene in which the robot runs from goal to goal.
struct SceneEpisode {
    number: u64,
    scene: DepthScene,
    stream: Stream,
    with_switch: bool,
    has_errors: bool,
    mounting: Isometry3<f32>,
    /// Policy steps in the scene.
    steps: usize,
    /// Time of the next image, s.
    next_image_s: f32,
    goal: Goal,
}

impl Plan for Recording<'_> {
    type Episode = SceneEpisode;
    type Error = RecordingError;

    fn begin(&self, number: u64) -> Result<(SceneEpisode, SlotStart), RecordingError> {
        let DepthRecorder { config, seed, .. } = self.recorder;
        // The scenes of the two splits have streams of their own.
        let index = match self.split {
            Split::Train => number,
            Split::Test => number | 1 << 63,
        };
        let mut stream = stream(*seed, index);
        let kinds: &[ObjectKind] = match self.split {
            Split::Test if number % 2 == 1 => &ObjectKind::HELD_OUT,
            Split::Train if number % 2 == 1 => &[ObjectKind::Compound],
            _ => &ObjectKind::TRAINING,
        };
        let scene = DepthScene::draw(kinds, config, &mut stream);
        let mut episode = SceneEpisode {
            number,
            scene,
            with_switch: stream.random::<f32>() < config.abs_fraction,
            has_errors: stream.random::<f32>() < config.realism_fraction,
            mounting: config.realism.draw_mounting(&mut stream),
            steps: 0,
            next_image_s: uniform([0.0, config.interval_s[1]], &mut stream),
            goal: Goal {
                position_world: Point2::origin(),
                heading_rad: 0.0,
            },
            stream,
        };
        let start = episode.draw_start(self.recorder);
        Ok((episode, start))
    }

    fn controller(&self, episode: &SceneEpisode) -> &Controller {
        match episode.with_switch {
            true => &self.recorder.abs,
            false => &self.recorder.agile,
        }
    }

    /// Summed up, as in the recordings that the shipped networks learned from.
    fn time_s(&self, steps: usize, policy_step_s: f32) -> f32 {
        (0..steps).fold(0.0, |time_s, _| time_s + policy_step_s)
    }

    fn next(&self, episode: &mut SceneEpisode, step: &Step<'_>) -> Next {
        let DepthRecorder {
            config, physics, ..
        } = self.recorder;
        let step_s = physics.policy_step_s();
        if episode.steps >= (config.duration_s / step_s).round() as usize {
            return Next::End;
        }
        if step.failed || step.collided {
            return Next::Start {
                start: Box::new(episode.draw_start(self.recorder)),
                reset_controller: true,
            };
        }
        let place = step.physics.position_world.xy();
        let is_reached = (place - episode.goal.position_world).norm() < REACHED_M;
        if is_reached || step.time_s > EPISODE_S - step_s {
            let seed = episode.draw_goal(place, config);
            return Next::Goal(episode.goal, seed);
        }
        Next::Continue
    }
}

impl SceneEpisode {
    /// Puts the robot somewhere in its scene, standing.
    fn draw_start(&mut self, recorder: &DepthRecorder<'_>) -> SlotStart {
        let DepthRecorder {
            robot,
            config,
            physics,
            reality,
            ..
        } = recorder;
        let place = self.scene.free_place(config, &mut self.stream);
        let standing = EpisodeStart::standing(robot);
        let yaw_rad = uniform([-PI, PI], &mut self.stream);
        let noise_seed = self.draw_goal(place, config);
        let mut dynamics = standing.dynamics.clone();
        reality.change_dynamics(robot, &mut dynamics, physics.step_s, noise_seed);
        SlotStart {
            physics: EpisodeStart {
                dynamics,
                obstacles: self.scene.hulls.clone(),
                position_world: Point3::new(place.x, place.y, standing.position_world.z),
                orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad),
                ..standing
            },
            goal: self.goal,
            duration_s: EPISODE_S,
            noise_seed,
            scanned_before: false,
        }
    }

    /// The next goal from where the robot is, and its seed.
    fn draw_goal(&mut self, from: Point2<f32>, config: &RecordingConfig) -> u64 {
        self.goal = self.scene.goal(from, config, &mut self.stream);
        self.stream.random()
    }
}

/// Takes the images of a scene.
struct ImageObserver<'a> {
    recorder: &'a DepthRecorder<'a>,
    caster: RayCaster,
    depth_m: Vec<f32>,
    scan: RayScan,
    hit: Vec<u8>,
    samples: DepthSamples,
}

impl<'a> Observer<Recording<'a>> for ImageObserver<'a> {
    type Record = DepthSamples;

    fn stepped(&mut self, episode: &mut SceneEpisode, step: &Step<'_>, slot: &Slot) {
        let DepthRecorder {
            config, physics, ..
        } = self.recorder;
        let step_s = physics.policy_step_s();
        let time_s = episode.steps as f32 * step_s + step_s;
        episode.steps += 1;
        if !step.failed && !step.collided && time_s >= episode.next_image_s {
            episode.next_image_s = time_s + uniform(config.interval_s, &mut episode.stream);
            self.observe(episode, step.physics, slot);
        }
    }

    fn finish(self, _: SceneEpisode, _: &Step<'_>, _: &mut Slot) -> DepthSamples {
        self.samples
    }
}

impl ImageObserver<'_> {
    /// Takes an image, and the rays of the same instant.
    fn observe(&mut self, episode: &mut SceneEpisode, physics: &PhysicsState, slot: &Slot) {
        let DepthRecorder {
            camera,
            config,
            rays,
            ..
        } = self.recorder;
        let base = Isometry3::from_parts(
            Translation3::from(physics.position_world),
            physics.orientation,
        );
        let mut pose = base * camera.pose_base();
        if episode.has_errors {
            pose *= episode.mounting;
        }
        camera.render(&pose, &episode.scene.parts, 0.0, &mut self.depth_m);
        if episode.has_errors {
            let columns = camera.intrinsics().width_px;
            config
                .realism
                .corrupt(&mut self.depth_m, columns, &mut episode.stream);
        }
        let mut state = slot.input.state.clone();
        physics.write_robot_state(&mut state);
        episode
            .scene
            .cast(&self.caster, rays, &state, &mut self.scan, &mut self.hit);
        self.samples.push(
            &self.depth_m,
            &state.projected_gravity_base(),
            &self.scan.distance_m,
            &self.hit,
            episode.number as u32,
            episode.has_errors,
        );
    }
}
