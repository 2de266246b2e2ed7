//! `abs scenes`: the scenes for evaluation.

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
  abs scenes                               list all
  abs scenes --out out/scenes              a picture of each
  abs scenes my.toml slalom --out out      draw these; docs/how-to/own-scene.md says how to write one")]
pub struct ScenesCommand {
    /// Names of shipped scenes, or TOML files [default: all shipped scenes]
    #[arg(value_name = "NAME|FILE.toml")]
    scenes: Vec<String>,
    /// Draw the first episodes of each scene into this folder, as NAME.png
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl ScenesCommand {
    /// Prints the list, or draws.
    ///
    /// # Errors
    /// One line if a scene does not exist or cannot be drawn.
    pub fn run(&self) -> Result<()> {
        let config = self.config.resolve()?;
        let all = TestbedConfig::shipped().chain(TestbedConfig::for_training());
        let mut text = String::new();
        let names = match self.scenes.is_empty() {
            true => all.map(|(name, _)| name.to_owned()).collect(),
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
    let mut all = TestbedConfig::shipped().chain(TestbedConfig::for_training());
    let known = all.find(|(shipped, _)| *shipped == name);
    known.map_or("from a file", |(_, about)| about)
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
    scene_sheet(&title, &scenes, config.eval.reach_m.into())?.save(&path)?;
    Ok(path)
}
