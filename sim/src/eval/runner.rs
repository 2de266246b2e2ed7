use std::time::Instant;

use controller::{
    ControlInput, Controller, ControllerConfig, ControllerError, Fault, Method, Mode, RobotLink,
};
use policies::{Bundle, RayMemory, depth::DepthError};
use rayon::prelude::*;
use robots::{ContactClass, Robot};
use serde::{Deserialize, Serialize};

use super::{
    judge::Judge,
    record::{Collision, EpisodeRecord, EvalReport, TraceStep},
    recovery::RecoveryTestConfig,
};
use crate::{
    engine::{self, Engine, EngineError, EngineKind, PhysicsConfig, PhysicsState},
    episode::SimLink,
    scene::{TestScene, TestbedConfig, TestbedError},
    sensors::{CameraConfig, Eyes, RealismConfigError},
};

/// How long before a collision the switch must have seen it coming, s.
const FALSE_SAFE_S: f32 = 0.5;

/// Settings of the evaluation. The defaults are the paper's test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Number of episodes.
    pub episodes: usize,
    /// Length of an episode, s.
    pub episode_s: f32,
    /// Largest distance to the goal at the end that counts as reached, m.
    pub reach_m: f32,
    /// Replace rays that end behind the goal (method section 3, illusion).
    pub illusion: bool,
    /// How far behind the goal a ray must end to be replaced, m.
    pub illusion_margin_m: f32,
    /// Record every step of every episode, not only of those that are drawn.
    pub every_step: bool,
    /// Where the rays come from.
    pub rays: RaySource,
    /// The camera, where rays are predicted from its images.
    pub camera: CameraConfig,
    /// Physics engine.
    pub engine: EngineKind,
    /// Physics step, decimation, gravity, motors.
    pub physics: PhysicsConfig,
    /// Scenes.
    pub testbed: TestbedConfig,
    /// The test of the recovery policy alone.
    pub recovery: RecoveryTestConfig,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            episodes: 1000,
            episode_s: 9.0,
            reach_m: 0.65,
            illusion: true,
            illusion_margin_m: 0.3,
            every_step: false,
            rays: RaySource::Exact,
            camera: CameraConfig::default(),
            engine: EngineKind::Rapier,
            physics: PhysicsConfig::default(),
            testbed: TestbedConfig::default(),
            recovery: RecoveryTestConfig::default(),
        }
    }
}

/// Where the controller's rays come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RaySource {
    /// The true distances.
    #[default]
    Exact,
    /// Predicted from depth images.
    Depth,
}

/// Why an evaluation could not be done.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A setting is out of range.
    #[error("`eval.{key}` is {value}, must be {expected}")]
    Setting {
        /// Key in the configuration.
        key: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The recovery policy knows no goal.
    #[error(
        "method `recovery` follows a twist and has no episodes with a goal, take `agile` or `abs`"
    )]
    NoGoal,
    /// The scenes are impossible.
    #[error("eval.testbed: {0}")]
    Testbed(#[from] TestbedError),
    /// The bundle does not fit the robot.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// A setting of the camera is out of range.
    #[error("eval.camera: {0}")]
    Camera(#[from] RealismConfigError),
    /// Rays from depth images, for a blind robot.
    #[error("robot `{0}` has no camera to predict rays from; add [camera] to its robot.toml")]
    NoCamera(String),
    /// The camera has no projection.
    #[error("robot `{robot}`: {source}")]
    Projection {
        /// Name of the robot.
        robot: String,
        /// What is wrong.
        source: DepthError,
    },
    /// The engine cannot hold the robot or a scene.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The policy cannot be run.
    #[error("episode {episode} at {time_s:.2} s: {fault}")]
    Fault {
        /// Number of the episode.
        episode: u64,
        /// Time in the episode, s.
        time_s: f32,
        /// What the controller said.
        fault: Fault,
    },
}

/// One bundle on one robot, ready to be tested.
pub struct Evaluation<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    method: Method,
    config: &'a EvalConfig,
    seed: u64,
    controller: Controller,
    eyes: Option<(Eyes, RayMemory)>,
}

