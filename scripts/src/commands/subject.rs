//! Which bundle runs on which robot, by one rule for all commands.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};
use controller::Method;
use policies::{
    Bundle, Quantity,
    spec::{Output, role},
};
use robots::{Robot, RobotError};
use sim::{
    eval::{Evaluation, RaySource, RecoveryEvaluation, RecoveryTestConfig},
    tasks::{self, Test},
};

use crate::{
    config::{Config, Resolved},
    repository,
    results::evaluation::name_of,
    view::{self, Pace},
};

/// A policy bundle, the robot that it runs on, and the settings.
#[derive(Clone)]
pub struct Subject {
    /// The robot.
    pub robot: Robot,
    /// Its policies.
    pub bundle: Bundle,
    /// Folder of the bundle.
    pub bundle_path: PathBuf,
    /// What controls it.
    pub method: Method,
    /// `robot` names the robot above.
    pub config: Config,
}

impl Subject {
    /// The bundle is the one in the folder `bundle`, else the shipped one of the robot that flags or file name, else that of
    /// the default robot. The robot is that of the bundle; another one is refused, an edited one of the same name is taken.
    /// The method is the given one, else the most that the bundle can do.
    ///
    /// # Errors
    /// One line when there is no such bundle or robot, or the two do not belong together.
    pub fn resolve(
        resolved: Resolved,
        bundle: Option<&Path>,
        method: Option<Method>,
    ) -> Result<Self> {
        let Resolved {
            mut config,
            origins,
        } = resolved;
        let named = match origins.get("robot") {
            Some(from) => Some((from, Robot::load(&config.robot)?)),
            None => None,
        };
        let bundle_path = match (bundle, &named) {
            (Some(folder), _) => folder.to_owned(),
            (None, Some((_, robot))) => repository::shipped_bundle(&robot.name)?,
            (None, None) => repository::shipped_bundle(&config.robot)?,
        };
        let bundle = Bundle::load(&bundle_path)?;
        let (path, name) = (bundle_path.display(), &bundle.spec.robot.name);
        let robot = match named {
            Some((from, robot)) => {
                ensure!(
                    robot.name == *name,
                    "{path} is for robot `{name}`, but {from} says `{}`",
                    robot.name
                );
                robot
            }
            None => {
                let (robot, place) = match bundle.robot_and_place(&bundle_path) {
                    Err(RobotError::NotFound { .. }) => bail!(
                        "{path} is for robot `{name}`, which is not shipped; name its folder with --robot"
                    ),
                    found => found?,
                };
                config.robot = place;
                robot
            }
        };
        robot.require_sound()?;
        let method = method.unwrap_or_else(|| default_method(&bundle));
        // The grid of the task, unless another one is asked for.
        if let Method::Policy(role) = method
            && let Some(Test::Twist(test)) = tasks::of_role(&role).map(|task| task.test)
            && config.eval.recovery == RecoveryTestConfig::default()
        {
            config.eval.recovery = test();
        }
        Ok(Self {
            method,
            robot,
            bundle,
            bundle_path,
            config,
        })
    }

    /// The evaluation of this policy.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn evaluation(&self) -> Result<Evaluation<'_>> {
        let (robot, bundle, config) = (&self.robot, &self.bundle, &self.config);
        let evaluation = Evaluation::new(
            robot,
            bundle,
            self.method,
            &config.eval,
            &config.physics,
            &config.controller,
            config.seed,
        )?;
        Ok(evaluation.with_reality(&config.reality)?)
    }

    /// Values below this are safe; none for methods without switch.
    pub fn threshold(&self) -> Option<f32> {
        if self.method != Method::Abs {
            return None;
        }
        let switch = &self.config.controller.switch;
        Some(switch.over(&self.bundle.switch()).threshold)
    }

    /// What a view of its recorded episodes shows; the depth camera where rays are predicted from its images.
    pub fn recorded(&self, title: String) -> view::Subject<'_> {
        let is_used = self.config.eval.rays == RaySource::Depth;
        view::Subject {
            title,
            robot: &self.robot,
            rays: &self.bundle.spec.rays,
            threshold: self.threshold(),
            camera: self.robot.camera.as_ref().filter(|_| is_used),
            pace: Pace::Recorded,
        }
    }

    /// Name of the bundle in folders of results: a shipped bundle goes by its own name, that of a run by the name of the run.
    pub fn bundle_name(&self) -> String {
        let path = &self.bundle_path;
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let run = path.parent().filter(|_| path.ends_with("bundle"));
        name_of(run.unwrap_or(&path))
    }

    /// The test of a policy that tracks twists.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn recovery_evaluation(&self) -> Result<RecoveryEvaluation<'_>> {
        let (robot, bundle, config) = (&self.robot, &self.bundle, &self.config);
        let evaluation = RecoveryEvaluation::new(
            robot,
            bundle,
            self.method,
            &config.eval,
            &config.physics,
            &config.controller,
            config.seed,
        )?;
        Ok(evaluation.with_reality(&config.reality)?)
    }

    /// Whether the policy tracks twists, and does not run to goals.
    pub fn tracks_twists(&self) -> bool {
        tracks_twists(&self.bundle, self.method)
    }
}

fn tracks_twists(bundle: &Bundle, method: Method) -> bool {
    match method {
        Method::Abs => false,
        Method::Policy(role) => bundle.spec.observes(&role, Quantity::TwistCommand),
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
