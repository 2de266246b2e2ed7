//! Where and in which number format the networks are computed.

use std::path::Path;

use policies::training::{self, PpoConfig, Precision};
use tch::{Device, Kind, Tensor};

use crate::error::TrainError;

/// What a block may take of the cache.
const CACHED_BYTES: usize = 2 << 20;

/// Blocks have a multiple of this many rows, the height of the tiles that matrix products work on.
const BLOCK_MULTIPLE: usize = 64;

/// What computes a network's layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Compute {
    /// Kind of all layers but the last, which is float32.
    pub(super) kind: Kind,
    pub(super) device: Device,
    /// ELU by our own passes over host memory instead of torch's operations.
    pub(super) own_elu: bool,
}

impl Compute {
    /// What the config asks for, if it is there.
    pub(super) fn new(config: &PpoConfig) -> Result<Self, TrainError> {
        let device = match config.device {
            training::Device::Cpu => Device::Cpu,
            training::Device::Cuda if tch::Cuda::is_available() => Device::Cuda(0),
            training::Device::Cuda => return Err(TrainError::NoCuda(no_cuda())),
        };
        Ok(Self::on(device, kind(config)))
    }

    pub(super) fn on(device: Device, kind: Kind) -> Self {
        Self {
            kind,
            device,
            own_elu: device == Device::Cpu,
        }
    }

    /// How many of `rows` rows to differentiate at once, if a row and what is computed of it are `elements` numbers: on the CPU as many as stay in the
    /// cache from the forward pass to the backward pass.
    pub(super) fn block_rows(self, rows: usize, elements: usize) -> usize {
        if self.device != Device::Cpu {
            return rows;
        }
        let bytes = elements * if self.kind == Kind::Float { 4 } else { 2 };
        let fit = CACHED_BYTES / bytes;
        rows.min(fit.next_multiple_of(BLOCK_MULTIPLE))
    }

    pub(super) fn zeros(self, shape: &[usize], kind: Kind) -> Tensor {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        Tensor::zeros(shape, (kind, self.device))
    }
}

/// Why there is no CUDA device.
fn no_cuda() -> &'static str {
    // Torch without its CUDA library knows of no device either.
    let has_library = option_env!("LIBTORCH")
        .is_some_and(|torch| Path::new(torch).join("lib/libtorch_cuda.so").exists());
    match has_library {
        true => "libtorch finds no usable GPU: look at nvidia-smi, or train with --device cpu",
        false => {
            "the libtorch in .libtorch/torch is for CPUs only: put a CUDA build of libtorch 2.11.0 in its place, \
             or train with --device cpu"
        }
    }
}

fn kind(config: &PpoConfig) -> Kind {
    match precision_of(config) {
        Precision::Bf16 => Kind::BFloat16,
        Precision::F32 | Precision::Auto => Kind::Float,
    }
}

/// Number format of the networks' products on this machine, never `Auto`.
#[must_use]
pub fn precision_of(config: &PpoConfig) -> Precision {
    match config.precision {
        #[cfg(target_arch = "x86_64")]
        Precision::Auto
            if config.device == training::Device::Cpu && is_x86_feature_detected!("avx512bf16") =>
        {
            Precision::Bf16
        }
        Precision::Auto => Precision::F32,
        precision => precision,
    }
}
