//! Learning of the reach-avoid value from recorded roll-outs (method section 7): regression with Adam, on one thread.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use rand::RngExt;
use rand_pcg::Pcg64;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Kind, Reduction, Tensor};

use super::adam::Adam;
use super::host_tensor::{elements, elements_mut, zeros};
use super::regression::{Batches, Regression, finite};
use super::value_labels::Labels;
use policies::file::write_atomic;
use policies::mlp::Linear;
use policies::reach_avoid::{ReachAvoidConfig, Rollouts};
use policies::training::InvalidConfig;

/// Observations that vary less are not learned from.
const MIN_STD: f32 = 1e-4;

/// Fits a value network to roll-outs. Its course depends on the config, the roll-outs and the seed alone.
pub struct ValueLearner<'a> {
    config: ReachAvoidConfig,
    rollouts: &'a Rollouts,
    num_training_episodes: usize,
    labels: Labels,
    /// Mean and standard deviation of every observation; the last step folds them into the first layer.
    mean: Vec<f32>,
    std: Vec<f32>,
    /// Layers in the flat vector of parameters.
    spans: Vec<Span>,
    /// float32 [len], a leaf of the graph.
    parameters: Tensor,
    adam: Adam,
    batches: Batches,
    input: Tensor,
    target: Tensor,
}

/// Where a layer lies in the flat vector: weights [outputs, inputs], then biases [outputs].
#[derive(Clone, Copy, Debug)]
struct Span {
    offset: usize,
    inputs: usize,
    outputs: usize,
}

impl Span {
    fn bias(self) -> usize {
        self.offset + self.inputs * self.outputs
    }

    fn end(self) -> usize {
        self.bias() + self.outputs
    }
}

/// Why the value cannot be learned.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The config is out of range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Nothing to learn from, or nothing to report on.
    #[error("{episodes} episodes are too few to hold a share of {share} out; record more")]
    TooFewEpisodes {
        /// Episodes there are.
        episodes: usize,
        /// Share to be held out.
        share: f32,
    },
    /// A loss is NaN or infinite.
    #[error("diverged at optimizer step {0}; take a smaller reach_avoid.learning.learning_rate")]
    Diverged(u64),
    /// A checkpoint cannot be written or read.
    #[error("{path}: {what}")]
    Checkpoint {
        /// File.
        path: String,
        /// What is wrong.
        what: String,
    },
}

impl<'a> ValueLearner<'a> {
    /// A network with random weights, to learn from all but the last episodes of `rollouts`.
    ///
    /// # Errors
    /// A setting out of range, or too few episodes.
    pub fn new(
        config: ReachAvoidConfig,
        rollouts: &'a Rollouts,
        seed: u64,
    ) -> Result<Self, ValueError> {
        config.validate()?;
        tch::set_num_threads(1);
        let episodes = rollouts.num_episodes();
        let held_out = (f64::from(config.held_out_share) * episodes as f64).round() as usize;
        if held_out == 0 || held_out >= episodes {
            return Err(ValueError::TooFewEpisodes {
                episodes,
                share: config.held_out_share,
            });
        }
        let num_training_episodes = episodes - held_out;
        let num_rows = rollouts.rows(num_training_episodes - 1).end;
        let batch_size = config.batch_size.min(num_rows);
        let (mean, std) = moments(rollouts, num_rows);
        let spans = spans(rollouts.dim(), &config.hidden);
        let len = spans[spans.len() - 1].end();
        let mut learner = Self {
            labels: Labels::new(&config, rollouts, num_training_episodes),
            num_training_episodes,
            mean,
            std,
            parameters: zeros(&[len], Kind::Float),
            adam: Adam::new(len),
            batches: Batches::new(
                (0..num_rows as u32).collect(),
                batch_size,
                config.epochs,
                seed,
            ),
            input: zeros(&[batch_size, rollouts.dim()], Kind::Float),
            target: zeros(&[batch_size, 1], Kind::Float),
            spans,
            config,
            rollouts,
        };
        learner.initialize(seed);
        Ok(learner)
    }

    /// Uniform within 1 / sqrt(inputs).
    fn initialize(&mut self, seed: u64) {
        let mut random = Pcg64::new(u128::from(seed), u128::MAX);
        let flat = elements_mut::<f32>(&mut self.parameters);
        for span in &self.spans {
            let bound = 1.0 / (span.inputs as f32).sqrt();
            for parameter in &mut flat[span.offset..span.end()] {
                *parameter = random.random_range(-bound..bound);
            }
        }
        self.parameters = self.parameters.set_requires_grad(true);
    }

