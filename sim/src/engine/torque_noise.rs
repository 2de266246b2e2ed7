//! The torque noise of ERFI (Campanaro et al. 2022) and the jitter of delays, counter-based: every number is a function of the seed, the physics
//! step and the joint, so that all engines draw the same ones, in any order.

/// Uniform in [-1, 1), for one joint and one physics step counted from the start of the episode.
#[inline(always)]
pub fn torque_noise(seed: u64, physics_step: u32, joint: u32) -> f32 {
    // Folded again for each argument, so that neighbouring steps, joints and seeds share nothing.
    let key = mix(seed as u32 ^ mix((seed >> 32) as u32 ^ 0x9e37_79b9));
    let hash = mix(mix(key.wrapping_add(physics_step)).wrapping_add(joint));
    (hash >> 8) as f32 * (1.0 / (1 << 23) as f32) - 1.0
}

/// By how many physics steps a joint target of the policy step that begins in `physics_step` is later than usual, from 0 to
/// `most`: drawn as [`torque_noise`].
#[inline(always)]
pub fn delay_jitter(seed: u64, physics_step: u32, most: f32) -> f32 {
    (0.5 * most * (1.0 + torque_noise(seed, physics_step, u32::MAX))).round()
}

/// A bijection of 32-bit words with low bias (C. Wellons, "Prospecting for hash functions").
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x21f0_aaad);
    x ^= x >> 15;
    x = x.wrapping_mul(0xd35a_2d97);
    x ^ (x >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlation(pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for (a, b) in pairs {
            sum += f64::from(a) * f64::from(b);
            count += 1.0;
        }
        // The variance of a uniform number in [-1, 1) is 1/3.
        3.0 * sum / count
    }

    #[test]
    fn noise_is_uniform_and_uncorrelated() {
        let steps = 20_000_u32;
        let at = |seed, step, joint| torque_noise(seed, step, joint);
        for seed in [0, 1, u64::MAX] {
            let draws: Vec<f32> = (0..steps).map(|step| at(seed, step, 3)).collect();
            let mean = draws.iter().map(|&x| f64::from(x)).sum::<f64>() / f64::from(steps);
            assert!(mean.abs() < 0.02, "mean {mean}");
            let variance = correlation(draws.iter().map(|&x| (x, x))) / 3.0;
            assert!((variance - 1.0 / 3.0).abs() < 0.01, "variance {variance}");
            assert!(draws.iter().all(|x| (-1.0..1.0).contains(x)));
            // Four standard deviations of a sample correlation: 4 / sqrt(20000) = 0.028.
            for (what, shifted) in [
                (
                    "step",
                    correlation((0..steps).map(|t| (at(seed, t, 3), at(seed, t + 1, 3)))),
                ),
                (
                    "joint",
                    correlation((0..steps).map(|t| (at(seed, t, 3), at(seed, t, 4)))),
                ),
                (
                    "seed",
                    correlation((0..steps).map(|t| (at(seed, t, 3), at(seed ^ 2, t, 3)))),
                ),
            ] {
                assert!(
                    shifted.abs() < 0.028,
                    "correlation with next {what}: {shifted}"
                );
            }
        }
    }
}
