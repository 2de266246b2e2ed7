//! From the table of tasks to all that depends on it.

use std::sync::Arc;

use policies::{
    RaySpec, TwistRange,
    observation::{Layout, ObservationTerm, TermError},
    training::VecEnv,
};
use robots::Robot;

use super::{
    EnvConfig,
    env::{EnvError, Share, privileged_rays, privileged_terms, shards},
    task::{Task, Test},
};
use crate::engine::PhysicsConfig;

/// A row of the table of tasks.
#[derive(Clone, Copy, Debug)]
pub struct TaskEntry {
    /// Name on the command line, in run folders, and of its section in `env`.
    pub name: &'static str,
    /// One line for `--help`.
    pub summary: &'static str,
    /// Settings that it is trained with by default, TOML.
    pub recipe: &'static str,
    /// Settings of `--preset paper`, TOML; `None` for a task that is not in the paper.
    pub paper: Option<&'static str>,
    /// Role in a bundle of the network that it trains.
    pub role: &'static str,
    /// The test of that network.
    pub test: Test,
    /// Keys of `env.<name>` that penalize collisions.
    pub collision_penalties: &'static [&'static str],
    observations: fn(&RaySpec) -> Vec<ObservationTerm>,
    privileged_observations: fn() -> Vec<ObservationTerm>,
    twist_range: fn(&EnvConfig) -> Option<TwistRange>,
    shards: BuildShards,
}

type BuildShards = fn(
    &Arc<Robot>,
    &PhysicsConfig,
    &EnvConfig,
    u64,
    Share,
) -> Result<Vec<Box<dyn VecEnv>>, EnvError>;

impl PartialEq for TaskEntry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TaskEntry {}

/// The settings of a task within those of all.
pub trait HasSection<T: Task> {
    /// `env.<name>`.
    fn section(&self) -> &T::Config;
}

impl TaskEntry {
    pub(super) const fn new<T: Task>(name: &'static str) -> Self
    where
        EnvConfig: HasSection<T>,
    {
        Self {
            name,
            summary: T::SUMMARY,
            recipe: T::RECIPE,
            paper: T::PAPER,
            role: T::ROLE,
            test: T::TEST,
            collision_penalties: T::COLLISION_PENALTIES,
            observations: T::observations,
            privileged_observations: T::privileged_observations,
            twist_range: |config| T::twist_range(config.section()),
            shards: |robot, physics, config, seed, share| {
                let shards = shards::<T>(robot, physics, config, seed, share)?;
                let boxed = |shard| Box::new(shard) as Box<dyn VecEnv>;
                Ok(shards.into_iter().map(boxed).collect())
            },
        }
    }

    /// What the policy observes, in order.
    pub fn observations(&self, config: &EnvConfig) -> Vec<ObservationTerm> {
        config.with_history((self.observations)(&config.rays))
    }

    /// The twists that the policy learns to follow, where it follows any.
    pub fn twist_range(&self, config: &EnvConfig) -> Option<TwistRange> {
        (self.twist_range)(config)
    }

    /// The layout of what the policy observes and, if the critic is privileged, of what that observes besides.
    ///
    /// # Errors
    /// The first term that cannot be observed.
    pub fn layouts(&self, robot: &Robot, config: &EnvConfig) -> Result<Vec<Layout>, TermError> {
        let robot = robot.into();
        let mut layouts = vec![Layout::new(
            &self.observations(config),
            &robot,
            &config.rays,
        )?];
        if config.privileged_critic {
            let terms = privileged_terms((self.privileged_observations)(), config);
            layouts.push(Layout::new(&terms, &robot, &privileged_rays())?);
        }
        Ok(layouts)
    }

    /// Builds the environments, one for each worker thread of `share`.
    ///
    /// # Errors
    /// One line for a setting out of range or a robot that the engine cannot hold.
    pub fn shards(
        &self,
        robot: &Arc<Robot>,
        physics: &PhysicsConfig,
        config: &EnvConfig,
        seed: u64,
        share: impl Into<Share>,
    ) -> Result<Vec<Box<dyn VecEnv>>, EnvError> {
        (self.shards)(robot, physics, config, seed, share.into())
    }
}

/// Declares the modules of the tasks, the settings of the environments with a section for each task, and the table.
macro_rules! tasks {
    (
        $(#[$meta:meta])* $config:ident { $($(#[$doc:meta])* $key:ident: $type:ty = $default:expr,)* }
        tasks { $($name:ident: $task:ident($section:ident),)* }
    ) => {
        $(pub mod $name;)*

        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $config {
            $($(#[$doc])* pub $key: $type,)*
            $(
                #[doc = concat!("The task `", stringify!($name), "`.")]
                pub $name: $name::$section,
            )*
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $($key: $default,)* $($name: Default::default(),)* }
            }
        }

        impl $config {
            /// Checks the section of every task.
            fn validate_tasks(&self) -> Result<(), ConfigError> {
                $(
                    let checked = <$name::$task as task::Task>::validate(&self.$name);
                    checked.map_err(|error| error.within(stringify!($name)))?;
                )*
                Ok(())
            }
        }

        $(
            impl table::HasSection<$name::$task> for $config {
                fn section(&self) -> &$name::$section {
                    &self.$name
                }
            }
        )*

        /// All tasks.
        pub const TASKS: &[TaskEntry] = &[$(TaskEntry::new::<$name::$task>(stringify!($name)),)*];
    };
}
pub(super) use tasks;