    /// Episodes that are not learned from.
    #[must_use]
    pub fn held_out_episodes(&self) -> Range<usize> {
        self.num_training_episodes..self.rollouts.num_episodes()
    }

    /// Rows that are learned from.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.batches.num_rows()
    }

    /// Observations and targets of the next batch.
    fn fill_batch(&mut self) {
        let rows = self.batches.rows().iter();
        let rows: Vec<usize> = rows.map(|row| *row as usize).collect();
        let targets: Vec<f32> = match &self.labels {
            Labels::Targets(targets) => rows.iter().map(|row| targets[*row]).collect(),
            Labels::Margins(labels) => {
                // Behind the last row of an episode there is none; the row itself stands in.
                let next = rows
                    .iter()
                    .map(|row| row + usize::from(!labels[*row].is_last));
                self.write_input(next);
                let next = tch::no_grad(|| self.forward());
                let next = elements::<f32>(&next).iter();
                rows.iter()
                    .map(|row| &labels[*row])
                    .zip(next)
                    .map(|(label, next)| label.target(self.config.gamma, *next))
                    .collect()
            }
        };
        self.write_input(rows.into_iter());
        elements_mut(&mut self.target).copy_from_slice(&targets);
    }

    /// Observations with mean 0 and standard deviation 1.
    fn write_input(&self, rows: impl Iterator<Item = usize>) {
        let mut input = self.input.shallow_clone();
        let dim = self.rollouts.dim();
        for (out, row) in elements_mut::<f32>(&mut input)
            .chunks_exact_mut(dim)
            .zip(rows)
        {
            let observation = self.rollouts.observation(row);
            for (((out, value), mean), std) in out
                .iter_mut()
                .zip(observation)
                .zip(&self.mean)
                .zip(&self.std)
            {
                *out = (value - mean) / std;
            }
        }
    }

    /// Values [batch_size, 1] of the input.
    fn forward(&self) -> Tensor {
        let part = |offset: usize, len: usize| self.parameters.narrow(0, offset as i64, len as i64);
        let mut rows = self.input.shallow_clone();
        let last = self.spans.len() - 1;
        for (index, span) in self.spans.iter().enumerate() {
            let weight = part(span.offset, span.inputs * span.outputs)
                .view([span.outputs as i64, span.inputs as i64]);
            rows = rows.linear(&weight, Some(part(span.bias(), span.outputs)));
            rows = if index == last {
                rows.tanh()
            } else {
                rows.relu()
            };
        }
        rows
    }

    /// The network as it is stored and run: ReLU behind all layers but the last, tanh behind that.
    #[must_use]
    pub fn layers(&self) -> Vec<Linear> {
        let flat = elements::<f32>(&self.parameters);
        let layer = |span: &Span| Linear {
            weight: flat[span.offset..span.bias()].to_vec(),
            bias: flat[span.bias()..span.end()].to_vec(),
            inputs: span.inputs,
        };
        let mut layers: Vec<Linear> = self.spans.iter().map(layer).collect();
        let first = &mut layers[0];
        let rows = first.weight.chunks_exact_mut(first.inputs);
        for (row, bias) in rows.zip(&mut first.bias) {
            for ((weight, mean), std) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                *weight /= std;
                *bias -= *weight * mean;
            }
        }
        layers
    }
}

