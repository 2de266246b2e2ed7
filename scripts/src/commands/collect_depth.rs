//! `abs collect-depth`: depth images and rays of running robots, as training data.

use std::{path::PathBuf, sync::atomic::Ordering, time::Instant};

use anyhow::Result;
use policies::spec::role;
use sim::depth::{DepthRecorder, RecordingConfig, Split};

use super::subject::Subject;
use crate::{
    config::ConfigArgs,
    depth::data::{CameraRecord, DepthData, Manifest, camera_of},
    run::{folder::git_revision, interrupt::Interrupt, progress::Progress},
};

/// Scenes per file; Ctrl-C is checked between files.
const SCENES_PER_FILE: usize = 128;

/// Record depth images with the rays of the same instant, while the policies run among objects
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs collect-depth                                    into data/depth-go1-1
  abs collect-depth --out data/small --set depth.recording.train_scenes=512
  abs view-depth data/depth-go1-1                      draw them
  abs train rays --data data/depth-go1-1               train the ray network

Ctrl-C stops after the current file; the same command continues there.")]
pub struct CollectDepthCommand {
    /// Folder for the images [default: data/depth-ROBOT-SEED]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Bundle whose policies run [default: the shipped bundle of the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl CollectDepthCommand {
    /// Records the files that the folder does not have yet.
    ///
    /// # Errors
    /// One line if a setting, bundle or folder is invalid.
    pub fn run(&self) -> Result<()> {
        let resolved = self.config.resolve_plain()?;
        let Subject {
            robot,
            bundle,
            config,
            ..
        } = Subject::resolve(resolved, self.bundle.as_deref(), None)?;
        let recording = &config.depth.recording;
        let recorder =
            DepthRecorder::new(&robot, &bundle, recording, &config.physics, config.seed)?
                .with_reality(&config.reality)?;
        config.start_thread_pool()?;
        let folder = self
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("data/depth-{}-{}", robot.name, config.seed)));
        let agile = bundle.spec.network(role::AGILE)?;
        let mut data = DepthData::begin(
            &folder,
            Manifest {
                robot: robot.name.clone(),
                seed: config.seed,
                git_revision: git_revision(),
                camera: CameraRecord::new(camera_of(&robot)?),
                rays: recorder.rays().clone(),
                policy: agile.sha256.clone(),
                recording: recording.clone(),
                reality: (!config.reality.is_ideal()).then(|| config.reality.clone()),
                files: Vec::new(),
            },
        )?;
        let interrupt = Interrupt::listen("stopping after this file; Ctrl-C again to kill")?;
        eprintln!("recording into {}; Ctrl-C stops", folder.display());
        if !record(&recorder, recording, &mut data, &interrupt)? {
            eprintln!("stopped; the same command continues");
            return Ok(());
        }
        let [train, test] = Split::ALL.map(|split| data.manifest.images(split));
        println!(
            "{train} images for training, {test} for testing, in {}",
            folder.display()
        );
        Ok(())
    }
}

/// False after Ctrl-C.
fn record(
    recorder: &DepthRecorder<'_>,
    config: &RecordingConfig,
    data: &mut DepthData,
    interrupt: &Interrupt,
) -> Result<bool> {
    let total = Split::ALL
        .iter()
        .map(|split| config.scenes(*split))
        .sum::<usize>();
    let mut progress = Progress::new("scenes", total as u64, 0);
    let mut done = 0;
    for split in Split::ALL {
        let scenes = config.scenes(split);
        for first in (0..scenes).step_by(SCENES_PER_FILE) {
            let end = (first + SCENES_PER_FILE).min(scenes);
            done += end - first;
            if data.has(split, first) {
                continue;
            }
            if interrupt.flag().load(Ordering::Relaxed) {
                progress.finish();
                return Ok(false);
            }
            let begin = Instant::now();
            let samples = recorder.record(split, first as u64..end as u64)?;
            data.add(split, first, end - first, &samples)?;
            let wall_s = begin.elapsed().as_secs_f64();
            let images = data.manifest.images(Split::Train) + data.manifest.images(Split::Test);
            let scalars = [
                (
                    "depth/images_per_s".to_owned(),
                    samples.len() as f64 / wall_s,
                ),
                ("depth/images".to_owned(), images as f64),
            ];
            progress.iteration(done as u64, (end - first) as f64 / wall_s, &scalars);
        }
    }
    progress.finish();
    Ok(true)
}
