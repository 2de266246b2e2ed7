//! A training: now and then an episode of the present policy, beside the learning curves.

use std::time::{Duration, Instant};

use anyhow::Result;
use controller::Method;
use learning::IterationReport;
use policies::Bundle;
use robots::Robot;
use sim::eval::{EvalError, Evaluation};

use super::{Destination, Pace, Subject, View};
use crate::{config::Config, pictures::caption_of};

/// An episode is simulated when this many times of what the last one took has passed: training loses 2% at most.
const REST: u32 = 50;
/// An episode takes as long to be seen.
const LEAST_REST: Duration = Duration::from_secs(12);

/// Shows a training.
pub struct TrainingView {
    view: View,
    start: Instant,
    next: Instant,
    /// Number of the next episode; none for a policy that does not run to goals.
    episode: Option<u64>,
}

impl TrainingView {
    /// Opens a view without episodes and curves.
    ///
    /// # Errors
    /// One line that says what is missing, and what would do instead.
    pub fn open(
        destination: &Destination,
        title: String,
        robot: &Robot,
        config: &Config,
    ) -> Result<Self> {
        let view = View::open(
            destination,
            &Subject {
                title,
                robot,
                rays: &config.env.rays,
                threshold: None,
                camera: None,
                pace: Pace::Training,
            },
        )?;
        let now = Instant::now();
        Ok(Self {
            view,
            start: now,
            next: now,
            episode: Some(0),
        })
    }

    /// Plots what an iteration tells.
    ///
    /// # Errors
    /// When the recording does not take it.
    pub fn iteration(&mut self, report: &IterationReport) -> Result<()> {
        let time_s = self.start.elapsed().as_secs_f64();
        self.view
            .plot_curves(time_s, report.iteration, report.scalars())
    }

    /// Whether it is time for an episode.
    pub fn is_due(&self) -> bool {
        self.episode.is_some() && Instant::now() >= self.next
    }

    /// Simulates an episode of the test with the policy of `bundle`, and shows it.
    ///
    /// # Errors
    /// When the policy or the recording fails.
    pub fn episode(
        &mut self,
        robot: &Robot,
        bundle: &Bundle,
        method: Method,
        config: &Config,
        policy_steps: u64,
    ) -> Result<()> {
        let Some(episode) = self.episode else {
            return Ok(());
        };
        let begin = Instant::now();
        let (eval, physics, controller) = (&config.eval, &config.physics, &config.controller);
        let evaluation = match Evaluation::new(
            robot,
            bundle,
            method,
            eval,
            physics,
            controller,
            config.seed,
        ) {
            Err(EvalError::NoGoal) => {
                self.episode = None;
                return Ok(());
            }
            evaluation => evaluation?,
        };
        for record in evaluation.run(&[episode], true, &|| ())? {
            self.view.wait_until(self.start.elapsed().as_secs_f64());
            let caption = format!(
                "{policy_steps} policy steps, episode {}",
                caption_of(&record)
            );
            self.view.show_episode(&record, eval.reach_m, &caption)?;
        }
        self.episode = Some(episode + 1);
        let took = begin.elapsed();
        self.next = Instant::now() + (REST * took).max(LEAST_REST);
        Ok(())
    }

    /// As [`View::close`].
    ///
    /// # Errors
    /// When it could not all be written or sent.
    pub fn close(self) -> Result<()> {
        self.view.close()
    }
}
