//! One linear layer with its activation, on the vector units that the machine has.

use super::{Activation, Linear};

/// Outputs computed together: the vector width that the code is written for.
const LANES: usize = 16;
/// Rows of a batch computed together.
pub(crate) const TILE_ROWS: usize = 6;
/// Groups of [`LANES`] outputs computed together for a single row, to hide the latency of the additions.
const SINGLE_GROUPS: usize = 4;

/// [`LANES`] neighbouring numbers, aligned for the widest loads.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Row([f32; LANES]);

impl Row {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);

    pub(crate) fn flatten(rows: &[Self]) -> &[f32] {
        // SAFETY: `Row` is `repr(C)` around an array of f32 and has its size (64 bytes = its alignment), so `rows`
        // is LANES * len contiguous f32 of the same lifetime.
        unsafe { std::slice::from_raw_parts(rows.as_ptr().cast(), rows.len() * LANES) }
    }
}

/// Instruction set of the forward pass, found at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// 16 lanes and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 lanes and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the program was compiled for.
    Portable,
}

impl Isa {
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return if is_x86_feature_detected!("avx512f") {
                Self::Avx512
            } else {
                Self::Avx2
            };
        }
        Self::Portable
    }
}

/// Whether the instructions that the program was compiled for have a fused multiply-add.
const PORTABLE_FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// A layer, its weights transposed in groups of [`LANES`] outputs.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// [groups, inputs] of LANES weights each, padded with zeros.
    weight: Vec<Row>,
    /// [groups].
    bias: Vec<Row>,
    activation: Activation,
}

impl Layer {
    pub(crate) fn new(linear: &Linear, activation: Activation) -> Self {
        let (inputs, outputs) = (linear.inputs, linear.outputs());
        let groups = outputs.div_ceil(LANES);
        let mut weight = vec![Row::ZERO; groups * inputs];
        let mut bias = vec![Row::ZERO; groups];
        for output in 0..outputs {
            let (group, lane) = (output / LANES, output % LANES);
            bias[group].0[lane] = linear.bias[output];
            for input in 0..inputs {
                weight[group * inputs + input].0[lane] = linear.weight[output * inputs + input];
            }
        }
        Self {
            inputs,
            outputs,
            weight,
            bias,
            activation,
        }
    }

    /// Length of a padded output, in [`Row`]s.
    pub(crate) fn output_rows(&self) -> usize {
        self.bias.len()
    }

    /// Evaluates `rows` inputs, which stand at equal distances in `input`, into [rows, output_rows].
    pub(crate) fn forward(&self, isa: Isa, input: &[f32], rows: usize, output: &mut [Row]) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Isa::detect` makes this value only where avx512f, avx2 and fma were found.
            Isa::Avx512 => unsafe { forward_avx512(self, input, rows, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Isa::detect` makes this value only where avx2 and fma were found.
            Isa::Avx2 => unsafe { forward_avx2(self, input, rows, output) },
            Isa::Portable => forward::<PORTABLE_FMA>(self, input, rows, output),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn forward_avx512(layer: &Layer, input: &[f32], rows: usize, output: &mut [Row]) {
    forward::<true>(layer, input, rows, output);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn forward_avx2(layer: &Layer, input: &[f32], rows: usize, output: &mut [Row]) {
    forward::<true>(layer, input, rows, output);
}

// Everything below is inlined into the functions above, and takes their instruction set.

#[inline(always)]
fn forward<const FMA: bool>(layer: &Layer, input: &[f32], rows: usize, output: &mut [Row]) {
    let groups = layer.bias.len();
    let tiled_rows = rows - rows % TILE_ROWS;
    for group in 0..groups {
        let mut row = 0;
        while row < tiled_rows {
            tile::<FMA, TILE_ROWS, 1>(layer, input, rows, row, group, output);
            row += TILE_ROWS;
        }
    }
    for row in tiled_rows..rows {
        let mut group = 0;
        while group + SINGLE_GROUPS <= groups {
            tile::<FMA, 1, SINGLE_GROUPS>(layer, input, rows, row, group, output);
            group += SINGLE_GROUPS;
        }
        while group < groups {
            tile::<FMA, 1, 1>(layer, input, rows, row, group, output);
            group += 1;
        }
    }
    activate::<FMA>(layer.activation, output);
}

/// Rows `row..row + ROWS` of output groups `group..group + GROUPS`.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "one shape of loop over the whole tile"
)]
fn tile<const FMA: bool, const ROWS: usize, const GROUPS: usize>(
    layer: &Layer,
    input: &[f32],
    rows: usize,
    row: usize,
    group: usize,
    output: &mut [Row],
) {
    let inputs = layer.inputs;
    let input_stride = input.len() / rows;
    let mut sum = [[Row::ZERO; GROUPS]; ROWS];
    let mut x: [&[f32]; ROWS] = [&[]; ROWS];
    for r in 0..ROWS {
        let start = (row + r) * input_stride;
        x[r] = &input[start..start + inputs];
        for g in 0..GROUPS {
            sum[r][g] = layer.bias[group + g];
        }
    }
    let mut weight: [&[Row]; GROUPS] = [&[]; GROUPS];
    for g in 0..GROUPS {
        let start = (group + g) * inputs;
        weight[g] = &layer.weight[start..start + inputs];
    }
    for k in 0..inputs {
        for g in 0..GROUPS {
            let w = weight[g][k];
            for r in 0..ROWS {
                let value = x[r][k];
                for lane in 0..LANES {
                    sum[r][g].0[lane] = mul_add::<FMA>(value, w.0[lane], sum[r][g].0[lane]);
                }
            }
        }
    }
    let groups = layer.bias.len();
    for r in 0..ROWS {
        for g in 0..GROUPS {
            output[(row + r) * groups + group + g] = sum[r][g];
        }
    }
}

