//! The vectorized environment: reproducibility, exact resumption, and the observation that it gives.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use policies::{
    observation::REALITY_DIM,
    training::{Done, StepOut, VecEnv},
};
use robots::Robot;
use serde::de::DeserializeOwned;
use sim::{
    engine::{EngineKind, PhysicsConfig},
    reality::RealityConfig,
    tasks::{
        Env, EnvConfig, EnvError, HasSection, Task,
        agile::{AgileRewards, AgileTask},
        recovery::{RecoveryRewards, RecoveryTask},
        rewards::Regularizers,
        shards,
    },
};

/// Memory for what a step writes.
struct Steps {
    observations: Vec<f32>,
    rewards: Vec<f32>,
    costs: Vec<f32>,
    done: Vec<Done>,
    terminal_observations: Vec<f32>,
}

impl Steps {
    fn new(env: &dyn VecEnv) -> Self {
        let (n, dim) = (env.num_envs(), env.observation_dim());
        Self {
            observations: vec![0.0; n * dim],
            rewards: vec![0.0; n],
            costs: vec![f32::NAN; n],
            done: vec![Done::No; n],
            terminal_observations: vec![f32::NAN; n * dim],
        }
    }

    fn step(&mut self, env: &mut dyn VecEnv, actions: &[f32]) {
        env.step(
            actions,
            StepOut {
                observations: &mut self.observations,
                rewards: &mut self.rewards,
                costs: Some(&mut self.costs),
                done: &mut self.done,
                terminal_observations: &mut self.terminal_observations,
            },
        );
    }
}

fn config(num_envs: usize, engine: EngineKind) -> EnvConfig {
    EnvConfig {
        num_envs,
        engine,
        ..EnvConfig::default()
    }
}

fn go1() -> Arc<Robot> {
    Arc::new(Robot::load("go1").unwrap())
}

/// All environments of a task in one shard.
fn build<T: Task>(config: &EnvConfig, seed: u64) -> Env<T>
where
    EnvConfig: HasSection<T>,
{
    let physics = PhysicsConfig::default();
    let mut shards = shards(&go1(), &physics, config, seed, 1).unwrap();
    shards.remove(0)
}

/// Actions that differ per environment and step and do not depend on the number of environments.
fn actions(first: usize, count: usize, step: usize) -> Vec<f32> {
    (first * 12..(first + count) * 12)
        .map(|i| ((i * 7 + step * 13) % 19) as f32 / 19.0 - 0.5)
        .collect()
}

/// Observations and rewards of all environments over some steps, with any split into shards.
fn course(engine: EngineKind, workers: usize, steps: usize) -> Vec<Vec<u32>> {
    let mut course = vec![Vec::new(); 6];
    let mut first = 0;
    for mut env in shards::<AgileTask>(
        &go1(),
        &PhysicsConfig::default(),
        &config(6, engine),
        5,
        workers,
    )
    .unwrap()
    {
        let mut out = Steps::new(&env);
        let count = env.num_envs();
        for step in 0..steps {
            out.step(&mut env, &actions(first, count, step));
            for index in 0..count {
                let row = &out.observations[index * 61..(index + 1) * 61];
                course[first + index].extend(row.iter().map(|x| x.to_bits()));
                course[first + index].push(out.rewards[index].to_bits());
            }
        }
        first += count;
    }
    course
}

#[test]
fn the_course_does_not_depend_on_the_shards() {
    for engine in engines() {
        let one = course(engine, 1, 60);
        assert_eq!(one, course(engine, 2, 60));
        assert_eq!(one, course(engine, 5, 60));
        assert_ne!(one[0], one[1], "environments differ");
    }
}

/// Those that this build has.
fn engines() -> impl Iterator<Item = EngineKind> {
    let all = EngineKind::ALL.iter().copied();
    all.filter(|kind| cfg!(feature = "mujoco") || *kind != EngineKind::Mujoco)
}

#[test]
fn an_environment_restored_from_its_state_goes_on_bit_for_bit() {
    for (engine, reality) in engines()
        .map(|engine| (engine, "ideal"))
        .chain([(EngineKind::Batch, "field")])
    {
        let config = EnvConfig {
            reality: RealityConfig::load(reality).unwrap(),
            ..config(5, engine)
        };
        let fresh = || build::<AgileTask>(&config, 1);
        let mut env = fresh();
        let mut out = Steps::new(&env);
        for step in 0..90 {
            out.step(&mut env, &actions(0, 5, step));
        }
        let saved = env.save();
        let mut restored = fresh();
        restored.load(&saved).unwrap();
        let mut other = Steps::new(&restored);
        restored.observe(&mut other.observations);
        assert_eq!(
            out.observations, other.observations,
            "observing again draws no new noise"
        );
        for step in 90..200 {
            out.step(&mut env, &actions(0, 5, step));
            other.step(&mut restored, &actions(0, 5, step));
            assert_eq!(out.observations, other.observations, "step {step}");
            assert_eq!(out.rewards, other.rewards);
            assert_eq!(out.done, other.done);
        }
        let error = fresh().load(&saved[..saved.len() / 2]).unwrap_err();
        assert!(error.contains("not readable"), "{error}");
    }
}