impl<'a> Evaluation<'a> {
    /// Checks the settings, and that the bundle fits the robot. The method is one that runs to a goal.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn new(
        robot: &'a Robot,
        bundle: &'a Bundle,
        method: Method,
        config: &'a EvalConfig,
        controller: &ControllerConfig,
        seed: u64,
    ) -> Result<Self, EvalError> {
        config.validate()?;
        if method == Method::recovery() {
            return Err(EvalError::NoGoal);
        }
        let eyes = match config.rays {
            RaySource::Exact => None,
            RaySource::Depth => Some(eyes(robot, bundle, &config.camera)?),
        };
        Ok(Self {
            eyes,
            robot,
            bundle,
            method,
            config,
            seed,
            controller: Controller::new(robot, bundle, method, controller)?,
        })
    }

    /// Runs the configured number of episodes and summarizes them. `progress` is called after each, from any thread.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn report(
        &self,
        progress: &(dyn Fn() + Sync),
    ) -> Result<(EvalReport, Vec<EpisodeRecord>), EvalError> {
        let indices: Vec<u64> = (0..self.config.episodes as u64).collect();
        let start = Instant::now();
        let records = self.run(&indices, self.config.every_step, progress)?;
        let wall_s = start.elapsed().as_secs_f64();
        let (name, engine) = (&self.robot.name, self.config.engine);
        let report = EvalReport {
            rays: self.config.rays,
            scene: self.config.testbed.name.clone(),
            ..EvalReport::new(name, self.method, engine, self.seed, &records, wall_s)
        };
        Ok((report, records))
    }

    /// Runs chosen episodes on all threads of the current rayon pool; records come in the order of `indices`, and
    /// depend neither on the other episodes nor on the number of threads.
    ///
    /// # Errors
    /// A scene that cannot be drawn or held by the engine, or a policy whose output is not finite.
    pub fn run(
        &self,
        indices: &[u64],
        traced: bool,
        progress: &(dyn Fn() + Sync),
    ) -> Result<Vec<EpisodeRecord>, EvalError> {
        // rapier gains nothing from stepping robots together, and one robot never waits for another.
        let (robots, episodes) = match self.config.engine {
            EngineKind::Rapier => (1, 4),
            EngineKind::Batch => (32, 128),
        };
        let batches: Vec<_> = indices
            .par_chunks(episodes)
            .map(|indices| {
                Batch::new(self, robots.min(indices.len()), traced)?.run(indices, progress)
            })
            .collect::<Result<_, EvalError>>()?;
        Ok(batches.into_iter().flatten().collect())
    }
}

/// The robot's camera with the ray network of the bundle.
fn eyes(
    robot: &Robot,
    bundle: &Bundle,
    config: &CameraConfig,
) -> Result<(Eyes, RayMemory), EvalError> {
    let camera = robot.camera.as_ref();
    let camera = camera.ok_or_else(|| EvalError::NoCamera(robot.name.clone()))?;
    let network = bundle.ray_network().map_err(ControllerError::from)?;
    let memory = bundle.ray_memory().map_err(ControllerError::from)?;
    let eyes = Eyes::new(camera, network, config).map_err(|source| EvalError::Projection {
        robot: robot.name.clone(),
        source,
    })?;
    Ok((eyes, memory))
}

/// Some robots of one engine; each takes the next episode when its own has ended.
struct Batch<'a> {
    job: &'a Evaluation<'a>,
    engine: Box<dyn Engine>,
    seats: Vec<Seat>,
    traced: bool,
    physics: PhysicsState,
}

/// A robot of the engine and its episode.
struct Seat {
    controller: Controller,
    link: SimLink,
    input: ControlInput,
    episode: Option<Episode>,
}

struct Episode {
    /// Place of the record in the result.
    place: usize,
    scene: TestScene,
    judge: Judge,
    steps: usize,
    /// What decided each policy step.
    modes: Vec<Mode>,
    trace: Vec<TraceStep>,
}

