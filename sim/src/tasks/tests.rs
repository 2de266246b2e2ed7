use std::{collections::BTreeSet, sync::Arc};

use policies::observation::Layout;
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
fn a_wrong_setting_is_named_with_its_section() {
    let mut config = EnvConfig::default();
    config.agile.obstacles.box_fraction = 2.0;
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(
        error,
        "`env.agile.obstacles.box_fraction`: is 2, must be between 0 and 1"
    );
}
