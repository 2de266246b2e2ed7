//! Learning of the reach-avoid value from recorded rollouts (docs/concepts/reach-avoid.md#reach-avoid-value).

use std::ops::Range;

use policies::Linear;
use policies::reach_avoid::{ReachAvoidConfig, Rollouts, TargetKind, margins};
use rand::RngExt;
use rand_pcg::Pcg64;
use tch::{Kind, Tensor};

use super::{Batches, Regression, RegressionError};
use crate::backend::{LayerSpan, adam_step, elements, elements_mut, spans, zeros};

/// Observations that vary less are not learned from.
const MIN_STD: f32 = 1e-4;

/// Fits a value network to rollouts.
pub struct ValueLearner<'a> {
    config: ReachAvoidConfig,
    rollouts: &'a Rollouts,
    num_training_episodes: usize,
    labels: Labels,
    /// Mean and standard deviation of every observation; the last step folds them into the first layer.
    mean: Vec<f32>,
    std: Vec<f32>,
    /// Layers in the flat vector of parameters.
    spans: Vec<LayerSpan>,
    /// float32 [len], a leaf of the graph.
    parameters: Tensor,
    /// Of Adam [len].
    moments: [Tensor; 2],
    batches: Batches,
    input: Tensor,
    target: Tensor,
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
    ) -> Result<Self, RegressionError> {
        config.validate()?;
        tch::set_num_threads(1);
        let episodes = rollouts.num_episodes();
        let held_out = (f64::from(config.held_out_fraction) * episodes as f64).round() as usize;
        if held_out == 0 || held_out >= episodes {
            return Err(RegressionError::TooFew {
                count: episodes,
                rows: "episodes",
                purpose: format!("hold a fraction of {} out", config.held_out_fraction),
            });
        }
        let num_training_episodes = episodes - held_out;
        let num_rows = rollouts.rows(num_training_episodes - 1).end;
        let batch_size = config.batch_size.min(num_rows);
        let (mean, std) = moments(rollouts, num_rows);
        let spans = spans(0, (rollouts.dim(), rollouts.dim()), &config.hidden, 1);
        let len = spans[spans.len() - 1].end();
        let mut learner = Self {
            labels: Labels::new(&config, rollouts, num_training_episodes),
            num_training_episodes,
            mean,
            std,
            parameters: zeros(&[len], Kind::Float),
            moments: [zeros(&[len], Kind::Float), zeros(&[len], Kind::Float)],
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
            rows = rows.linear(&weight, Some(part(span.bias_offset(), span.outputs)));
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
        let layer = |span: &LayerSpan| Linear {
            weight: flat[span.offset..span.bias_offset()].to_vec(),
            bias: flat[span.bias_offset()..span.end()].to_vec(),
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
    const CONFIG: &'static str = "reach_avoid.learning";
    const REPORT_INTERVAL: u64 = 100;

    fn batches(&self) -> &Batches {
        &self.batches
    }

    fn batches_mut(&mut self) -> &mut Batches {
        &mut self.batches
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

    fn predict_batch(&mut self) -> Result<(Tensor, Tensor), RegressionError> {
        self.fill_batch();
        Ok((self.forward(), self.target.shallow_clone()))
    }

    fn descend(&mut self) {
        let (steps, learning_rate) = (self.steps() + 1, self.learning_rate());
        let mut gradient = self.parameters.grad();
        adam_step(
            steps,
            learning_rate,
            elements_mut(&mut self.parameters),
            elements(&gradient),
            1.0,
            self.moments.each_mut().map(elements_mut),
        );
        let _ = gradient.zero_();
    }

    fn variables(&self) -> Vec<(String, Tensor)> {
        let [first, second] = &self.moments;
        [
            ("parameters", &self.parameters),
            ("adam.first_moment", first),
            ("adam.second_moment", second),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
        .into()
    }
}

/// What is known of every training row before learning.
enum Labels {
    /// The target itself.
    Targets(Vec<f32>),
    /// What the target is made of, with the network's prediction for the next row.
    Margins(Vec<Label>),
}

struct Label {
    target_margin: f32,
    failure_margin: f32,
    /// Whether the episode ends here.
    is_last: bool,
}

impl Labels {
    /// Of the rows of the first `episodes`.
    fn new(config: &ReachAvoidConfig, rollouts: &Rollouts, episodes: usize) -> Self {
        let (gamma, softened) = (config.gamma, config.softened);
        match config.target {
            TargetKind::Course => {
                let targets = |episode| rollouts.course_targets(episode, gamma, softened);
                Self::Targets((0..episodes).flat_map(targets).collect())
            }
            TargetKind::Bootstrap => {
                let labels = |episode| Label::of_episode(rollouts.margins(episode, softened));
                Self::Margins((0..episodes).flat_map(labels).collect())
            }
        }
    }
}

impl Label {
    /// Of the rows of an episode with these target and failure margins.
    fn of_episode([target_margins, failure_margins]: [Vec<f32>; 2]) -> impl Iterator<Item = Self> {
        let last = target_margins.len() - 1;
        let margins = target_margins.into_iter().zip(failure_margins);
        let label = move |(step, (target_margin, failure_margin))| Self {
            target_margin,
            failure_margin,
            is_last: step == last,
        };
        margins.enumerate().map(label)
    }

    /// What the value of the row must be, where the next one has `next_value`.
    fn target(&self, gamma: f32, next_value: f32) -> f32 {
        let next_value = if self.is_last { 1.0 } else { next_value };
        margins::target(gamma, self.target_margin, self.failure_margin, next_value)
    }
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