impl<'a> Batch<'a> {
    fn new(job: &'a Evaluation<'a>, robots: usize, traced: bool) -> Result<Self, EvalError> {
        let Evaluation { robot, config, .. } = job;
        let rays = &job.bundle.spec.rays;
        let margin_m = config.illusion.then_some(config.illusion_margin_m);
        let seats = (0..robots).map(|_| Seat {
            controller: job.controller.clone(),
            link: SimLink::new(robot, rays, margin_m).with_eyes(job.eyes.clone()),
            input: ControlInput::new(robot, rays),
            episode: None,
        });
        Ok(Self {
            engine: engine::build(config.engine, robot, &config.physics, robots)?,
            seats: seats.collect(),
            traced,
            physics: PhysicsState::zero(robot),
            job,
        })
    }

    fn run(
        mut self,
        indices: &[u64],
        progress: &(dyn Fn() + Sync),
    ) -> Result<Vec<EpisodeRecord>, EvalError> {
        let mut records: Vec<Option<EpisodeRecord>> = indices.iter().map(|_| None).collect();
        let mut waiting = indices.iter().copied().enumerate();
        let mut targets_rad = Vec::new();
        loop {
            for seat in 0..self.seats.len() {
                if self.seats[seat].episode.is_none()
                    && let Some((place, index)) = waiting.next()
                {
                    self.begin(seat, place, index)?;
                }
            }
            if self.seats.iter().all(|seat| seat.episode.is_none()) {
                return Ok(records.into_iter().flatten().collect());
            }
            targets_rad.clear();
            for seat in &mut self.seats {
                // A seat without episode stands by with its last target.
                seat.control(self.traced)?;
                targets_rad.extend_from_slice(seat.link.target_rad());
            }
            self.engine.step(&targets_rad);
            for index in 0..self.seats.len() {
                if let Some((place, record)) = self.judge(index) {
                    records[place] = Some(record);
                    progress();
                }
            }
        }
    }

    fn begin(&mut self, index: usize, place: usize, episode: u64) -> Result<(), EvalError> {
        let config = self.job.config;
        let scene = TestScene::new(self.job.seed, episode, &config.testbed)?;
        self.engine.reset(index, &scene.start(self.job.robot))?;
        self.engine.read(index, &mut self.physics);
        let seat = &mut self.seats[index];
        seat.controller.reset();
        let duration_s = config.episode_s;
        seat.link
            .reset(&scene.obstacles, scene.goal, duration_s, scene.noise_seed);
        seat.link.sense(&self.physics, 0.0);
        seat.episode = Some(Episode {
            place,
            judge: Judge::new(scene.goal.position_world, config.reach_m),
            scene,
            steps: 0,
            modes: Vec::with_capacity(config.steps()),
            trace: Vec::new(),
        });
        Ok(())
    }

    /// After the physics: the record, with its place, of an episode that is over.
    fn judge(&mut self, index: usize) -> Option<(usize, EpisodeRecord)> {
        let config = self.job.config;
        let seat = &mut self.seats[index];
        let episode = seat.episode.as_mut()?;
        episode.steps += 1;
        let time_s = episode.steps as f32 * config.physics.policy_step_s();
        self.engine.read(index, &mut self.physics);
        if self.physics.is_finite() {
            episode.judge.see(self.job.robot, &self.physics, time_s);
            seat.link.sense(&self.physics, time_s);
        } else {
            // No result may come from a simulation that failed.
            episode.judge.collision = Some(Collision {
                time_s,
                class: ContactClass::Base,
                body: "simulation failed".to_owned(),
                position_world: seat.input.state.position_world,
            });
        }
        if episode.judge.collision.is_none() && episode.steps < config.steps() {
            return None;
        }
        let mut episode = seat.episode.take()?;
        if self.traced {
            // What the controller would have seen next.
            let Ok(()) = seat.link.read(&mut seat.input);
            episode
                .trace
                .push(trace_step(&seat.input, &seat.controller, time_s));
        }
        let false_safe_steps = (FALSE_SAFE_S / config.physics.policy_step_s()).round() as usize;
        let record = EpisodeRecord {
            outcome: episode.judge.outcome(),
            steps: episode.steps,
            final_distance_m: episode.judge.distance_m,
            mean_speed_mps: episode.judge.mean_speed_mps(),
            peak_speed_mps: episode.judge.peak_speed_mps,
            recovery_steps: count_recovery(&episode.modes),
            false_safe: episode.judge.collision.is_some()
                && was_safe(&episode.modes, false_safe_steps),
            collision: episode.judge.collision,
            scene: episode.scene,
            trace: episode.trace,
        };
        Some((episode.place, record))
    }
}

