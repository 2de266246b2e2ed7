//! `abs bundle`: the contents of a bundle, and bundles of networks from several runs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Result, bail};
use policies::{
    Bundle, Linear,
    bundle::MANIFEST,
    spec::{Output, Provenance, role},
};
use robots::Robot;

use crate::repository::bundle_argument;

/// Show the contents of a bundle, or combine networks of several runs into one
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs bundle policies/bundles/go1                                      networks, rays, switch, provenance
  abs bundle runs/a/bundle --network recovery=policies/bundles/go1 --out out/ar
                                                                       what `abs train reach-avoid --bundle` needs
  abs bundle policies/bundles/go1 --threshold 0.0 --out out/bolder     the same networks, another threshold")]
pub struct BundleCommand {
    /// Bundle to show; with --out, the source of the robot, the rays and all networks that are not named
    #[arg(value_name = "DIR|NAME", value_parser = bundle_argument)]
    base: PathBuf,
    /// Take the network of this role from another bundle; may be repeated
    #[arg(long, value_name = "ROLE=DIR|NAME", requires = "out")]
    network: Vec<String>,
    /// The recovery policy acts where the value is above this [default: what the bundle says]
    #[arg(
        long,
        value_name = "VALUE",
        requires = "out",
        allow_negative_numbers = true
    )]
    threshold: Option<f32>,
    /// The recovery policy acts only on a twist that lowers the value by this [default: what the bundle says]
    #[arg(
        long,
        value_name = "VALUE",
        requires = "out",
        allow_negative_numbers = true
    )]
    min_improvement: Option<f32>,
    /// Folder of the new bundle
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Name of the robot, or path of a robot folder [default: what the bundle says]
    #[arg(long, value_name = "NAME|DIR")]
    robot: Option<String>,
}

impl BundleCommand {
    /// Prints the bundle, and writes it to `--out`.
    ///
    /// # Errors
    /// One line if a bundle cannot be read, networks do not fit each other, or the folder is in use.
    pub fn run(&self) -> Result<()> {
        let bundle = self.assemble()?;
        let robot = match &self.robot {
            Some(robot) => Robot::load(robot)?,
            None => bundle.robot()?,
        };
        bundle.check(&robot)?;
        if let Some(out) = &self.out {
            if out.join(MANIFEST).exists() {
                bail!(
                    "{} holds a bundle already; choose another --out",
                    out.display()
                );
            }
            bundle.save(out)?;
        }
        io::stdout().write_all(describe(&bundle).as_bytes())?;
        Ok(())
    }

    fn assemble(&self) -> Result<Bundle> {
        let mut bundle = Bundle::load(&self.base)?;
        for named in &self.network {
            let Some((role, path)) = named.split_once('=') else {
                bail!("--network {named}: must be ROLE=DIR, e.g. recovery=policies/bundles/go1");
            };
            let from = Bundle::load(&bundle_argument(path)?)?;
            if role == role::REACH_AVOID {
                bundle.spec.switch.clone_from(&from.spec.switch);
            }
            bundle.insert_from(role, &from)?;
        }
        if self.threshold.is_some() || self.min_improvement.is_some() {
            if !bundle.has(role::REACH_AVOID) {
                bail!(
                    "--threshold and --min-improvement need a reach-avoid value, and the bundle has none"
                );
            }
            let switch = bundle.spec.switch.get_or_insert_default();
            switch.threshold = self.threshold.unwrap_or(switch.threshold);
            switch.min_improvement = self.min_improvement.unwrap_or(switch.min_improvement);
            switch.validate()?;
        }
        Ok(bundle)
    }
}

/// A line for the rays and one for each network.
pub fn describe(bundle: &Bundle) -> String {
    let (spec, rays) = (&bundle.spec, &bundle.spec.rays);
    let mut text = format!(
        "for {}, policy step {} s, {} rays from {:.0} to {:.0} degrees, {} to {} m",
        spec.robot.name,
        spec.policy_step_s,
        rays.count,
        rays.first_rad.to_degrees(),
        rays.last_rad.to_degrees(),
        rays.min_m,
        rays.max_m,
    );
    if rays.width_rad > 0.0 {
        let _ = write!(text, ", {:.0} degrees wide", rays.width_rad.to_degrees());
    }
    if rays.height_m != [0.0; 2] {
        let [low_m, high_m] = rays.height_m;
        let _ = write!(text, ", {low_m} to {high_m} m over the base");
    }
    if rays.previous_steps > 0 {
        let _ = write!(text, ", and those of {} steps before", rays.previous_steps);
    }
    text.push('\n');
    for (role, network) in &spec.networks {
        let Provenance {
            git_revision,
            seed,
            policy_steps,
            date,
            imported_from,
            ..
        } = &network.provenance;
        let (learned_from, more) = match &network.output {
            Output::Actions { .. } => ("policy steps", String::new()),
            Output::Value { .. } => {
                let switch = bundle.switch();
                let (threshold, min) = (switch.threshold, switch.min_improvement);
                (
                    "policy steps",
                    format!("; threshold {threshold}, min_improvement {min}"),
                )
            }
            Output::Rays { rays, .. } => {
                ("images", format!("; predicts {} of the rays", rays.count))
            }
        };
        let date = date.as_deref().unwrap_or("unknown day");
        let widths = widths(bundle.layers(role));
        let _ = match imported_from {
            Some(file) => writeln!(
                text,
                "{role:<12}{widths:<26} imported {date} from {}",
                file.name
            ),
            None => writeln!(
                text,
                "{role:<12}{widths:<26}{:>7.1}M {learned_from}, seed {seed}, {date}, {git_revision:.12}{more}",
                *policy_steps as f64 / 1e6,
            ),
        };
    }
    text
}

/// Inputs, then the outputs of every layer.
fn widths(layers: &[Linear]) -> String {
    let outputs = layers.iter().map(|layer| layer.bias.len());
    let first = layers.first().map(|layer| layer.inputs);
    let widths: Vec<String> = first
        .into_iter()
        .chain(outputs)
        .map(|width| width.to_string())
        .collect();
    widths.join("-")
}
