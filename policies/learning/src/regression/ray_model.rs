//! The networks that can be learned to predict rays, in libtorch.

use policies::Linear;
use policies::depth::{Convolution, RayNetworkKind};
use rand::RngExt;
use rand_pcg::Pcg64;
use tch::nn::{self, ModuleT};
use tch::{Tensor, no_grad};

use super::ray_view::RayView;
use crate::backend::{elements, elements_mut};

/// Filters of the network that a bundle holds, and their number: each distance of a ray for itself, along the ray, the ray
/// as a whole, and with the rays beside it.
const TSDF_NETWORK: [(Convolution, i64); 7] = [
    (convolution([1, 1], [1, 1], [0, 0]), 48),
    (convolution([3, 1], [1, 1], [1, 0]), 48),
    (convolution([5, 1], [2, 1], [2, 0]), 64),
    (convolution([5, 1], [2, 1], [2, 0]), 96),
    (convolution([10, 1], [1, 1], [0, 0]), 192),
    (convolution([1, 3], [1, 1], [0, 1]), 96),
    (convolution([1, 1], [1, 1], [0, 0]), 1),
];

const fn convolution(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Convolution {
    Convolution {
        kernel,
        stride,
        padding,
    }
}

/// One of them.
pub(super) enum Network {
    /// Convolutions of signed distances, with ReLU between them.
    Tsdf(Vec<Filters>),
    /// ResNet-18 on the image, the depth in all three channels.
    Resnet18(nn::FuncT<'static>),
}

/// A convolution.
pub(super) struct Filters {
    shape: Convolution,
    weight: Tensor,
    bias: Tensor,
}

impl Network {
    /// With random weights in the variables `root`.
    pub(super) fn new(
        kind: RayNetworkKind,
        root: &nn::Path<'_>,
        view: &RayView,
        rays: i64,
        seed: u64,
    ) -> Self {
        match kind {
            RayNetworkKind::Tsdf => {
                Self::tsdf(root, view.shape()[2] as i64, view.longest_log2(), seed)
            }
            RayNetworkKind::Resnet18 => {
                tch::manual_seed(seed as i64);
                Self::Resnet18(tch::vision::resnet::resnet18(root, rays))
            }
        }
    }

    fn tsdf(root: &nn::Path<'_>, mut channels: i64, longest_log2: f32, seed: u64) -> Self {
        let mut random = Pcg64::new(seed.into(), u128::MAX);
        let mut layers = Vec::new();
        for (index, (shape, filters)) in TSDF_NETWORK.into_iter().enumerate() {
            let [high, wide] = shape.kernel.map(|len| len as i64);
            let path = root / "layers" / index;
            let mut weight = path.zeros("weight", &[filters, channels, high, wide]);
            // Kaiming's bound for ReLU. Not libtorch's generator, which all threads of a process share.
            let bound = (6.0 / (channels * high * wide) as f32).sqrt();
            for weight in elements_mut::<f32>(&mut weight) {
                *weight = random.random_range(-bound..bound);
            }
            let mut bias = path.zeros("bias", &[filters]);
            if index + 1 == TSDF_NETWORK.len() {
                // To begin with, nothing is in sight.
                let _ = no_grad(|| bias.fill_(f64::from(longest_log2)));
            }
            layers.push(Filters {
                shape,
                weight,
                bias,
            });
            channels = filters;
        }
        Self::Tsdf(layers)
    }

    /// log2 distances [images, rays] of inputs [images, rows, columns, channels].
    pub(super) fn forward(&self, input: &Tensor, training: bool) -> Tensor {
        let mut x = input.permute([0, 3, 1, 2]);
        match self {
            Self::Tsdf(layers) => {
                for (index, layer) in layers.iter().enumerate() {
                    x = layer.forward(&x);
                    if index + 1 < layers.len() {
                        x = x.relu();
                    }
                }
                x.flatten(1, -1)
            }
            Self::Resnet18(network) => {
                network.forward_t(&x.expand([-1, 3, -1, -1], false), training)
            }
        }
    }

    /// The convolutions as they are stored and run; none of a network that a bundle does not hold.
    pub(super) fn layers(&self) -> Option<(Vec<Convolution>, Vec<Linear>)> {
        let Network::Tsdf(filters) = self else {
            return None;
        };
        let linear = |layer: &Filters| {
            // From [out, in, vertical, horizontal] to [out, vertical, horizontal, in].
            let weight = layer.weight.detach().permute([0, 2, 3, 1]).contiguous();
            Linear {
                inputs: weight.numel() / layer.bias.numel(),
                weight: elements::<f32>(&weight).to_vec(),
                bias: elements::<f32>(&layer.bias.detach()).to_vec(),
            }
        };
        let shapes = filters.iter().map(|layer| layer.shape).collect();
        Some((shapes, filters.iter().map(linear).collect()))
    }
}

impl Filters {
    fn forward(&self, x: &Tensor) -> Tensor {
        let pair = |[vertical, horizontal]: [usize; 2]| [vertical as i64, horizontal as i64];
        x.conv2d(
            &self.weight,
            Some(&self.bias),
            pair(self.shape.stride),
            pair(self.shape.padding),
            [1, 1],
            1,
        )
    }
}
