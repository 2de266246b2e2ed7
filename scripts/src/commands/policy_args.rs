//! Flags of the commands that evaluate a policy in simulation.

use std::path::PathBuf;

use anyhow::Result;
use controller::Method;
use sim::{engine::EngineKind, eval::RaySource};

use super::{engine_kind, subject::Subject};
use crate::config::{Config, ConfigArgs};

/// Flags shared by `eval`, `play` and `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct PolicyArgs {
    /// Policy bundle, which knows its robot: its folder, or the name of a shipped one [default: the shipped bundle of the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// What controls the robot: abs, or a policy of the bundle, e.g. agile or recovery [default: abs if the bundle has all three networks]
    #[arg(long)]
    method: Option<Method>,
    /// Scene: one that `abs scenes` lists, or a TOML file [default: cylinders, the paper's test]
    #[arg(long, value_name = "NAME|FILE.toml")]
    scene: Option<String>,
    /// In what the robot differs from the simulation: ideal, lab, field, or a TOML file [default: ideal, the paper's test]
    #[arg(long, value_name = "NAME|FILE.toml")]
    reality: Option<String>,
    /// Source of the rays: true distances, or predictions from depth images [default: exact]
    #[arg(long, value_enum)]
    rays: Option<Rays>,
    /// Physics engine [default: rapier]
    #[arg(long, value_parser = engine_kind())]
    engine: Option<EngineKind>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Rays {
    Exact,
    Depth,
}

impl PolicyArgs {
    /// Loads everything; `change` is the last word on the settings.
    ///
    /// # Errors
    /// One line for a wrong setting, robot or bundle.
    pub fn load(&self, change: impl FnOnce(&mut Config)) -> Result<Subject> {
        let args = ConfigArgs {
            scene: self.scene.clone(),
            reality: self.reality.clone(),
            ..self.config.clone()
        };
        let mut resolved = args.resolve_plain()?;
        let eval = &mut resolved.config.eval;
        eval.engine = self.engine.unwrap_or(eval.engine);
        if let Some(rays) = self.rays {
            eval.rays = match rays {
                Rays::Exact => RaySource::Exact,
                Rays::Depth => RaySource::Depth,
            };
        }
        change(&mut resolved.config);
        let subject = Subject::resolve(resolved, self.bundle.as_deref(), self.method)?;
        subject.config.start_thread_pool()?;
        Ok(subject)
    }
}
