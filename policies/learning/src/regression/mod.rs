//! Regression in batches, as the reach-avoid value and the rays are learned: Adam on one thread. What is learned depends on the config, the rows and
//! the seed alone.

mod ray_model;
mod ray_view;
mod rays;
mod value;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use policies::depth::DepthError;
use policies::file::{MAX_DATA_BYTES, read_bytes, write_atomic};
use policies::training::InvalidConfig;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use safetensors::tensor::SafeTensors;
use tch::{Reduction, Tensor};

use crate::backend::{elements, elements_mut};
use crate::learner::NamedTensor;

pub use ray_view::RayView;
pub use rays::RayLearner;
pub use value::ValueLearner;

/// Key of a checkpoint's metadata.
const STEPS: &str = "optimizer_steps";

/// What fits a network to rows, batch by batch.
pub trait Regression {
    /// Section of the configuration that it follows.
    const CONFIG: &'static str;

    /// Optimizer steps between two reports.
    const REPORT_INTERVAL: u64;

    /// What is learned from, and how far.
    fn batches(&self) -> &Batches;

    /// The same, to advance.
    fn batches_mut(&mut self) -> &mut Batches;

    /// Optimizer steps between two checkpoints.
    fn checkpoint_interval(&self) -> u64;

    /// Learning rate of the next step.
    fn learning_rate(&self) -> f32;

    /// Outputs of the network for the present batch, and what they should be.
    ///
    /// # Errors
    /// When the batch cannot be shown.
    fn predict_batch(&mut self) -> Result<(Tensor, Tensor), RegressionError>;

    /// Moves the parameters against their gradients, which it sets to zero.
    fn descend(&mut self);

    /// Everything that is learned, by name: float32, sharing its memory.
    fn variables(&self) -> Vec<(String, Tensor)>;

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

    /// One step of the optimizer; returns the mean squared error of its batch.
    ///
    /// # Errors
    /// When the error is not finite.
    fn step(&mut self) -> Result<f64, RegressionError> {
        let (prediction, target) = self.predict_batch()?;
        let loss = prediction.mse_loss(&target, Reduction::Mean);
        let mean = loss.double_value(&[]);
        if !mean.is_finite() {
            return Err(RegressionError::Diverged {
                step: self.steps(),
                config: Self::CONFIG,
            });
        }
        loss.backward();
        self.descend();
        self.batches_mut().done += 1;
        Ok(mean)
    }

    /// Writes all that is needed to resume exactly, given the same config, rows and seed.
    ///
    /// # Errors
    /// When the file cannot be written; one that was there before is still there.
    fn save(&self, path: &Path) -> Result<(), RegressionError> {
        let error = |what: String| checkpoint_error(path, what);
        let tensors: Vec<_> = (self.variables().into_iter())
            .map(|(name, tensor)| NamedTensor {
                name,
                shape: tensor.size().iter().map(|n| *n as usize).collect(),
                values: elements(&tensor).to_vec(),
            })
            .collect();
        let metadata = HashMap::from([(STEPS.to_owned(), self.steps().to_string())]);
        let tensors = tensors.iter().map(|tensor| (&tensor.name, tensor));
        let bytes = safetensors::serialize(tensors, Some(metadata));
        let bytes = bytes.map_err(|e| error(e.to_string()))?;
        write_atomic(path, &bytes).map_err(|e| error(e.to_string()))
    }