impl Seat {
    /// One cycle of the controller.
    fn control(&mut self, traced: bool) -> Result<(), EvalError> {
        let Some(episode) = &mut self.episode else {
            return Ok(());
        };
        let Ok(()) = self.controller.cycle(&mut self.link, &mut self.input);
        let time_s = self.link.time_s();
        if let Some(fault) = self.controller.fault() {
            return Err(EvalError::Fault {
                episode: episode.scene.index,
                time_s,
                fault,
            });
        }
        if traced {
            episode
                .trace
                .push(trace_step(&self.input, &self.controller, time_s));
        }
        episode.modes.push(self.controller.mode());
        Ok(())
    }
}

fn count_recovery(modes: &[Mode]) -> usize {
    let recovery = modes.iter().filter(|mode| **mode == Mode::Recovery);
    recovery.count()
}

/// Whether the agile policy acted `steps` before the last step, or at the start of a shorter episode.
fn was_safe(modes: &[Mode], steps: usize) -> bool {
    let before = modes.len().saturating_sub(1 + steps);
    modes.get(before) == Some(&Mode::Agile)
}

fn trace_step(input: &ControlInput, controller: &Controller, time_s: f32) -> TraceStep {
    let state = &input.state;
    let velocity_world = state.orientation * state.linear_velocity_base;
    TraceStep {
        time_s,
        position_world: state.position_world,
        orientation: state.orientation,
        yaw_rad: state.yaw_rad(),
        speed_mps: velocity_world.xy().norm(),
        goal_distance_m: (state.position_world.xy() - input.goal.position_world).norm(),
        joint_position_rad: state.joint_position_rad.clone(),
        ray_distance_m: input.rays.distance_m.to_vec(),
        mode: controller.mode(),
        value: controller.value(),
        twist: controller.twist(),
    }
}

/// The error of a setting that is not ok.
pub(super) fn setting(
    ok: bool,
    key: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), EvalError> {
    if ok {
        return Ok(());
    }
    Err(EvalError::Setting {
        key,
        value: value.to_string(),
        expected,
    })
}

impl EvalConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), EvalError> {
        setting(
            self.episodes > 0,
            "episodes",
            self.episodes as f64,
            "at least 1",
        )?;
        for (key, value) in [
            ("episode_s", self.episode_s),
            ("reach_m", self.reach_m),
            ("physics.step_s", self.physics.step_s),
        ] {
            let ok = value > 0.0 && value.is_finite();
            setting(ok, key, value.into(), "positive")?;
        }
        let margin_m = self.illusion_margin_m;
        let ok = margin_m >= 0.0 && margin_m.is_finite();
        setting(ok, "illusion_margin_m", margin_m.into(), "zero or more")?;
        let decimation = self.physics.decimation;
        setting(
            decimation > 0,
            "physics.decimation",
            decimation as f64,
            "at least 1",
        )?;
        let ok = self.steps() > 0;
        setting(
            ok,
            "episode_s",
            self.episode_s.into(),
            "at least one policy step",
        )?;
        self.recovery.validate()?;
        self.camera.validate()?;
        Ok(self.testbed.validate()?)
    }

    /// Policy steps of an episode.
    pub fn steps(&self) -> usize {
        (self.episode_s / self.physics.policy_step_s()).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_was_safe_if_the_agile_policy_acted_in_time() {
        let (a, r) = (Mode::Agile, Mode::Recovery);
        assert!(was_safe(&[r, a, r, r], 2));
        assert!(!was_safe(&[a, r, a, a], 2));
        // Shorter than that: the start counts.
        assert!(was_safe(&[a, r], 25) && !was_safe(&[r, a], 25) && !was_safe(&[], 25));
        assert_eq!(count_recovery(&[r, a, r]), 2);
    }
}
