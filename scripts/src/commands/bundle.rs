//! `abs bundle`: what a bundle holds, and a bundle of networks from several runs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use policies::{BUNDLE_MANIFEST, Bundle, Linear, Provenance};
use robots::Robot;

/// Show what a bundle holds, or make one of networks from several runs
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs bundle policies/bundles/go1                                      networks, rays, threshold, where they come from
  abs bundle --agile runs/a/bundle --recovery policies/bundles/go1 --out out/ar
                                                                       what `abs train reach-avoid --bundle` needs
  abs bundle policies/bundles/go1 --threshold -0.2 --out out/bolder    the same networks, another threshold")]
pub struct BundleCommand {
    /// Bundle to show, or with --out the one that gives all networks that are not named
    #[arg(value_name = "DIR", required_unless_present_any = ["agile", "recovery", "reach_avoid", "rays"])]
    base: Option<PathBuf>,
    /// Bundle that gives the agile policy, and the rays that all policies see
    #[arg(long, value_name = "DIR", requires = "out")]
    agile: Option<PathBuf>,
    /// Bundle that gives the recovery policy
    #[arg(long, value_name = "DIR", requires = "out")]
    recovery: Option<PathBuf>,
    /// Bundle that gives the reach-avoid value; it must have learned with that agile policy
    #[arg(long, value_name = "DIR", requires = "out")]
    reach_avoid: Option<PathBuf>,
    /// Bundle that gives the ray network
    #[arg(long, value_name = "DIR", requires = "out")]
    rays: Option<PathBuf>,
    /// The recovery policy acts where the value is above this [default: what the value's bundle says]
    #[arg(
        long,
        value_name = "VALUE",
        requires = "out",
        allow_negative_numbers = true
    )]
    threshold: Option<f32>,
    /// The recovery policy acts only on a twist that lowers the value by this [default: what the value's bundle says]
    #[arg(
        long,
        value_name = "VALUE",
        requires = "out",
        allow_negative_numbers = true
    )]
    min_gain: Option<f32>,
    /// Folder of the bundle to be made
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Name of the robot, or path of a robot folder [default: what the bundle says]
    #[arg(long, value_name = "NAME|DIR")]
    robot: Option<String>,
}

impl BundleCommand {
    /// Prints the bundle, and writes it where `--out` says.
    ///
    /// # Errors
    /// One line for a bundle that cannot be read, networks that do not fit each other, or a folder in use.
    pub fn run(&self) -> Result<()> {
        let bundle = self.assemble()?;
        let robot = self.robot.as_ref().unwrap_or(&bundle.robot);
        bundle.check(&Robot::load(robot)?)?;
        if let Some(out) = &self.out {
            if out.join(BUNDLE_MANIFEST).exists() {
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
        let named = [&self.agile, &self.recovery, &self.reach_avoid, &self.rays];
        let mut bundle = match (&self.base, named.into_iter().flatten().next()) {
            (Some(base), _) => Bundle::load(base)?,
            (None, Some(first)) => Bundle {
                agile: None,
                recovery: None,
                reach_avoid: None,
                rays: None,
                ..Bundle::load(first)?
            },
            (None, None) => bail!("nothing to make a bundle of: name a bundle"),
        };
        if let Some(path) = &self.agile {
            let agile = |from: Bundle| Some((from.agile?, from.ray_spec));
            let (agile, ray_spec) = part(path, &bundle, agile, "agile")?;
            bundle.agile = Some(agile);
            bundle.spec.rays = ray_spec;
        }
        if let Some(path) = &self.recovery {
            bundle.recovery = Some(part(path, &bundle, |from| from.recovery, "recovery")?);
        }
        if let Some(path) = &self.reach_avoid {
            let value = part(path, &bundle, |from| from.reach_avoid, "reach_avoid")?;
            bundle.reach_avoid = Some(value);
        }
        if let Some(path) = &self.rays {
            bundle.rays = Some(part(path, &bundle, |from| from.rays, "rays")?);
        }
        match &mut bundle.reach_avoid {
            Some(value) => {
                value.threshold = self.threshold.unwrap_or(value.threshold);
                value.min_gain = self.min_gain.unwrap_or(value.min_gain);
            }
            None if self.threshold.is_some() || self.min_gain.is_some() => {
                bail!(
                    "--threshold and --min-gain are of a reach-avoid value, and the bundle has none"
                );
            }
            None => {}
        }
        Ok(bundle)
    }
}

/// One network of the bundle at `path`, for the robot of `bundle`.
fn part<T>(
    path: &Path,
    bundle: &Bundle,
    take: impl FnOnce(Bundle) -> Option<T>,
    name: &str,
) -> Result<T> {
    let from = Bundle::load(path)?;
    if from.robot != bundle.robot {
        bail!(
            "{} is for robot `{}`, the others are for `{}`",
            path.display(),
            from.robot,
            bundle.robot
        );
    }
    take(from).with_context(|| format!("{} has no [{name}] network", path.display()))
}

/// A line for the rays and one for each network.
fn describe(bundle: &Bundle) -> String {
    let rays = &bundle.spec.rays;
    let mut text = format!(
        "for {}, {} rays from {:.0} to {:.0} degrees, {} to {} m",
        bundle.robot,
        rays.count,
        rays.first_rad.to_degrees(),
        rays.last_rad.to_degrees(),
        rays.min_m,
        rays.max_m,
    );
    if rays.previous_steps > 0 {
        let _ = write!(text, ", and of {} steps before", rays.previous_steps);
    }
    text.push('\n');
    let mut line = |name: &str, layers: &[Linear], provenance: &Provenance, more: &str| {
        let learned_from = if name == "rays" {
            "images"
        } else {
            "policy steps"
        };
        let Provenance {
            git_revision,
            seed,
            policy_steps,
            date,
            ..
        } = provenance;
        let date = date.as_deref().unwrap_or("unknown day");
        let _ = writeln!(
            text,
            "{name:<12}{:<26}{:>7.1}M {learned_from}, seed {seed}, {date}, {:.12}{more}",
            widths(layers),
            *policy_steps as f64 / 1e6,
            git_revision,
        );
    };
    if let Some(member) = &bundle.agile {
        line("agile", &member.layers, &member.provenance, "");
    }
    if let Some(member) = &bundle.recovery {
        line("recovery", &member.layers, &member.provenance, "");
    }
    if let Some(member) = &bundle.reach_avoid {
        let more = format!(
            "; threshold {}, min_gain {}",
            member.threshold, member.min_gain
        );
        line("reach-avoid", &member.layers, &member.provenance, &more);
    }
    if let Some(member) = &bundle.rays {
        let more = format!("; predicts {} of the rays", member.ray_spec.count);
        line("rays", &member.layers, &member.provenance, &more);
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
