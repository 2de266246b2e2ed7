//! Learning of the rays from depth images (method section 8): regression with Adam, on one thread.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use tch::nn;
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use super::host_tensor::{elements, elements_mut, zeros};
use super::ray_model::Network;
use super::ray_view::RayView;
use super::regression::{Batches, Regression, finite};
use policies::depth::{Convolution, DepthError, DepthSamples, RayLearningConfig, check};
use policies::mlp::Linear;
use policies::training::InvalidConfig;

/// Share of the optimizer steps in which the learning rate rises to its highest.
const WARM_UP: f32 = 0.03;
/// Adam.
const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// Fits a ray network to images. Its course depends on the config, the images and the seed alone.
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

/// Why rays cannot be learned.
#[derive(Debug, thiserror::Error)]
pub enum RayLearningError {
    /// The config is out of range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Nothing to learn from.
    #[error("{images} images are too few to learn from in batches of {batch_size}; record more")]
    TooFewImages {
        /// Images there are.
        images: usize,
        /// Images per step.
        batch_size: usize,
    },
    /// A loss is NaN or infinite.
    #[error("diverged at optimizer step {0}; take a smaller depth.learning.learning_rate")]
    Diverged(u64),
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
    /// libtorch says no.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
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
    ) -> Result<Self, RayLearningError> {
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
            return Err(RayLearningError::TooFewImages {
                images: training,
                batch_size,
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
        let len = self.view.len();
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
    fn fill_batch(&mut self) -> Result<(), RayLearningError> {
        let mut random =
            Pcg64::seed_from_u64(self.seed ^ self.steps().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (len, rays) = (self.view.len(), self.samples.num_rays);
        let inputs = elements_mut::<f32>(&mut self.input).chunks_exact_mut(len);
        let targets = elements_mut::<f32>(&mut self.target).chunks_exact_mut(rays);
        let augmentation = &self.config.augmentation;
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

    /// Adam (Kingma and Ba, 2015).
    fn update(&mut self) {
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

    /// The convolutions as they are stored and run, with ReLU behind all but the last; none of a network that a bundle
    /// does not hold.
    #[must_use]
    pub fn layers(&self) -> Option<(Vec<Convolution>, Vec<Linear>)> {
        self.network.layers()
    }
}

impl Regression for RayLearner<'_> {
    type Error = RayLearningError;

    const REPORT_INTERVAL: u64 = 50;

    fn batches(&self) -> &Batches {
        &self.batches
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

    /// The error is that of log2 of the distances, of augmented images.
    fn step(&mut self) -> Result<f64, RayLearningError> {
        self.fill_batch()?;
        let predicted = self.network.forward(&self.input, true);
        let loss = predicted.mse_loss(&self.target, Reduction::Mean);
        let mean = finite(&loss).ok_or(RayLearningError::Diverged(self.steps()))?;
        loss.backward();
        self.update();
        self.batches.advance();
        Ok(mean)
    }

    fn save(&self, path: &Path) -> Result<(), RayLearningError> {
        let mut tensors: Vec<(String, Tensor)> = self.store.variables().into_iter().collect();
        for (name, [first, second]) in &self.moments {
            tensors.push((format!("adam.first_moment.{name}"), first.shallow_clone()));
            tensors.push((format!("adam.second_moment.{name}"), second.shallow_clone()));
        }
        tensors.push(("steps".to_owned(), Tensor::from(self.steps() as i64)));
        let beside = path.with_extension("partial");
        Tensor::write_safetensors(&tensors, &beside)?;
        fs::rename(&beside, path).map_err(|error| checkpoint_error(path, error.to_string()))
    }

    fn load(&mut self, path: &Path) -> Result<(), RayLearningError> {
        let tensors = Tensor::read_safetensors(path)
            .map_err(|error| checkpoint_error(path, format!("not a whole checkpoint ({error})")))?;
        let mut tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
        let mut take = |name: &str, into: &mut Tensor| match tensors.remove(name) {
            Some(tensor) if tensor.size() == into.size() => {
                no_grad(|| into.copy_(&tensor));
                Ok(())
            }
            _ => Err(checkpoint_error(
                path,
                format!("`{name}` is missing or of another shape: it is of another network"),
            )),
        };
        for (name, mut variable) in self.store.variables() {
            take(&name, &mut variable)?;
        }
        for (name, [first, second]) in &mut self.moments {
            take(&format!("adam.first_moment.{name}"), first)?;
            take(&format!("adam.second_moment.{name}"), second)?;
        }
        let mut steps = Tensor::from(0_i64);
        take("steps", &mut steps)?;
        self.batches.go_on_after(steps.int64_value(&[]) as u64);
        Ok(())
    }
}

fn checkpoint_error(path: &Path, what: String) -> RayLearningError {
    RayLearningError::Checkpoint {
        path: path.display().to_string(),
        what,
    }
}
