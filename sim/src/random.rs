//! Random streams: one seed, one independent stream per environment or episode.

use rand::RngExt;
use rand_pcg::Pcg64;

/// A reproducible random stream whose position can be saved.
pub type Stream = Pcg64;

/// The stream of one environment. Streams of different environments are independent, whatever the seed.
pub fn stream(seed: u64, index: u64) -> Stream {
    Pcg64::new(u128::from(seed), u128::from(index))
}

/// Uniform draw from [low, high].
pub fn uniform([low, high]: [f32; 2], stream: &mut Stream) -> f32 {
    low + (high - low) * stream.random::<f32>()
}