/// Weights that are 0 but for contacts.
fn contacts_only<W: DeserializeOwned>(names: &[&str]) -> W {
    let weight = |name: &str| {
        if name.ends_with("_contact") {
            -1.0
        } else {
            0.0
        }
    };
    let weights = names
        .iter()
        .map(|name| ((*name).to_owned(), weight(name).into()));
    weights.collect::<toml::Table>().try_into().unwrap()
}

/// With nothing but contacts in the reward, it is below 0 exactly in the steps that cost.
fn costs_are_the_contacts<E: VecEnv>(mut env: E) {
    let (mut out, n) = (Steps::new(&env), env.num_envs());
    let mut counts = [0, 0];
    for step in 0..100 {
        out.step(&mut env, &actions(0, n, step));
        for (reward, cost) in out.rewards.iter().zip(&out.costs) {
            assert_eq!(*cost, f32::from(*reward < 0.0), "reward {reward}");
            counts[*cost as usize] += 1;
        }
    }
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

/// Observations, element by element, after some steps.
fn rows(config: &EnvConfig, steps: usize) -> (usize, Vec<Vec<f32>>) {
    let mut env = build::<AgileTask>(config, 3);
    let mut out = Steps::new(&env);
    for step in 0..steps {
        out.step(&mut env, &actions(0, config.num_envs, step));
    }
    let dim = env.observation_dim();
    let rows = out.observations.chunks_exact(dim);
    (env.actor_dim(), rows.map(<[f32]>::to_vec).collect())
}

#[test]
fn a_privileged_critic_sees_velocity_and_surroundings_and_the_actor_what_it_always_did() {
    let config = config(8, EngineKind::Batch);
    let privileged = EnvConfig {
        privileged_critic: true,
        ..config.clone()
    };
    let (actor_dim, plain) = rows(&config, 10);
    let (same_dim, wide) = rows(&privileged, 10);
    assert_eq!((actor_dim, same_dim), (61, 61));
    let mut nearest_m = f32::INFINITY;
    for (plain, wide) in plain.iter().zip(&wide) {
        assert_eq!(wide[..61], plain[..]);
        let (velocity, rays) = wide[61..].split_at(3);
        assert!(velocity.iter().all(|v| v.abs() < 10.0), "{velocity:?}");
        assert_eq!(rays.len(), 28);
        let distances_m = rays.iter().map(|ray| ray.exp2());
        nearest_m = distances_m.fold(nearest_m, f32::min);
    }
    // Some of 8 environments has a cylinder in reach.
    assert!((0.1..6.0).contains(&nearest_m), "{nearest_m}");
}

#[test]
fn an_actor_observes_its_own_motion_for_as_many_steps_as_asked() {
    let config = config(8, EngineKind::Batch);
    let three_steps = EnvConfig {
        proprioception_steps: 3,
        ..config.clone()
    };
    let (dim, stacked) = rows(&three_steps, 10);
    assert_eq!(dim, 61 + 2 * (3 + 3 * 12));
    let frames = [8, 9, 10].map(|steps| rows(&config, steps).1);
    for (index, row) in stacked.iter().enumerate() {
        let frame = &frames[2][index];
        // Angular velocity, joint positions and velocities, actions: where each stands in a row, in a frame, and how wide it is.
        for (start, in_frame, width) in [(4, 4, 3), (20, 14, 12), (56, 26, 12), (92, 38, 12)] {
            for (step, past) in frames.iter().enumerate() {
                assert_eq!(
                    row[start + step * width..][..width],
                    past[index][in_frame..][..width]
                );
            }
        }
        // Contacts, gravity and goal, rays: of this step alone.
        assert_eq!(row[..4], frame[..4]);
        assert_eq!(row[13..20], frame[7..14]);
        assert_eq!(row[128..], frame[50..]);
    }
}

#[test]
fn the_actor_of_a_late_robot_sees_the_past_and_the_critic_the_present() {
    let config = EnvConfig {
        privileged_critic: true,
        ..config(8, EngineKind::Batch)
    };
    let mut late = config.clone();
    // Nothing that changes the motion.
    late.reality.proprioception_delay_ms = [20.0, 20.0];
    late.reality.ray_latency_ms = [100.0, 100.0];
    let mut exact = late.clone();
    exact.reality.proprioception_delay_ms = [0.0, 0.0];
    exact.reality.ray_latency_ms = [0.001, 0.001];
    exact.noise.scale = 0.0;
    late.noise.scale = 0.0;
    exact.noise.illusion = false;
    late.noise.illusion = false;
    let past = [10, 14].map(|steps| rows(&exact, steps).1);
    let (_, present) = rows(&exact, 15);
    let (_, late) = rows(&late, 15);
    let mut compared = 0;
    for (index, (late, present)) in late.iter().zip(&present).enumerate() {
        // The critic: the truth, and how late the actor sees it.
        let (late_truth, present_truth) = (&late[61..92], &present[61..92]);
        assert_eq!(late_truth, present_truth);
        let known: Vec<f32> = late[92..].iter().map(|v| (1e3 * v).round() / 1e3).collect();
        assert_eq!(known.len(), REALITY_DIM);
        assert_eq!(known[..5], [0.0, 0.0, 1.0, 1.0, 0.0]);
        // An episode that has ended begins anew.
        if past.iter().any(|rows| rows[index][13] < present[13]) {
            continue;
        }
        compared += 1;
        for joint in 14..38 {
            assert!(
                (late[joint] - past[1][index][joint]).abs() < 1e-6,
                "joint {joint}"
            );
        }
        assert_eq!(late[50..61], past[0][index][50..61], "rays of 100 ms ago");
    }
    assert!(compared > 4, "{compared}");
}

#[test]
fn a_step_costs_1_where_any_body_collides() {
    for engine in engines() {
        let mut config = config(8, engine);
        config.agile.rewards = contacts_only(AgileRewards::NAMES);
        config.agile.regularizers = contacts_only(Regularizers::NAMES);
        config.recovery.rewards = contacts_only(RecoveryRewards::NAMES);
        config.recovery.regularizers = contacts_only(Regularizers::NAMES);
        costs_are_the_contacts(build::<AgileTask>(&config, 1));
        costs_are_the_contacts(build::<RecoveryTask>(&config, 1));
    }
}

#[test]
fn a_timeout_of_the_recovery_task_hands_over_its_last_observation() {
    let config = EnvConfig {
        num_envs: 64,
        engine: EngineKind::Rapier,
        ..EnvConfig::default()
    };
    let mut calm = config.clone();
    calm.recovery.start_vx_mps = [0.0, 0.0];
    calm.recovery.start_tilt_rad = 0.0;
    calm.recovery.start_joint_velocity_radps = 0.0;
    calm.num_envs = 4;
    calm.curriculum.start_max = 0;
    let mut env = build::<RecoveryTask>(&calm, 1);
    assert_eq!(env.observation_dim(), 49);
    let mut out = Steps::new(&env);
    let mut timeouts = 0;
    for _ in 0..100 {
        out.step(&mut env, &[0.0; 48]);
        for (index, done) in out.done.iter().enumerate() {
            let row = &out.terminal_observations[index * 49..(index + 1) * 49];
            if *done == Done::Timeout {
                timeouts += 1;
                assert!(row.iter().all(|x| x.is_finite()));
                assert_ne!(row, &out.observations[index * 49..(index + 1) * 49]);
            } else {
                assert!(
                    row.iter().all(|x| x.is_nan()),
                    "written although the episode goes on"
                );
            }
        }
    }
    assert_eq!(
        timeouts, 4,
        "a standing robot survives to the end of its 2 s"
    );
}

#[test]
fn impossible_settings_are_named() {
    let check = |change: &dyn Fn(&mut EnvConfig), expected: &str| {
        let mut config = config(8, EngineKind::Rapier);
        change(&mut config);
        let error = shards::<AgileTask>(&go1(), &PhysicsConfig::default(), &config, 1, 1)
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    };
    let five_lanes = |c: &mut EnvConfig| (c.engine, c.lanes) = (EngineKind::Batch, 5);
    check(&five_lanes, "5 lanes; this CPU has 4");
    let no_step = |c: &mut EnvConfig| c.proprioception_steps = 0;
    check(
        &no_step,
        "`env.proprioception_steps`: is 0, must be 1 to 50",
    );
    check(&|c| c.num_envs = 0, "`env.num_envs`: 0 is too small");
    check(
        &|c| c.agile.goal_x_m = [2.0, 1.0],
        "`env.agile.goal_x_m`: [2, 1] is not a range",
    );
    check(&|c| c.agile.goal_x_m = [f32::NAN, 1.0], "not a range");
    check(
        &|c| c.curriculum.start_max = 10,
        "must be below `levels` = 10",
    );
    check(
        &|c| c.agile.obstacles.start_clearance_m = 20.0,
        "no place for an obstacle",
    );
    let workers = shards::<AgileTask>(
        &go1(),
        &PhysicsConfig::default(),
        &config(2, EngineKind::Rapier),
        1,
        3,
    );
    assert!(matches!(
        workers,
        Err(EnvError::Workers {
            workers: 3,
            num_envs: 2
        })
    ));
}