impl Regression for ValueLearner<'_> {
    type Error = ValueError;

    const REPORT_INTERVAL: u64 = 100;

    fn batches(&self) -> &Batches {
        &self.batches
    }

    fn checkpoint_interval(&self) -> u64 {
        self.config.checkpoint_interval
    }

    /// From the first rate to the last one geometrically.
    fn learning_rate(&self) -> f32 {
        let ReachAvoidConfig {
            learning_rate,
            final_learning_rate,
            ..
        } = self.config;
        let progress = self.steps() as f64 / self.total_steps() as f64;
        learning_rate * (final_learning_rate / learning_rate).powf(progress as f32)
    }

    fn step(&mut self) -> Result<f64, ValueError> {
        self.fill_batch();
        let loss = self.forward().mse_loss(&self.target, Reduction::Mean);
        let mean = finite(&loss).ok_or(ValueError::Diverged(self.steps()))?;
        self.parameters.zero_grad();
        loss.backward();
        let gradient = self.parameters.grad();
        let learning_rate = self.learning_rate();
        self.adam.begin_step();
        self.adam.apply(
            0,
            elements_mut(&mut self.parameters),
            elements(&gradient),
            1.0,
            learning_rate,
        );
        self.batches.advance();
        Ok(mean)
    }

    fn save(&self, path: &Path) -> Result<(), ValueError> {
        let error = |what: String| ValueError::Checkpoint {
            path: path.display().to_string(),
            what,
        };
        let flats = [
            ("parameters", elements(&self.parameters)),
            ("adam.first_moment", &self.adam.first_moment),
            ("adam.second_moment", &self.adam.second_moment),
        ];
        let flats = flats.map(|(name, values)| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, bytes)
        });
        let mut views = Vec::new();
        for (name, bytes) in &flats {
            let shape = vec![bytes.len() / 4];
            let view = TensorView::new(Dtype::F32, shape, bytes);
            views.push((*name, view.map_err(|e| error(e.to_string()))?));
        }
        let metadata = HashMap::from([(STEPS.to_owned(), self.steps().to_string())]);
        let bytes = safetensors::serialize(views, Some(metadata));
        let bytes = bytes.map_err(|e| error(e.to_string()))?;
        write_atomic(path, &bytes).map_err(|e| error(e.to_string()))
    }

    /// After an error the learner is as before.
    fn load(&mut self, path: &Path) -> Result<(), ValueError> {
        let error = |what: String| ValueError::Checkpoint {
            path: path.display().to_string(),
            what,
        };
        let bytes = fs::read(path).map_err(|e| error(e.to_string()))?;
        let damaged = |e| error(format!("not a checkpoint of the value ({e})"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let len = self.adam.first_moment.len();
        let read = |name: &str| {
            let tensor = tensors.tensor(name).map_err(damaged)?;
            let words = tensor.data().as_chunks::<4>().0.iter();
            let values: Vec<f32> = words.map(|word| f32::from_le_bytes(*word)).collect();
            if tensor.dtype() != Dtype::F32 || values.len() != len {
                return Err(error(format!(
                    "`{name}` has {} elements, must have {len} for this config and robot",
                    values.len()
                )));
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(error(format!("`{name}` is not finite everywhere")));
            }
            Ok(values)
        };
        let metadata = header.metadata().as_ref();
        let steps = metadata.and_then(|m| m.get(STEPS)?.parse().ok());
        let steps = steps.ok_or_else(|| error(format!("holds no number of `{STEPS}`")))?;
        let parameters = read("parameters")?;
        self.adam = Adam {
            steps,
            first_moment: read("adam.first_moment")?,
            second_moment: read("adam.second_moment")?,
        };
        elements_mut(&mut self.parameters).copy_from_slice(&parameters);
        self.batches.go_on_after(steps);
        Ok(())
    }
}

/// Key of the checkpoint's metadata.
const STEPS: &str = "optimizer_steps";

fn spans(inputs: usize, hidden: &[usize]) -> Vec<Span> {
    let (mut offset, mut inputs) = (0, inputs);
    let widths = hidden.iter().chain([&1]);
    widths
        .map(|&outputs| {
            let span = Span {
                offset,
                inputs,
                outputs,
            };
            (offset, inputs) = (span.end(), outputs);
            span
        })
        .collect()
}

/// Mean and standard deviation of every observation over the first `rows`.
fn moments(rollouts: &Rollouts, rows: usize) -> (Vec<f32>, Vec<f32>) {
    let mut sums = vec![[0.0_f64; 2]; rollouts.dim()];
    for row in 0..rows {
        for (sums, value) in sums.iter_mut().zip(rollouts.observation(row)) {
            let value = f64::from(*value);
            sums[0] += value;
            sums[1] += value * value;
        }
    }
    let count = rows as f64;
    let moments = sums.into_iter().map(|[sum, squares]| {
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0);
        let std = variance.sqrt() as f32;
        // Divided by infinity, the observation is zero and so is its weight in the stored network.
        let std = if std < MIN_STD { f32::INFINITY } else { std };
        (mean as f32, std)
    });
    moments.unzip()
}
