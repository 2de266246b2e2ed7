//! Regression in batches, as the reach-avoid value and the rays are learned.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use tch::Tensor;

/// What fits a network to rows, batch by batch.
pub trait Regression {
    /// Why it cannot learn.
    type Error;

    /// Optimizer steps between two reports.
    const REPORT_INTERVAL: u64;

    /// What is learned from, and how far.
    fn batches(&self) -> &Batches;

    /// Optimizer steps between two checkpoints.
    fn checkpoint_interval(&self) -> u64;

    /// Learning rate of the next step.
    fn learning_rate(&self) -> f32;

    /// One step of the optimizer; returns the mean squared error of its batch.
    ///
    /// # Errors
    /// When the error is not finite.
    fn step(&mut self) -> Result<f64, Self::Error>;

    /// Writes all that is needed to go on exactly, given the same config, rows and seed.
    ///
    /// # Errors
    /// When the file cannot be written; one that was there before is still there.
    fn save(&self, path: &Path) -> Result<(), Self::Error>;

    /// Goes on from what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file is damaged, or of another network.
    fn load(&mut self, path: &Path) -> Result<(), Self::Error>;

    /// Optimizer steps done.
    #[must_use]
    fn steps(&self) -> u64 {
        self.batches().done
    }

    /// Optimizer steps in all.
    #[must_use]
    fn total_steps(&self) -> u64 {
        self.batches().total()
    }

    /// Learns until all steps are done or `stop` is set, and saves to the file `checkpoint` now and then and at the
    /// end.
    ///
    /// # Errors
    /// When learning diverges, `observer` fails, or the checkpoint cannot be written.
    fn run<E: From<Self::Error>>(
        &mut self,
        checkpoint: Option<&Path>,
        stop: &AtomicBool,
        mut observer: impl FnMut(&mut Self, RegressionProgress) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut loss, mut count) = (0.0, 0);
        while self.steps() < self.total_steps() && !stop.load(Ordering::Relaxed) {
            loss += self.step()?;
            count += 1;
            let steps = self.steps();
            if steps.is_multiple_of(Self::REPORT_INTERVAL) || steps == self.total_steps() {
                let progress = RegressionProgress {
                    steps,
                    loss: loss / f64::from(count),
                    learning_rate: self.learning_rate(),
                };
                observer(self, progress)?;
                (loss, count) = (0.0, 0);
            }
            if let Some(path) = checkpoint
                && self.steps().is_multiple_of(self.checkpoint_interval())
            {
                self.save(path)?;
            }
        }
        if let Some(path) = checkpoint {
            self.save(path)?;
        }
        Ok(())
    }
}

/// Progress since the last report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegressionProgress {
    /// Optimizer steps done.
    pub steps: u64,
    /// Mean squared error over the batches since the last report.
    pub loss: f64,
    /// Present learning rate.
    pub learning_rate: f32,
}

/// The batches of all epochs, one per optimizer step. Which rows they hold depends on the seed alone.
pub struct Batches {
    /// Rows in the order of the present epoch.
    order: Vec<u32>,
    order_epoch: Option<u64>,
    size: usize,
    epochs: u64,
    seed: u64,
    done: u64,
}

impl Batches {
    /// `size` of the `rows` each, at most as many as there are.
    pub(super) fn new(rows: Vec<u32>, size: usize, epochs: usize, seed: u64) -> Self {
        Self {
            order: rows,
            order_epoch: None,
            size,
            epochs: epochs as u64,
            seed,
            done: 0,
        }
    }

    /// Rows that are learned from.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.order.len()
    }

    /// Batches done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Batches in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.per_epoch() * self.epochs
    }

    /// Rows that do not fill a batch wait for the next epoch's order.
    fn per_epoch(&self) -> u64 {
        (self.order.len() / self.size) as u64
    }

    /// Rows of the present batch.
    pub(super) fn rows(&mut self) -> &[u32] {
        let epoch = self.done / self.per_epoch();
        if self.order_epoch != Some(epoch) {
            self.order.sort_unstable();
            self.order
                .shuffle(&mut Pcg64::new(self.seed.into(), epoch.into()));
            self.order_epoch = Some(epoch);
        }
        let first = (self.done % self.per_epoch()) as usize * self.size;
        &self.order[first..first + self.size]
    }

    /// Ends the present batch.
    pub(super) fn advance(&mut self) {
        self.done += 1;
    }

    /// Goes on behind the first `done` batches.
    pub(super) fn go_on_after(&mut self, done: u64) {
        self.done = done;
    }
}

