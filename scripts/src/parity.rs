//! Whether two networks compute the same: both run on the same random observations.

use policies::{Layout, observation::FrameHistory};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

/// Largest difference between two that are the same, relative to numbers above 1.
pub const TOLERANCE: f32 = 1e-5;
/// Inputs on which both run.
pub const INPUTS: usize = 1000;

/// Magnitudes of the observed numbers: at rest, as usual, and far beyond what a policy meets.
const MAGNITUDES: [f32; 5] = [0.0, 0.1, 1.0, 3.0, 10.0];

/// How far a network is from the one that it is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parity {
    /// Largest difference of an output.
    pub largest: f32,
    /// Inputs of which an output differs by more than [`TOLERANCE`].
    pub beyond: usize,
}

impl Parity {
    /// Counts the outputs of one input.
    pub fn add<'a>(&mut self, pairs: impl Iterator<Item = (&'a f32, &'a f32)>) {
        // A NaN is not within any tolerance.
        let difference = |(found, expected): (&f32, &f32)| match found == expected {
            true => 0.0,
            false => (found - expected).abs() / expected.abs().max(1.0),
        };
        let mut largest = 0.0;
        for pair in pairs {
            let difference = difference(pair);
            if difference > largest || difference.is_nan() {
                largest = difference;
            }
        }
        if largest > TOLERANCE || largest.is_nan() {
            self.beyond += 1;
        }
        if largest > self.largest || largest.is_nan() {
            self.largest = largest;
        }
    }
}

/// Random observations as they are given to a model, and as a network observes them: clipped and masked, after some steps of an episode.
pub fn observations(layout: &Layout) -> (Vec<f32>, Vec<f32>) {
    let mut stream = Pcg64::seed_from_u64(0);
    let mut history = FrameHistory::new(layout);
    let (mut given, mut observed) = (Vec::new(), Vec::new());
    let mut row = vec![0.0; layout.dim()];
    for index in 0..INPUTS {
        let magnitude = MAGNITUDES[index % MAGNITUDES.len()];
        if index % 50 == 0 {
            history.reset();
        }
        for value in &mut row[..layout.frame_dim()] {
            *value = magnitude * stream.random_range(-1.0..=1.0);
        }
        history.complete(layout, &mut row);
        observed.extend_from_slice(&row);
        let start = given.len();
        given.extend_from_slice(&row);
        for at in layout.masked() {
            given[start + at] = stream.random_range(-1.0..=1.0);
        }
    }
    (given, observed)
}
