//! Learning of the rays from depth images (docs/concepts/rays.md#ray-prediction).

use std::collections::HashMap;

use policies::Linear;
use policies::depth::{Augmentation, Convolution, DepthSamples, RayLearningConfig, check};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use tch::nn;
use tch::{Device, Kind, Tensor, no_grad};

use super::ray_model::Network;
use super::ray_view::RayView;
use super::{Batches, Regression, RegressionError};
use crate::backend::{elements, elements_mut, zeros};

/// Fraction of the optimizer steps in which the learning rate rises to its highest.
const WARM_UP: f32 = 0.03;
/// Adam.
const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// Fits a ray network to images.
pub struct RayLearner<'a> {
    config: RayLearningConfig,
    view: RayView,
    samples: &'a DepthSamples,
    seed: u64,
    /// Images that are not learned from.
    held_out: Vec<u32>,
    store: nn::VarStore,
    network: Network,
    /// First and second moment of every trainable variable, by its name.
    moments: HashMap<String, [Tensor; 2]>,
    batches: Batches,
    input: Tensor,
    target: Tensor,
}

impl<'a> RayLearner<'a> {
    /// A network with random weights, to learn from all but the last `held_out` samples. Samples whose image tells nothing
    /// are left out.
    ///
    /// # Errors
    /// A setting out of range, or too few images.
    pub fn new(
        config: RayLearningConfig,
        view: RayView,
        samples: &'a DepthSamples,
        held_out: usize,
        seed: u64,
    ) -> Result<Self, RegressionError> {
        config.validate()?;
        tch::set_num_threads(1);
        let tells_something = |sample: &u32| {
            let millimetres = samples.image_mm(*sample as usize).iter();
            check(millimetres.map(|mm| f32::from(*mm))).is_ok()
        };
        let mut images: Vec<u32> = (0..samples.len() as u32).filter(tells_something).collect();
        let training = images.len().saturating_sub(held_out);
        let held_out = images.split_off(training);
        let batch_size = config.batch_size;
        if training < batch_size {
            return Err(RegressionError::TooFew {
                count: training,
                rows: "images",
                purpose: format!("learn from in batches of {batch_size}"),
            });
        }
        let rays = samples.num_rays as i64;
        let store = nn::VarStore::new(Device::Cpu);
        let network = Network::new(config.network, &store.root(), &view, rays, seed);
        let trainable = store
            .variables()
            .into_iter()
            .filter(|(_, v)| v.requires_grad());
        let moments = trainable
            .map(|(name, variable)| (name, [variable.zeros_like(), variable.zeros_like()]))
            .collect();
        let [rows, columns, channels] = view.shape();
        Ok(Self {
            input: zeros(&[batch_size, rows, columns, channels], Kind::Float),
            target: zeros(&[batch_size, samples.num_rays], Kind::Float),
            batches: Batches::new(images, batch_size, config.epochs, seed),
            config,
            view,
            samples,
            seed,
            held_out,
            store,
            network,
            moments,
        })
    }

