//! What is kept of an evaluation: one record per episode, and their summary.

use controller::{Method, Mode};
use policies::Twist;
use robots::RobotState;
use serde::{Deserialize, Serialize};

use super::{
    config::RaySource,
    gait::{GaitReport, GaitSums},
    outcome::{Arrival, Collision, Outcome},
};
use crate::{
    engine::EngineKind,
    episode::Slot,
    reality::RealityConfig,
    scene::{CYLINDERS, TestScene},
};

/// One policy step of a traced episode.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceStep {
    /// Time since the start of the episode, s.
    pub time_s: f32,
    /// State of the robot as the controller observed it.
    pub state: RobotState,
    /// Heading, rad.
    pub yaw_rad: f32,
    /// Horizontal speed of the base, m/s.
    pub speed_mps: f32,
    /// Distance to the goal, m.
    pub goal_distance_m: f32,
    /// Ray distances as the controller got them, m.
    pub ray_distance_m: Vec<f32>,
    /// What decided the command.
    pub mode: Mode,
    /// Reach-avoid value, if the method has one.
    pub value: Option<f32>,
    /// Twist that the recovery policy followed, if it acted.
    pub twist: Option<Twist>,
}

impl TraceStep {
    /// What the slot's controller observed `time_s` after the start, and decided.
    pub(super) fn new(slot: &Slot, time_s: f32) -> Self {
        let Slot {
            controller, input, ..
        } = slot;
        let state = &input.state;
        let velocity_world = state.orientation * state.linear_velocity_base;
        Self {
            time_s,
            state: state.clone(),
            yaw_rad: state.yaw_rad(),
            speed_mps: velocity_world.xy().norm(),
            goal_distance_m: (state.position_world.xy() - input.goal.position_world).norm(),
            ray_distance_m: input.rays.distance_m.to_vec(),
            mode: controller.mode(),
            value: controller.value(),
            twist: controller.twist(),
        }
    }
}

/// One episode.
#[derive(Clone, Debug)]
pub struct EpisodeRecord {
    /// Obstacles, start and goal.
    pub scene: TestScene,
    /// How it ended.
    pub outcome: Outcome,
    /// Policy steps that were simulated; a collision ends the episode.
    pub steps: usize,
    /// Distance to the goal at the end, m.
    pub final_distance_m: f32,
    /// Mean horizontal speed of the base while farther from the goal than the reach distance, m/s.
    pub mean_speed_mps: f32,
    /// Largest horizontal speed of the base while farther from the goal than the reach distance, m/s.
    pub peak_speed_mps: f32,
    /// How long and how straight the way to the goal was; nothing if it never arrived.
    pub arrival: Option<Arrival>,
    /// Policy steps in which the recovery policy acted.
    pub recovery_steps: usize,
    /// It collided although the agile policy was in control 0.5 s before (or at the start, if that was later).
    pub false_safe: bool,
    /// The collision, if there was one.
    pub collision: Option<Collision>,
    /// How it ended by the collision rule of the paper's authors.
    pub paper_outcome: Outcome,
    /// What the gait cost up to the end.
    pub gait: GaitSums,
    /// Every policy step, start included; empty unless the episode was traced.
    pub trace: Vec<TraceStep>,
}

/// Summary of an evaluation. The first fields are the contract of `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// Name of the robot.
    pub robot: String,
    /// What controlled it.
    pub method: Method,
    /// Physics engine.
    pub engine: EngineKind,
    /// Number of episodes.
    pub episodes: usize,
    /// Seed of the episodes.
    pub seed: u64,
    /// Fraction of episodes that reached the goal without a collision.
    pub reach_rate: f64,
    /// Fraction of episodes with a collision.
    pub collision_rate: f64,
    /// Fraction of episodes with neither.
    pub time_out_rate: f64,
    /// Wilson 95% interval of the reach rate.
    pub reach_ci95: [f64; 2],
    /// Wilson 95% interval of the collision rate.
    pub collision_ci95: [f64; 2],
    /// Wilson 95% interval of the timeout rate.
    pub time_out_ci95: [f64; 2],
    /// Mean over reached episodes of the mean speed, m/s; 0 when none reached.
    pub mean_speed: f64,
    /// Mean over reached episodes of the peak speed, m/s; 0 when none reached.
    pub peak_speed: f64,
    /// Mean over reached episodes of the time to the goal, s; nothing when none reached, or in files of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_goal_s: Option<f64>,
    /// Mean over reached episodes of the length of the path to the goal over that of the straight line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_ratio: Option<f64>,
    /// Policy steps simulated per second of wall-clock time.
    pub steps_per_second: f64,
    /// Where the rays came from.
    #[serde(default)]
    pub rays: RaySource,
    /// Name of the scene; an evaluation without one is of the paper's test.
    #[serde(default = "cylinders")]
    pub scene: String,
    /// In what the robot differed from the simulation.
    #[serde(default, skip_serializing_if = "RealityConfig::is_ideal")]
    pub reality: RealityConfig,
    /// What the gait costs motors and floor; nothing where the robot did not move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gait: Option<GaitReport>,
    /// Rates by the collision rule of the paper's authors; nothing in files of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper_rule: Option<OutcomeRates>,
    /// What the switch did; nothing for methods without one.
    #[serde(flatten)]
    pub switch: Option<SwitchReport>,
}

fn cylinders() -> String {
    CYLINDERS.to_owned()
}

/// How the switch between agile and recovery policy was used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwitchReport {
    /// Fraction of the policy steps of all episodes in which the recovery policy acted.
    pub recovery_fraction: f64,
    /// Number of episodes in which it acted at all.
    pub recovery_episodes: usize,
    /// Fraction of those that ended without a collision; 1 when there was none.
    pub recovery_episode_safe_rate: f64,
    /// Fraction of all episodes that collided although the agile policy was in control, because the value was below the
    /// threshold, 0.5 s before the collision (or at the start, if that was later).
    pub false_safe_rate: f64,
}

