//! Lane types: the same robot quantity of several robots side by side, one robot per lane.
//!
//! The step is generic over [`Lanes`]. [`Portable`] works everywhere, [`Avx2`] and [`Avx512`] where the CPU has
//! them. All use the same IEEE operations in the same order, without fused multiply-add and without approximate
//! instructions, so the three give the same bits.

use std::ops::{Add, Mul, Neg, Sub};

use wide::{f32x4, u32x4};

/// A function of lanes that is compiled once for each lane type, with its instructions enabled.
pub(super) trait Kernel {
    /// Must be `#[inline(always)]` with everything that it calls, and free of closures: what is not inlined is compiled
    /// without the lane type's instructions.
    fn run(self);
}

/// One `f32` per robot.
pub(super) trait Lanes:
    Copy
    + Send
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Number of lanes.
    const LANES: usize;
    /// One truth value per robot.
    type Mask: Copy + Send;

    /// Runs a kernel with the instructions of this lane type. Only where the CPU has them.
    fn run<K: Kernel>(kernel: K);
    /// The same number in all lanes.
    fn splat(value: f32) -> Self;
    /// The lanes as numbers.
    fn as_slice(&self) -> &[f32];
    /// The lanes as numbers.
    fn as_mut_slice(&mut self) -> &mut [f32];
    /// Quotient.
    fn div(self, divisor: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// The smaller number, `other` if either is NaN.
    fn min(self, other: Self) -> Self;
    /// The greater number, `other` if either is NaN.
    fn max(self, other: Self) -> Self;
    /// Magnitude.
    fn abs(self) -> Self;
    /// A first guess of `1 / sqrt(self)` from the exponent, within 4%.
    fn rsqrt_guess(self) -> Self;
    /// `self < other`.
    fn lt(self, other: Self) -> Self::Mask;
    /// `a` where the mask is set, else `b`.
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;
    /// Both set.
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Whether any lane is set.
    fn any(mask: Self::Mask) -> bool;

    /// Zero in all lanes.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0.0)
    }

    /// `1 / self`.
    #[inline(always)]
    fn recip(self) -> Self {
        Self::splat(1.0).div(self)
    }

    /// `1 / sqrt(self)` of a positive number, to rounding: four products per Newton step are cheaper than a root and a
    /// quotient.
    #[inline(always)]
    fn rsqrt(self) -> Self {
        let half = self * Self::splat(0.5);
        let three_halves = Self::splat(1.5);
        let mut y = self.rsqrt_guess();
        y = y * (three_halves - half * y * y);
        y = y * (three_halves - half * y * y);
        y * (three_halves - half * y * y)
    }

    /// The nearest number in `low..=high`.
    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        self.max(low).min(high)
    }

    /// The nearest integer, for magnitudes below 2^22.
    #[inline(always)]
    fn round(self) -> Self {
        let shift = Self::splat(12_582_912.0);
        self + shift - shift
    }

    /// Sine and cosine, to about 1e-7 for angles of a few turns: Taylor polynomials of the half angle in
    /// [-pi/2, pi/2], then the double-angle formulas.
    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        let turns = (self * Self::splat(std::f32::consts::FRAC_1_PI * 0.5)).round();
        // 2 pi in two parts, so that the difference does not round.
        let angle = self - turns * Self::splat(6.281_25) - turns * Self::splat(0.001_935_307_2);
        let x = angle * Self::splat(0.5);
        let x2 = x * x;
        let sin = x + x
            * x2
            * (Self::splat(-1.0 / 6.0)
                + x2 * (Self::splat(1.0 / 120.0)
                    + x2 * (Self::splat(-1.0 / 5040.0)
                        + x2 * (Self::splat(1.0 / 362_880.0)
                            + x2 * Self::splat(-1.0 / 39_916_800.0)))));
        let cos = Self::splat(1.0)
            + x2 * (Self::splat(-0.5)
                + x2 * (Self::splat(1.0 / 24.0)
                    + x2 * (Self::splat(-1.0 / 720.0)
                        + x2 * (Self::splat(1.0 / 40_320.0)
                            + x2 * (Self::splat(-1.0 / 3_628_800.0)
                                + x2 * Self::splat(1.0 / 479_001_600.0))))));
        let two_sin = sin + sin;
        (two_sin * cos, Self::splat(1.0) - two_sin * sin)
    }
}

/// Magic constant of the exponent trick (C. Lomont 2003).
const RSQRT_MAGIC: u32 = 0x5f37_5a86;

/// Four lanes, in the vector instructions that every 64-bit CPU has.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Portable(f32x4);

macro_rules! portable_operator {
    ($trait:ident, $method:ident) => {
        impl $trait for Portable {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(self.0.$method(other.0))
            }
        }
    };
}

portable_operator!(Add, add);
portable_operator!(Sub, sub);
portable_operator!(Mul, mul);

impl Neg for Portable {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Lanes for Portable {
    const LANES: usize = 4;
    type Mask = f32x4;

    #[inline(never)]
    fn run<K: Kernel>(kernel: K) {
        kernel.run();
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(f32x4::splat(value))
    }

    #[inline(always)]
    fn as_slice(&self) -> &[f32] {
        self.0.as_array()
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [f32] {
        self.0.as_mut_array()
    }

    #[inline(always)]
    fn div(self, divisor: Self) -> Self {
        Self(self.0 / divisor.0)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }

    // `f32x4::min` and `max` pass over NaN on either side, unlike the other lane types.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self::select(self.lt(other), self, other)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self::select(other.lt(self), self, other)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.abs())
    }

