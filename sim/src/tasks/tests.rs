use std::{collections::BTreeSet, sync::Arc};

use policies::observation::{Layout, REALITY_DIM};
use robots::Robot;

use super::*;
use crate::engine::PhysicsConfig;

#[test]
fn tasks_are_found_by_name_and_by_role() {
    for task in TASKS {
        assert_eq!(find(task.name).unwrap(), task);
        assert_eq!(of_role(task.role).unwrap(), task);
    }
    let names: BTreeSet<_> = TASKS.iter().map(|task| task.name).collect();
    assert_eq!(names.len(), TASKS.len());
    let error = find("jump").unwrap_err().to_string();
    let expected = "there is no task `jump`; there are agile, recovery";
    assert!(error.starts_with(expected), "{error}");
    assert!(of_role("jump").is_none());
}

#[test]
fn every_task_has_what_the_table_needs() {
    let robot = Arc::new(Robot::load("go1").unwrap());
    for task in TASKS {
        task.recipe.parse::<toml::Table>().unwrap();
        task.paper.unwrap_or("").parse::<toml::Table>().unwrap();
        assert!(!task.summary.is_empty() && !task.summary.contains('\n'));
        let config = EnvConfig {
            num_envs: 3,
            privileged_critic: true,
            ..EnvConfig::default()
        };
        let dims: Vec<_> = (task.layouts(&robot, &config).unwrap().iter())
            .map(Layout::dim)
            .collect();
        let physics = PhysicsConfig::default();
        let shards = task.shards(&robot, &physics, &config, 1, 2).unwrap();
        assert_eq!(shards.len(), 2);
        for shard in &shards {
            assert_eq!(shard.actor_dim(), dims[0]);
            assert_eq!(shard.observation_dim(), dims.iter().sum::<usize>());
            assert_eq!(shard.action_dim(), 12);
        }
    }
}

#[test]
fn critics_know_in_what_robots_differ_and_actors_do_not() {
    let robot = Arc::new(Robot::load("go1").unwrap());
    let agile = find("agile").unwrap();
    let physics = PhysicsConfig::default();
    let mut config = EnvConfig {
        num_envs: 2,
        privileged_critic: true,
        ..EnvConfig::default()
    };
    let dims = |config: &EnvConfig| -> Vec<usize> {
        let layouts = agile.layouts(&robot, config).unwrap();
        layouts.iter().map(Layout::dim).collect()
    };
    let ideal = dims(&config);
    config.reality.target_delay_ms = [10.0; 2];
    config.reality.ray_latency_ms = [50.0; 2];
    config.reality.motor_strength = [0.9; 2];
    assert_eq!(dims(&config), [ideal[0], ideal[1] + REALITY_DIM]);
    let mut shards = agile.shards(&robot, &physics, &config, 1, 1).unwrap();
    let dim = shards[0].observation_dim();
    let mut rows = vec![0.0; 2 * dim];
    shards[0].observe(&mut rows);
    for row in rows.chunks_exact(dim) {
        let known = &row[dim - REALITY_DIM..];
        assert_eq!((known[0], known[3]), (0.5, 0.5));
        assert!((known[7] + 1.0).abs() < 1e-5, "{known:?}");
        assert!((0.4..=1.1).contains(&known[5]), "friction {}", known[5]);
    }
}

#[test]
fn a_wrong_setting_is_named_with_its_section() {
    let mut config = EnvConfig::default();
    config.agile.obstacles.box_fraction = 2.0;
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(
        error,
        "`env.agile.obstacles.box_fraction`: is 2, must be between 0 and 1"
    );
}

#[test]
fn ground_that_no_memory_holds_is_refused() {
    let refusal = |change: fn(&mut EnvConfig)| {
        let mut config = EnvConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(
        refusal(|config| config.terrain.reach_m = 1e10),
        "`env.terrain.reach_m`: is 10000000000, must be at most 20"
    );
    assert!(refusal(|config| config.terrain.reach_m = f32::NAN).contains("terrain.reach_m"));
    assert!(refusal(|config| config.terrain.variants = 0).contains("terrain.variants"));
    assert!(refusal(|config| config.terrain.variants = usize::MAX).contains("terrain.variants"));
    assert!(refusal(|config| config.terrain.shares = [0.0; 3]).contains("terrain.shares"));
}