impl SwitchReport {
    fn new(records: &[EpisodeRecord]) -> Self {
        let fraction = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let steps = records.iter().map(|r| r.steps).sum();
        let recovery_steps = records.iter().map(|r| r.recovery_steps).sum();
        let recovered = || records.iter().filter(|r| r.recovery_steps > 0);
        let recovery_episodes = recovered().count();
        let collided = recovered().filter(|r| r.outcome == Outcome::Collision);
        let false_safe = records.iter().filter(|r| r.false_safe).count();
        Self {
            recovery_fraction: fraction(recovery_steps, steps),
            recovery_episodes,
            recovery_episode_safe_rate: 1.0 - fraction(collided.count(), recovery_episodes),
            false_safe_rate: fraction(false_safe, records.len()),
        }
    }
}

impl EvalReport {
    /// Replaces the rates.
    pub fn set_rates(&mut self, rates: &OutcomeRates) {
        let OutcomeRates {
            reach_rate,
            collision_rate,
            time_out_rate,
            reach_ci95,
            collision_ci95,
            time_out_ci95,
        } = *rates;
        self.reach_rate = reach_rate;
        self.collision_rate = collision_rate;
        self.time_out_rate = time_out_rate;
        self.reach_ci95 = reach_ci95;
        self.collision_ci95 = collision_ci95;
        self.time_out_ci95 = time_out_ci95;
    }

    /// Summarizes episodes that took `wall_s` seconds to simulate.
    pub fn new(
        robot: &str,
        method: Method,
        engine: EngineKind,
        seed: u64,
        records: &[EpisodeRecord],
        wall_s: f64,
    ) -> Self {
        let rates = OutcomeRates::new(records.iter().map(|r| r.outcome));
        let over_reached = |value: fn(&EpisodeRecord) -> f32| {
            let reached = || records.iter().filter(|r| r.outcome == Outcome::Reach);
            // Not `sum`, which is -0 of nothing.
            let sum = reached().fold(0.0, |sum, r| sum + f64::from(value(r)));
            sum / reached().count().max(1) as f64
        };
        let over_arrived = |value: fn(Arrival) -> f32| {
            let reached = records.iter().filter(|r| r.outcome == Outcome::Reach);
            let values = reached.filter_map(|r| r.arrival.map(value));
            let count = values.clone().count();
            let sum: f64 = values.map(f64::from).sum();
            (count > 0).then(|| sum / count as f64)
        };
        let steps: usize = records.iter().map(|r| r.steps).sum();
        let mut gait = GaitSums::default();
        records.iter().for_each(|record| gait.add(&record.gait));
        Self {
            robot: robot.to_owned(),
            method,
            engine,
            episodes: records.len(),
            seed,
            reach_rate: rates.reach_rate,
            collision_rate: rates.collision_rate,
            time_out_rate: rates.time_out_rate,
            reach_ci95: rates.reach_ci95,
            collision_ci95: rates.collision_ci95,
            time_out_ci95: rates.time_out_ci95,
            mean_speed: over_reached(|r| r.mean_speed_mps),
            peak_speed: over_reached(|r| r.peak_speed_mps),
            time_to_goal_s: over_arrived(|arrival| arrival.time_s),
            path_ratio: over_arrived(|arrival| arrival.path_ratio),
            steps_per_second: steps as f64 / wall_s.max(1e-9),
            rays: RaySource::Exact,
            scene: cylinders(),
            reality: RealityConfig::default(),
            gait: gait.report(),
            paper_rule: Some(OutcomeRates::new(records.iter().map(|r| r.paper_outcome))),
            switch: (method == Method::Abs).then(|| SwitchReport::new(records)),
        }
    }
}

/// How often episodes end in which way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRates {
    /// Fraction of episodes that reached the goal without a collision.
    pub reach_rate: f64,
    /// Fraction of episodes with a collision.
    pub collision_rate: f64,
    /// Fraction of episodes with neither.
    pub time_out_rate: f64,
    /// Wilson 95% interval of the reach rate.
    pub reach_ci95: [f64; 2],
    /// Wilson 95% interval of the collision rate.
    pub collision_ci95: [f64; 2],
    /// Wilson 95% interval of the timeout rate.
    pub time_out_ci95: [f64; 2],
}

impl OutcomeRates {
    /// Of episodes that ended so.
    pub fn new(outcomes: impl ExactSizeIterator<Item = Outcome> + Clone) -> Self {
        let of = outcomes.len();
        let count = |which| outcomes.clone().filter(|outcome| *outcome == which).count();
        let rate = |which| count(which) as f64 / of.max(1) as f64;
        let ci95 = |which| wilson_ci95(count(which), of);
        Self {
            reach_rate: rate(Outcome::Reach),
            collision_rate: rate(Outcome::Collision),
            time_out_rate: rate(Outcome::Timeout),
            reach_ci95: ci95(Outcome::Reach),
            collision_ci95: ci95(Outcome::Collision),
            time_out_ci95: ci95(Outcome::Timeout),
        }
    }
}

/// Wilson's 95% score interval of a rate (E. B. Wilson, 1927).
pub fn wilson_ci95(hits: usize, of: usize) -> [f64; 2] {
    if of == 0 {
        return [0.0, 1.0];
    }
    // 97.5% quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    let n = of as f64;
    let p = hits as f64 / n;
    let denominator = 1.0 + Z * Z / n;
    let centre = (p + Z * Z / (2.0 * n)) / denominator;
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / denominator;
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}
