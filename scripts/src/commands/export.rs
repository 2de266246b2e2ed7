//! `abs export`: the networks of a bundle as ONNX models, with the contract that another program needs to run them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use policies::Bundle;
use robots::Robot;

/// Write the networks of a bundle as ONNX models, with all that another program needs to run them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs export policies/bundles/go1 --out out/go1-onnx                      every policy, the value and the twist search
  abs export policies/bundles/go1 --network recovery --out out/recovery   one network
  abs export policies/bundles/go1 --out out/go1-onnx --scenes 200         with scenes for scripts/examples/mujoco_onnx.py

docs/how-to/export.md says what is in the folder.")]
pub struct ExportCommand {
    /// The bundle: its folder, or the name of a shipped one
    #[arg(value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: PathBuf,
    /// Folder to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Role of a network to export; may be repeated [default: all that can be exported]
    #[arg(long, value_name = "ROLE")]
    network: Vec<String>,
    /// Write so many scenes of the paper's test, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    scenes: Option<u64>,
    /// Seed of the scenes: those of `abs eval` with this seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Name of the robot, or path of a robot folder [default: what the bundle says]
    #[arg(long, value_name = "NAME|DIR")]
    robot: Option<String>,
}

impl ExportCommand {
    /// Writes the folder.
    ///
    /// # Errors
    /// One line if the bundle cannot be read or exported, or the folder is in use.
    pub fn run(&self) -> Result<()> {
        ensure!(
            !self.out.exists(),
            "{} exists already; choose another --out",
            self.out.display()
        );
        let bundle = Bundle::load(&self.bundle)?;
        let robot = match &self.robot {
            Some(robot) => Robot::load(robot)?,
            None => bundle.robot()?,
        };
        bundle.check(&robot)?;
        self.export(&bundle, &robot)
    }

    #[cfg(feature = "onnx")]
    fn export(&self, bundle: &Bundle, robot: &Robot) -> Result<()> {
        use crate::export::{CONTRACT_FILE, Export, ROBOT_FILE, SCENES_FILE};
        use anyhow::Context as _;
        use std::io::Write as _;

        let mut export = Export::new(bundle, robot, &self.network)
            .with_context(|| self.bundle.display().to_string())?;
        if let Some(count) = self.scenes {
            export.add_scenes(robot, self.seed, count)?;
        }
        export.write(&self.out)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", self.out.display())?;
        for model in &export.models {
            let (file, kb, agreement) = (&model.file, model.bytes / 1000, &model.agreement);
            writeln!(out, "  {file:<18}{kb:>5} kB  {agreement}")?;
        }
        writeln!(
            out,
            "  {CONTRACT_FILE:<18}          inputs, outputs, robot, rays, limits"
        )?;
        writeln!(out, "  {ROBOT_FILE:<18}          the robot for MuJoCo")?;
        if let Some(count) = self.scenes {
            writeln!(
                out,
                "  {SCENES_FILE:<18}          {count} scenes, seed {}",
                self.seed
            )?;
        }
        for role in &export.skipped {
            writeln!(out, "  without `{role}`, which observes depth images")?;
        }
        Ok(())
    }

    /// Says how to get a program that exports.
    #[cfg(not(feature = "onnx"))]
    fn export(&self, _bundle: &Bundle, _robot: &Robot) -> Result<()> {
        anyhow::bail!(
            "this program was built without ONNX; start it as scripts/abs export, which builds it with"
        )
    }
}
