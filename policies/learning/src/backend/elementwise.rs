//! ELU forward and backward on the memory of torch tensors.
//!
//! These passes took half of the update when torch did them: its ELU computes an exact `expm1`, and its sums over columns of bfloat16 are slow.

/// A number that a network computes with.
pub(super) trait Element: Copy {
    fn widen(self) -> f32;
    fn narrow(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
}

/// The upper half of a float32.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(super) u16);

impl Element for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// Rounds to nearest, ties to even.
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        // Rounding could carry a NaN over into zero.
        let bits = if value.is_nan() {
            bits | 0x0040_0000
        } else {
            rounded
        };
        Self((bits >> 16) as u16)
    }
}

/// x for x > 0, else exp(x) - 1. Within 2e-7 of the exact value; NaN stays NaN.
#[inline(always)]
fn elu_of(x: f32) -> f32 {
    // exp(x) = 2^n * 2^f with n = round(x / ln 2). Adding `SHIFT` leaves n in the low bits of the sum.
    const SHIFT: f32 = 12_582_912.0;
    let below = if x < -87.0 { -87.0 } else { x };
    let below = if below > 0.0 { 0.0 } else { below };
    let shifted = below * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = below - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    // exp(r) - 1, kept apart from the 1 so that small x keep their digits.
    let above_one = series * r * r + r;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let negative = power * above_one + (power - 1.0);
    if x > 0.0 { x } else { negative }
}

#[inline(always)]
fn elu_body<T: Element>(values: &mut [T]) {
    for value in values {
        *value = T::narrow(elu_of(value.widen()));
    }
}

#[inline(always)]
fn elu_backward_body<T: Element>(gradient: &mut [T], output: &[T], column_sums: &mut [f32]) {
    let columns = column_sums.len();
    for (gradient, output) in gradient
        .chunks_exact_mut(columns)
        .zip(output.chunks_exact(columns))
    {
        for ((g, y), sum) in gradient.iter_mut().zip(output).zip(column_sums.iter_mut()) {
            // The slope is exp(x) = y + 1 where x < 0, else 1.
            let y = y.widen();
            let slope = if y < 0.0 { y + 1.0 } else { 1.0 };
            let value = g.widen() * slope;
            *g = T::narrow(value);
            *sum += value;
        }
    }
}

/// Compiles `$body` for AVX-512, AVX2 and the baseline and picks one at run time. No fused multiply-add: all three give the same bits.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident => $body:ident($($arg:ident: $ty:ty),*)) => {
        $(#[$doc])*
        pub(super) fn $name<T: Element>($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512<T: Element>($($arg: $ty),*) { $body($($arg),*) }
                #[target_feature(enable = "avx2")]
                fn avx2<T: Element>($($arg: $ty),*) { $body($($arg),*) }
                if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512dq") {
                    // SAFETY: the CPU has these features.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the CPU has this feature.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*);
        }
    };
}

dispatch! {
    /// Applies ELU in place.
    elu => elu_body(values: &mut [T])
}

dispatch! {
    /// Turns the gradient with respect to ELU's `output` into that with respect to its input, in place, and adds up its columns: the bias gradient.
    elu_backward => elu_backward_body(gradient: &mut [T], output: &[T], column_sums: &mut [f32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elu_follows_the_exact_function() {
        let mut x: Vec<f32> = (-100_000..20_000).map(|i| i as f32 * 1e-3).collect();
        x.extend((0..1000).map(|i| -1e-6 * i as f32));
        let mut y = x.clone();
        elu(&mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let exact = if x > 0.0 {
                f64::from(x)
            } else {
                f64::from(x).exp_m1()
            };
            assert!((f64::from(y) - exact).abs() < 2e-7, "{x}: {y} {exact}");
        }
    }

    #[test]
    fn elu_keeps_nan_and_infinity() {
        let mut y = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
        elu(&mut y);
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [f32::INFINITY, -1.0, 0.0]);
    }

    #[test]
    fn bfloat16_rounds_to_nearest_even_and_keeps_nan() {
        assert_eq!(Bf16::narrow(1.0), Bf16(0x3f80));
        // 1 + 2^-8 lies in the middle of 1 and 1 + 2^-7.
        assert_eq!(Bf16::narrow(1.0 + 1.0 / 256.0), Bf16(0x3f80));
        assert_eq!(Bf16::narrow(1.0 + 3.0 / 256.0), Bf16(0x3f82));
        assert!(Bf16::narrow(f32::from_bits(0xffff_ffff)).widen().is_nan());
        assert_eq!(Bf16::narrow(f32::INFINITY).widen(), f32::INFINITY);
    }

    #[test]
    fn elu_backward_multiplies_by_the_slope_and_adds_up_columns() {
        let mut gradient = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut sums = [9.0; 3];
        elu_backward(
            &mut gradient,
            &[0.5, -0.5, 0.0, -1.0, 2.0, -0.25],
            &mut sums,
        );
        assert_eq!(gradient, [1.0, 1.0, 3.0, 0.0, 5.0, 4.5]);
        assert_eq!(sums, [10.0, 15.0, 16.5]);
    }
}
