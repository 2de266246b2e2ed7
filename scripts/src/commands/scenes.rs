//! `abs scenes`: what there is to be tested in.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context, Result};
use sim::scene::{TestScene, TestbedConfig};

use crate::{
    config::{Config, ConfigArgs},
    pictures::scene_sheet,
};

/// Episodes in a picture.
const SHOWN: u64 = 3;

/// List the scenes for `--scene`, or draw them from above
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs scenes                               what there is
  abs scenes --out out/scenes              a picture of each
  abs scenes my.toml slalom --out out      of these; docs/scenes.md says how to write one")]
pub struct ScenesCommand {
    /// Names, or TOML files of one's own [default: all that are shipped]
    #[arg(value_name = "NAME|FILE.toml")]
    scenes: Vec<String>,
    /// Folder for a picture of each, NAME.png, of its first episodes
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl ScenesCommand {
    /// Prints the list, or draws.
    ///
    /// # Errors
    /// One line for a scene that there is not, or that is impossible.
    pub fn run(&self) -> Result<()> {
        let config = self.config.resolve()?;
        let shipped = TestbedConfig::shipped();
        let mut text = String::new();
        let names = match self.scenes.is_empty() {
            true => shipped.map(|(name, _)| name.to_owned()).collect(),
            false => self.scenes.clone(),
        };
        for name in &names {
            let testbed = TestbedConfig::load(name)?;
            // Writing to a string cannot fail.
            let _ = match &self.out {
                Some(out) => writeln!(text, "{}", draw(&testbed, &config, out)?.display()),
                None => writeln!(text, "{:<11}{}", testbed.name, about(name)),
            };
        }
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

fn about(name: &str) -> &'static str {
    let known = TestbedConfig::shipped().find(|(shipped, _)| *shipped == name);
    known.map_or("a file of your own", |(_, about)| about)
}

fn draw(testbed: &TestbedConfig, config: &Config, out: &std::path::Path) -> Result<PathBuf> {
    let scenes = (0..SHOWN)
        .map(|index| TestScene::new(config.seed, index, testbed))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("scene {}", testbed.name))?;
    let title = format!(
        "{}: the first episodes of seed {}",
        testbed.name, config.seed
    );
    let path = out.join(format!("{}.png", testbed.name));
    scene_sheet(&title, &scenes, config.eval.reach_m.into())?.save_png(&path)?;
    Ok(path)
}