    #[inline(always)]
    fn rsqrt_guess(self) -> Self {
        let halved: u32x4 = bytemuck::cast::<_, u32x4>(self.0) >> 1_u32;
        Self(bytemuck::cast(u32x4::splat(RSQRT_MAGIC) - halved))
    }

    #[inline(always)]
    fn lt(self, other: Self) -> Self::Mask {
        self.0.simd_lt(other.0)
    }

    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        Self(mask.bitselect(a.0, b.0))
    }

    #[inline(always)]
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        a & b
    }

    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        mask.any()
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// Eight lanes.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub(crate) struct Avx2(__m256);

    /// Sixteen lanes.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub(crate) struct Avx512(__m512);

    macro_rules! operator {
        ($lanes:ident, $trait:ident, $method:ident, $intrinsic:ident) => {
            impl $trait for $lanes {
                type Output = Self;

                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    // SAFETY: values of this type are made only where the CPU has its instructions.
                    Self(unsafe { $intrinsic(self.0, other.0) })
                }
            }
        };
    }

    macro_rules! lanes {
        (
            $lanes:ident, $count:literal, $features:literal, $mask:ty, $add:ident, $sub:ident, $mul:ident, $div:ident,
            $min:ident, $max:ident, $sqrt:ident, $splat:ident
            { $($rest:item)* }
        ) => {
            operator!($lanes, Add, add, $add);
            operator!($lanes, Sub, sub, $sub);
            operator!($lanes, Mul, mul, $mul);

            impl Neg for $lanes {
                type Output = Self;

                #[inline(always)]
                fn neg(self) -> Self {
                    Self::splat(-0.0) - self
                }
            }

            // SAFETY (all blocks of this impl): values of this type are made only where the CPU has its
            // instructions, as `run` demands.
            #[allow(clippy::undocumented_unsafe_blocks, reason = "one reason for all, above")]
            impl Lanes for $lanes {
                const LANES: usize = $count;
                type Mask = $mask;

                fn run<K: Kernel>(kernel: K) {
                    #[target_feature(enable = $features)]
                    #[inline(never)]
                    fn with_features<K: Kernel>(kernel: K) {
                        kernel.run();
                    }
                    unsafe { with_features(kernel) }
                }

                #[inline(always)]
                fn splat(value: f32) -> Self {
                    Self(unsafe { $splat(value) })
                }

                #[inline(always)]
                fn as_slice(&self) -> &[f32] {
                    unsafe { std::slice::from_raw_parts((&raw const self.0).cast(), $count) }
                }

                #[inline(always)]
                fn as_mut_slice(&mut self) -> &mut [f32] {
                    unsafe { std::slice::from_raw_parts_mut((&raw mut self.0).cast(), $count) }
                }

                #[inline(always)]
                fn div(self, divisor: Self) -> Self {
                    Self(unsafe { $div(self.0, divisor.0) })
                }

                #[inline(always)]
                fn sqrt(self) -> Self {
                    Self(unsafe { $sqrt(self.0) })
                }

                #[inline(always)]
                fn min(self, other: Self) -> Self {
                    Self(unsafe { $min(self.0, other.0) })
                }

                #[inline(always)]
                fn max(self, other: Self) -> Self {
                    Self(unsafe { $max(self.0, other.0) })
                }

                $($rest)*
            }
        };
    }

    lanes!(
        Avx2, 8, "avx2", __m256, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps,
        _mm256_min_ps, _mm256_max_ps, _mm256_sqrt_ps, _mm256_set1_ps
        {
            #[inline(always)]
            fn abs(self) -> Self {
                Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
            }

            #[inline(always)]
            fn rsqrt_guess(self) -> Self {
                Self(unsafe {
                    _mm256_castsi256_ps(_mm256_sub_epi32(
                        _mm256_set1_epi32(RSQRT_MAGIC as i32),
                        _mm256_srli_epi32::<1>(_mm256_castps_si256(self.0)),
                    ))
                })
            }

            #[inline(always)]
            fn lt(self, other: Self) -> Self::Mask {
                unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0) }
            }

            #[inline(always)]
            fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
                Self(unsafe { _mm256_blendv_ps(b.0, a.0, mask) })
            }

            #[inline(always)]
            fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask {
                unsafe { _mm256_and_ps(a, b) }
            }

            #[inline(always)]
            fn any(mask: Self::Mask) -> bool {
                unsafe { _mm256_movemask_ps(mask) != 0 }
            }
        }
    );

    lanes!(
        Avx512, 16, "avx512f,avx512vl,avx512dq,avx512bw", __mmask16, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps,
        _mm512_min_ps, _mm512_max_ps, _mm512_sqrt_ps, _mm512_set1_ps
        {
            #[inline(always)]
            fn abs(self) -> Self {
                Self(unsafe { _mm512_abs_ps(self.0) })
            }

            #[inline(always)]
            fn rsqrt_guess(self) -> Self {
                Self(unsafe {
                    _mm512_castsi512_ps(_mm512_sub_epi32(
                        _mm512_set1_epi32(RSQRT_MAGIC as i32),
                        _mm512_srli_epi32::<1>(_mm512_castps_si512(self.0)),
                    ))
                })
            }

            #[inline(always)]
            fn lt(self, other: Self) -> Self::Mask {
                unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0) }
            }

            #[inline(always)]
            fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
                Self(unsafe { _mm512_mask_blend_ps(mask, b.0, a.0) })
            }

            #[inline(always)]
            fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask {
                a & b
            }

            #[inline(always)]
            fn any(mask: Self::Mask) -> bool {
                mask != 0
            }
        }
    );
}