#[inline(always)]
fn activate<const FMA: bool>(activation: Activation, values: &mut [Row]) {
    match activation {
        Activation::Identity => {}
        Activation::Elu => {
            for row in values {
                for value in &mut row.0 {
                    *value = elu::<FMA>(*value);
                }
            }
        }
        Activation::Relu => {
            for row in values {
                for value in &mut row.0 {
                    // Not `max`, which would hide a NaN.
                    *value = if *value < 0.0 { 0.0 } else { *value };
                }
            }
        }
        Activation::Silu => {
            for row in values {
                for value in &mut row.0 {
                    *value = silu::<FMA>(*value);
                }
            }
        }
        Activation::Tanh => {
            for row in values {
                for value in &mut row.0 {
                    *value = value.tanh();
                }
            }
        }
    }
}

#[inline(always)]
fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// exp(x) - 1 for negative x, with an absolute error below 2e-7; branch-free, so that it vectorizes.
#[inline(always)]
fn elu<const FMA: bool>(x: f32) -> f32 {
    // Beyond this exp(x) - 1 is -1. Comparisons rather than `max`, so that NaN passes.
    let negative = if x < -20.0 { -20.0 } else { x };
    // exp(x) = 2^n exp(r), |r| <= ln(2)/2. Adding 1.5 * 2^23 rounds to an integer, found in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = mul_add::<FMA>(negative, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln(2) in two parts (Cody and Waite).
    let r = mul_add::<FMA>(n, -0.693_359_4, negative);
    let r = mul_add::<FMA>(n, 2.121_944_4e-4, r);
    // Taylor series of exp(r) - 1 to r^7: the remainder is below 6e-9.
    let mut p = 1.0 / 5040.0;
    p = mul_add::<FMA>(p, r, 1.0 / 720.0);
    p = mul_add::<FMA>(p, r, 1.0 / 120.0);
    p = mul_add::<FMA>(p, r, 1.0 / 24.0);
    p = mul_add::<FMA>(p, r, 1.0 / 6.0);
    p = mul_add::<FMA>(p, r, 0.5);
    p = mul_add::<FMA>(p, r, 1.0);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let exp_m1 = mul_add::<FMA>(p * r, power, power - 1.0);
    if x > 0.0 { x } else { exp_m1 }
}

/// x / (1 + exp(-x)), with exp(-|x|) alone, which cannot overflow.
#[inline(always)]
fn silu<const FMA: bool>(x: f32) -> f32 {
    let decay = 1.0 + elu::<FMA>(-x.abs());
    let numerator = if x < 0.0 { x * decay } else { x };
    numerator / (1.0 + decay)
}
