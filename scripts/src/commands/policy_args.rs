//! Which policy is to be run on which robot, for the commands that run one.

use std::path::PathBuf;

use anyhow::Result;
use controller::Method;
use policies::{
    Bundle,
    spec::{Output, role},
};
use robots::Robot;
use sim::{
    engine::EngineKind,
    eval::{Evaluation, RaySource, RecoveryEvaluation},
};

use crate::{
    config::{Config, ConfigArgs},
    repository,
};

/// Flags shared by `eval` and `play`.
#[derive(Clone, Debug, clap::Args)]
pub struct PolicyArgs {
    /// Folder of the policy bundle [default: the one that is shipped for the robot]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// What controls the robot: agile, abs or recovery [default: abs where the bundle has all three networks]
    #[arg(long)]
    method: Option<Method>,
    /// What the robot meets: a scene of `abs scenes`, or a TOML file [default: cylinders, the paper's test]
    #[arg(long, value_name = "NAME|FILE.toml")]
    scene: Option<String>,
    /// Where the rays come from: the true distances, or a network that sees depth images [default: exact]
    #[arg(long, value_enum)]
    rays: Option<Rays>,
    /// Physics engine [default: rapier]
    #[arg(long)]
    engine: Option<EngineKind>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Rays {
    Exact,
    Depth,
}

/// A policy bundle, the robot that it is for, and the settings.
pub struct Subject {
    pub robot: Robot,
    pub bundle: Bundle,
    pub method: Method,
    pub config: Config,
}

impl PolicyArgs {
    /// Loads everything; `change` is the last word on the settings.
    ///
    /// # Errors
    /// One line for a wrong setting, robot or bundle.
    pub fn load(&self, change: impl FnOnce(&mut Config)) -> Result<Subject> {
        let args = ConfigArgs {
            scene: self.scene.clone(),
            ..self.config.clone()
        };
        let mut config = args.resolve()?;
        config.eval.engine = self.engine.unwrap_or(config.eval.engine);
        if let Some(rays) = self.rays {
            config.eval.rays = match rays {
                Rays::Exact => RaySource::Exact,
                Rays::Depth => RaySource::Depth,
            };
        }
        change(&mut config);
        let folder = match &self.bundle {
            Some(folder) => folder.clone(),
            None => repository::bundle(&config.robot),
        };
        let bundle = Bundle::load(&folder)?;
        // A bundle knows its robot, so that only a robot of one's own has to be named.
        if config.robot == Config::default().robot && self.config.robot.is_none() {
            config.robot.clone_from(&bundle.spec.robot.name);
        }
        let robot = Robot::load(&config.robot)?;
        config.start_thread_pool()?;
        Ok(Subject {
            robot,
            method: self.method.unwrap_or_else(|| default_method(&bundle)),
            bundle,
            config,
        })
    }
}

/// The most that a bundle can do.
fn default_method(bundle: &Bundle) -> Method {
    if [role::AGILE, role::RECOVERY, role::REACH_AVOID]
        .iter()
        .all(|role| bundle.has(role))
    {
        return Method::Abs;
    }
    let policies = bundle.spec.networks.iter();
    let mut policies = policies.filter(|(_, n)| matches!(n.output, Output::Actions { .. }));
    policies
        .find_map(|(role, _)| role.parse().ok())
        .unwrap_or_default()
}

impl Subject {
    /// The evaluation of this policy.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn evaluation(&self) -> Result<Evaluation<'_>> {
        let Self { robot, bundle, .. } = self;
        let Config {
            eval,
            physics,
            controller,
            seed,
            ..
        } = &self.config;
        Ok(Evaluation::new(
            robot,
            bundle,
            self.method,
            eval,
            physics,
            controller,
            *seed,
        )?)
    }

    /// Values below this are safe; none for methods without switch.
    pub fn threshold(&self) -> Option<f32> {
        if self.method != Method::Abs {
            return None;
        }
        let switch = &self.config.controller.switch;
        Some(switch.over(&self.bundle.switch()).threshold)
    }

    /// The test of the recovery policy alone.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn recovery_evaluation(&self) -> Result<RecoveryEvaluation<'_>> {
        let Config {
            eval,
            physics,
            controller,
            seed,
            ..
        } = &self.config;
        let (robot, bundle) = (&self.robot, &self.bundle);
        Ok(RecoveryEvaluation::new(
            robot, bundle, eval, physics, controller, *seed,
        )?)
    }
}
