//! Random streams that need not be saved.

use rand::SeedableRng;
use rand_pcg::Pcg64;

/// What random numbers are for: each use has its own stream.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Parameters,
    Actions,
    Minibatches,
}

/// A stream for one use in one iteration of one worker. Nothing of it needs to be saved to resume.
pub(super) fn random_stream(seed: u64, rank: usize, iteration: u64, purpose: Purpose) -> Pcg64 {
    // SplitMix64's finalizer, once per input.
    let mut state = 0_u64;
    for input in [seed, rank as u64, iteration, purpose as u64] {
        state = (state ^ input).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    Pcg64::seed_from_u64(state)
}