    /// Images that are learned from.
    #[must_use]
    pub fn num_images(&self) -> usize {
        self.batches.num_rows()
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn num_parameters(&self) -> usize {
        self.store
            .trainable_variables()
            .iter()
            .map(Tensor::numel)
            .sum()
    }

    /// Mean squared error, log2, over the images that are held out, as they are.
    #[must_use]
    pub fn held_out_error(&mut self) -> f64 {
        let len = self.view.input_len();
        let [rows, columns, channels] = self.view.shape();
        let (mut sum, mut count) = (0.0, 0_u32);
        for samples in self.held_out.chunks(256) {
            let mut input = zeros(&[samples.len(), rows, columns, channels], Kind::Float);
            let inputs = elements_mut::<f32>(&mut input).chunks_exact_mut(len);
            let mut target = Vec::new();
            for (sample, input) in samples.iter().zip(inputs) {
                let sample = *sample as usize;
                let (image, gravity) =
                    (self.samples.image_mm(sample), self.samples.gravity(sample));
                // Images that tell nothing were left out.
                let _ = self.view.write(image, &gravity, input);
                target.extend(self.samples.rays_m(sample).iter().map(|ray| ray.log2()));
            }
            let predicted = no_grad(|| self.network.forward(&input, false)).contiguous();
            for (predicted, target) in elements::<f32>(&predicted).iter().zip(&target) {
                sum += f64::from((predicted - target).powi(2));
                count += 1;
            }
        }
        sum / f64::from(count.max(1))
    }

    /// log2 of the ray distances in m of one input of a [`RayView`].
    ///
    /// # Panics
    /// When `input` has another length.
    #[must_use]
    pub fn predict(&self, input: &[f32]) -> Vec<f32> {
        let [rows, columns, channels] = self.view.shape();
        let mut tensor = zeros(&[1, rows, columns, channels], Kind::Float);
        elements_mut(&mut tensor).copy_from_slice(input);
        let predicted = no_grad(|| self.network.forward(&tensor, false)).contiguous();
        elements::<f32>(&predicted).to_vec()
    }

    /// Inputs and targets of the next batch.
    fn fill_batch(&mut self) -> Result<(), RegressionError> {
        let mut random =
            Pcg64::seed_from_u64(self.seed ^ self.steps().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (len, rays) = (self.view.input_len(), self.samples.num_rays);
        let inputs = elements_mut::<f32>(&mut self.input).chunks_exact_mut(len);
        let targets = elements_mut::<f32>(&mut self.target).chunks_exact_mut(rays);
        let augmentation = &Augmentation::default();
        let samples = self.batches.rows().iter();
        for ((sample, input), target) in samples.zip(inputs).zip(targets) {
            let sample = *sample as usize;
            for (target, ray) in target.iter_mut().zip(self.samples.rays_m(sample)) {
                *target = ray.log2();
            }
            let (image, gravity) = (self.samples.image_mm(sample), self.samples.gravity(sample));
            self.view
                .write_augmented(image, &gravity, augmentation, &mut random, input, target)?;
        }
        Ok(())
    }

    /// The convolutions as they are stored and run, with ReLU behind all but the last; none of a network that a bundle
    /// does not hold.
    #[must_use]
    pub fn layers(&self) -> Option<(Vec<Convolution>, Vec<Linear>)> {
        self.network.layers()
    }
}

impl Regression for RayLearner<'_> {
    const CONFIG: &'static str = "depth.learning";
    const REPORT_INTERVAL: u64 = 50;

    fn batches(&self) -> &Batches {
        &self.batches
    }

    fn batches_mut(&mut self) -> &mut Batches {
        &mut self.batches
    }

    fn checkpoint_interval(&self) -> u64 {
        self.config.checkpoint_interval
    }

    /// Rises to the highest rate, then falls to the last one as a half cosine.
    fn learning_rate(&self) -> f32 {
        let highest = self.config.learning_rate;
        let progress = self.steps() as f32 / self.total_steps() as f32;
        if progress < WARM_UP {
            return highest * (progress / WARM_UP).max(0.01);
        }
        let lowest = self.config.final_learning_rate;
        let cosine = (std::f32::consts::PI * (progress - WARM_UP) / (1.0 - WARM_UP)).cos();
        lowest + 0.5 * (highest - lowest) * (1.0 + cosine)
    }

    /// log2 of the distances, of augmented images.
    fn predict_batch(&mut self) -> Result<(Tensor, Tensor), RegressionError> {
        self.fill_batch()?;
        let predicted = self.network.forward(&self.input, true);
        Ok((predicted, self.target.shallow_clone()))
    }

    /// Adam (Kingma and Ba, 2015).
    fn descend(&mut self) {
        let rate = f64::from(self.learning_rate());
        let count = (self.steps() + 1) as i32;
        let correction = BETA.map(|beta| 1.0 - beta.powi(count));
        no_grad(|| {
            for (name, mut variable) in self.store.variables() {
                let Some([first, second]) = self.moments.get_mut(&name) else {
                    continue;
                };
                let mut gradient = variable.grad();
                let _ = first.g_mul_scalar_(BETA[0]);
                let _ = first.g_add_(&(&gradient * (1.0 - BETA[0])));
                let _ = second.g_mul_scalar_(BETA[1]);
                let _ = second.g_add_(&(&gradient * &gradient * (1.0 - BETA[1])));
                let size = (&*second / correction[1]).sqrt() + EPSILON;
                let _ = variable.g_sub_(&(&*first / size * (rate / correction[0])));
                let _ = gradient.zero_();
            }
        });
    }

    fn variables(&self) -> Vec<(String, Tensor)> {
        let moments = self.moments.iter().flat_map(|(name, [first, second])| {
            [("first", first), ("second", second)].map(|(which, moment)| {
                let name = format!("adam.{which}_moment.{name}");
                (name, moment.shallow_clone())
            })
        });
        self.store.variables().into_iter().chain(moments).collect()
    }
}