    /// Resumes from what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file is damaged, or of another network. The learner is then as before.
    fn load(&mut self, path: &Path) -> Result<(), RegressionError> {
        let error = |what: String| checkpoint_error(path, what);
        let bytes = read_bytes(path, MAX_DATA_BYTES).map_err(|e| error(e.to_string()))?;
        let damaged = |e| error(format!("not a whole checkpoint ({e})"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let steps = match header.metadata() {
            Some(metadata) => metadata.get(STEPS).and_then(|steps| steps.parse().ok()),
            // Ray networks had a tensor for it.
            None => file.tensor("steps").ok().and_then(|steps| {
                let bytes = steps.data().try_into().ok()?;
                Some(u64::from_le_bytes(bytes))
            }),
        };
        let steps = steps.ok_or_else(|| error(format!("holds no number of `{STEPS}`")))?;
        let mut read = Vec::new();
        for (name, variable) in self.variables() {
            let view = file.tensor(&name).map_err(damaged)?;
            let shape: Vec<_> = variable.size().iter().map(|n| *n as usize).collect();
            let tensor = NamedTensor::read(name, &view).map_err(error)?;
            tensor.has_shape(&shape).map_err(error)?;
            read.push((variable, tensor.values));
        }
        for (mut variable, values) in read {
            elements_mut(&mut variable).copy_from_slice(&values);
        }
        self.batches_mut().done = steps;
        Ok(())
    }

    /// Learns until all steps are done or `stop` is set, and saves to the file `checkpoint` now and then and at the
    /// end.
    ///
    /// # Errors
    /// When learning diverges, `observer` fails, or the checkpoint cannot be written.
    fn run<E: From<RegressionError>>(
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

/// Why a network cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum RegressionError {
    /// The config is out of range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Nothing to learn from, or nothing to report on.
    #[error("{count} {rows} are too few to {purpose}; record more")]
    TooFew {
        /// How many there are.
        count: usize,
        /// What they are.
        rows: &'static str,
        /// What there must be enough for.
        purpose: String,
    },
    /// A loss is NaN or infinite.
    #[error("diverged at optimizer step {step}; take a smaller {config}.learning_rate")]
    Diverged {
        /// Optimizer steps done.
        step: u64,
        /// Section of the configuration.
        config: &'static str,
    },
    /// A checkpoint cannot be written or read.
    #[error("{path}: {what}")]
    Checkpoint {
        /// File.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// An image cannot be shown.
    #[error(transparent)]
    Image(#[from] DepthError),
}

fn checkpoint_error(path: &Path, what: String) -> RegressionError {
    RegressionError::Checkpoint {
        path: path.display().to_string(),
        what,
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
    fn new(rows: Vec<u32>, size: usize, epochs: usize, seed: u64) -> Self {
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
    fn rows(&mut self) -> &[u32] {
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
            batches.done += 1;
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
            resumed.done = done as u64;
            assert_eq!(take(&mut resumed, 8 - done), all[done..], "after {done}");
        }
    }

    /// Its loss is the number of its step; steps done when it reported, and when it saved.
    struct Counter {
        batches: Batches,
        saved: std::cell::RefCell<Vec<u64>>,
    }

    impl Regression for Counter {
        const CONFIG: &'static str = "counter";
        const REPORT_INTERVAL: u64 = 3;

        fn batches(&self) -> &Batches {
            &self.batches
        }

        fn batches_mut(&mut self) -> &mut Batches {
            &mut self.batches
        }

        fn checkpoint_interval(&self) -> u64 {
            4
        }

        fn learning_rate(&self) -> f32 {
            1.0 / self.steps() as f32
        }

        fn predict_batch(&mut self) -> Result<(Tensor, Tensor), RegressionError> {
            unreachable!("its step is its own")
        }

        fn descend(&mut self) {}

        fn variables(&self) -> Vec<(String, Tensor)> {
            Vec::new()
        }

        fn step(&mut self) -> Result<f64, RegressionError> {
            self.batches.done += 1;
            Ok(self.steps() as f64)
        }

        fn save(&self, _: &Path) -> Result<(), RegressionError> {
            self.saved.borrow_mut().push(self.steps());
            Ok(())
        }
    }

    fn run(stop_at: u64) -> (Vec<(u64, f64, f32)>, Vec<u64>) {
        let mut counter = Counter {
            batches: batches(1),
            saved: Vec::new().into(),
        };
        let (stop, mut reports) = (AtomicBool::new(false), Vec::new());
        let path = Some(Path::new("checkpoint"));
        let run = counter.run::<RegressionError>(path, &stop, |counter, now| {
            assert_eq!(now.steps, counter.steps());
            reports.push((now.steps, now.loss, now.learning_rate));
            stop.store(now.steps >= stop_at, Ordering::Relaxed);
            Ok(())
        });
        run.unwrap();
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