/// The value of a scalar loss, if it is finite.
pub(super) fn finite(loss: &Tensor) -> Option<f64> {
    Some(loss.double_value(&[])).filter(|loss| loss.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two epochs of four batches of five; three of the 23 rows wait.
    fn batches(seed: u64) -> Batches {
        Batches::new((100..123).collect(), 5, 2, seed)
    }

    fn take(batches: &mut Batches, count: usize) -> Vec<Vec<u32>> {
        let one = |_| {
            let rows = batches.rows().to_vec();
            batches.advance();
            rows
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn an_epoch_takes_no_row_twice() {
        let mut batches = batches(1);
        assert_eq!((batches.num_rows(), batches.total()), (23, 8));
        let epochs = [
            take(&mut batches, 4).concat(),
            take(&mut batches, 4).concat(),
        ];
        assert_eq!(batches.done(), batches.total());
        for epoch in &epochs {
            let mut rows = epoch.clone();
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(rows.len(), 20);
            assert!(rows.iter().all(|row| (100..123).contains(row)));
        }
        assert_ne!(epochs[0], epochs[1]);

        let mut whole = Batches::new((0..20).collect(), 5, 1, 1);
        let mut rows = take(&mut whole, 4).concat();
        rows.sort_unstable();
        assert_eq!(rows, (0..20).collect::<Vec<_>>(), "every row once");
    }

    #[test]
    fn the_order_depends_on_the_seed_alone() {
        let all = take(&mut batches(1), 8);
        assert_eq!(take(&mut batches(1), 8), all);
        assert_ne!(take(&mut batches(2), 8), all);
    }

    #[test]
    fn batches_go_on_within_an_epoch_as_if_never_stopped() {
        let all = take(&mut batches(1), 8);
        for done in 0..8 {
            let mut resumed = batches(1);
            resumed.go_on_after(done as u64);
            assert_eq!(take(&mut resumed, 8 - done), all[done..], "after {done}");
        }
    }

    /// Its loss is the number of its step; steps done when it reported, and when it saved.
    struct Counter {
        batches: Batches,
        saved: std::cell::RefCell<Vec<u64>>,
    }

    impl Regression for Counter {
        type Error = std::convert::Infallible;

        const REPORT_INTERVAL: u64 = 3;

        fn batches(&self) -> &Batches {
            &self.batches
        }

        fn checkpoint_interval(&self) -> u64 {
            4
        }

        fn learning_rate(&self) -> f32 {
            1.0 / self.steps() as f32
        }

        fn step(&mut self) -> Result<f64, Self::Error> {
            self.batches.advance();
            Ok(self.steps() as f64)
        }

        fn save(&self, _: &Path) -> Result<(), Self::Error> {
            self.saved.borrow_mut().push(self.steps());
            Ok(())
        }

        fn load(&mut self, _: &Path) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    fn run(stop_at: u64) -> (Vec<(u64, f64, f32)>, Vec<u64>) {
        let mut counter = Counter {
            batches: batches(1),
            saved: Vec::new().into(),
        };
        let (stop, mut reports) = (AtomicBool::new(false), Vec::new());
        let Ok(()) = counter.run::<std::convert::Infallible>(
            Some(Path::new("checkpoint")),
            &stop,
            |counter, now| {
                assert_eq!(now.steps, counter.steps());
                reports.push((now.steps, now.loss, now.learning_rate));
                stop.store(now.steps >= stop_at, Ordering::Relaxed);
                Ok(())
            },
        );
        (reports, counter.saved.into_inner())
    }

    #[test]
    fn reports_are_means_since_the_last_one_and_the_end_is_saved() {
        let (reports, saved) = run(8);
        // (1 + 2 + 3) / 3, (4 + 5 + 6) / 3, (7 + 8) / 2
        assert_eq!(
            reports,
            [(3, 2.0, 1.0 / 3.0), (6, 5.0, 1.0 / 6.0), (8, 7.5, 0.125)]
        );
        assert_eq!(saved, [4, 8, 8]);
    }

    #[test]
    fn a_stop_ends_and_saves() {
        let (reports, saved) = run(6);
        assert_eq!(reports.len(), 2);
        assert_eq!(saved, [4, 6]);
    }
}
