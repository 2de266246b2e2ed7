//! The ray network without libtorch: convolutions as matrix products of patches, on the kernel of the policies.

use std::sync::Arc;

use nalgebra::{Isometry3, Vector3};
use serde::{Deserialize, Serialize};

use super::{
    image::{DepthError, DepthImage, Intrinsics},
    network_error::RayNetworkError,
    tsdf::{InputMap, RayGrid},
};
use crate::{
    nn::{
        Activation, Linear,
        kernel::{Isa, Layer, Row},
    },
    rays::{RayScan, RaySpec},
};

/// Shape of a convolution; pairs are vertical, horizontal. The channels follow from its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Size of the filters.
    pub kernel: [usize; 2],
    /// Step from one output to the next.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: [usize; 2],
}

/// Predicts the rays from the signed distances around them: convolutions with ReLU between them. Clones share the weights;
/// a prediction allocates nothing.
#[derive(Clone, Debug)]
pub struct RayNetwork {
    grid: RayGrid,
    range_m: [f32; 2],
    isa: Isa,
    stages: Arc<[Stage]>,
    patches: Vec<f32>,
    /// Activations between the stages, read from one and written to the other.
    buffers: [Vec<Row>; 2],
    log2_m: Vec<f32>,
}

#[derive(Debug)]
struct Stage {
    shape: Convolution,
    /// Channels, rows and columns of the input.
    input: [usize; 3],
    /// Rows and columns of the output.
    output: [usize; 2],
    layer: Layer,
}

impl RayNetwork {
    /// Puts the layers together. Weights are [channels out, vertical * horizontal * channels in].
    ///
    /// # Errors
    /// When shapes do not fit each other, the grid around `rays` or their number, or a weight is not finite.
    pub fn new(
        convolutions: &[Convolution],
        layers: &[Linear],
        rays: &RaySpec,
    ) -> Result<Self, RayNetworkError> {
        if convolutions.len() != layers.len() || layers.is_empty() {
            return Err(RayNetworkError::Count {
                convolutions: convolutions.len(),
                layers: layers.len(),
            });
        }
        let grid = RayGrid::new(rays);
        let mut size = [grid.channels(), grid.rows(), grid.columns()];
        let mut stages = Vec::with_capacity(layers.len());
        for (index, (shape, linear)) in convolutions.iter().zip(layers).enumerate() {
            let is_last = index + 1 == layers.len();
            let stage = Stage::new(index, *shape, linear, size, is_last)?;
            size = [linear.outputs(), stage.output[0], stage.output[1]];
            stages.push(stage);
        }
        let found = size.iter().product();
        if found != rays.count {
            return Err(RayNetworkError::Outputs {
                found,
                expected: rays.count,
            });
        }
        let most = |len: fn(&Stage) -> usize| stages.iter().map(len).max().unwrap_or(0);
        let rows = most(|stage| stage.num_outputs() * stage.layer.output_rows());
        Ok(Self {
            range_m: [rays.min_m, rays.max_m],
            isa: Isa::detect(),
            patches: vec![0.0; most(|stage| stage.num_outputs() * stage.layer.inputs)],
            buffers: [vec![Row::ZERO; rows], vec![Row::ZERO; rows]],
            log2_m: vec![0.0; rays.count],
            grid,
            stages: stages.into(),
        })
    }

    /// What it sees.
    pub fn grid(&self) -> &RayGrid {
        &self.grid
    }

    /// Multiplications of one prediction.
    pub fn multiplications(&self) -> usize {
        let of = |stage: &Stage| stage.num_outputs() * stage.layer.inputs * stage.layer.outputs;
        self.stages.iter().map(of).sum()
    }

    /// log2 of the ray distances in m, as the network gives them.
    ///
    /// # Panics
    /// When `signed_log2` has another length than [`Self::grid`].
    pub fn forward(&mut self, signed_log2: &[f32]) -> &[f32] {
        assert_eq!(signed_log2.len(), self.grid.len(), "points of a grid");
        let [from, to] = &mut self.buffers;
        for (index, stage) in self.stages.iter().enumerate() {
            let input = match index {
                0 => signed_log2,
                _ => Row::flatten(from),
            };
            let patches = &mut self.patches[..stage.num_outputs() * stage.layer.inputs];
            stage.gather(input, patches);
            let rows = stage.num_outputs();
            let output = &mut to[..rows * stage.layer.output_rows()];
            stage.layer.forward(self.isa, patches, rows, output);
            std::mem::swap(from, to);
        }
        if let Some(last) = self.stages.last() {
            // The outputs of one place lie together, padded to whole rows.
            let width = last.layer.output_rows() * (Row::flatten(&[Row::ZERO]).len());
            let places = Row::flatten(from).chunks_exact(width);
            let values = places.flat_map(|place| &place[..last.layer.outputs]);
            for (log2_m, value) in self.log2_m.iter_mut().zip(values) {
                *log2_m = *value;
            }
        }
        &self.log2_m
    }

    /// Predicts the rays, within their range.
    ///
    /// # Panics
    /// When `signed_log2` has another length than [`Self::grid`].
    pub fn predict(&mut self, signed_log2: &[f32], scan: &mut RayScan) {
        let [min_m, max_m] = self.range_m;
        let log2_m = self.forward(signed_log2);
        scan.distance_m.clear();
        // NaN passes, so that the controller sees it.
        let distances = log2_m
            .iter()
            .map(|log2_m| log2_m.exp2().clamp(min_m, max_m));
        scan.distance_m.extend(distances);
    }
}

impl Stage {
    fn new(
        index: usize,
        shape: Convolution,
        linear: &Linear,
        [channels, rows, columns]: [usize; 3],
        is_last: bool,
    ) -> Result<Self, RayNetworkError> {
        let geometry = RayNetworkError::Geometry {
            layer: index,
            rows,
            columns,
        };
        let extent = |axis: usize, len: usize| {
            let room = (len + 2 * shape.padding[axis]).checked_sub(shape.kernel[axis])?;
            let fits = shape.kernel[axis] > shape.padding[axis];
            fits.then_some(room.checked_div(shape.stride[axis])? + 1)
        };
        let (Some(high), Some(wide)) = (extent(0, rows), extent(1, columns)) else {
            return Err(geometry);
        };
        let expected = shape.kernel[0] * shape.kernel[1] * channels;
        let outputs = linear.outputs();
        if linear.inputs != expected || linear.weight.len() != expected * outputs {
            return Err(RayNetworkError::Inputs {
                layer: index,
                found: linear.inputs,
                expected,
            });
        }
        if !is_last && !outputs.is_multiple_of(16) {
            return Err(RayNetworkError::Channels {
                layer: index,
                channels: outputs,
            });
        }
        if !linear
            .weight
            .iter()
            .chain(&linear.bias)
            .all(|w| w.is_finite())
        {
            return Err(RayNetworkError::NotFinite(index));
        }
        let activation = match is_last {
            true => Activation::Identity,
            false => Activation::Relu,
        };
        Ok(Self {
            shape,
            input: [channels, rows, columns],
            output: [high, wide],
            layer: Layer::new(linear, activation),
        })
    }

    /// Places at which the filters are evaluated.
    fn num_outputs(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Copies what the filters see at each place: [places, kernel rows, kernel columns, channels], zeros beyond the input
    /// [rows, columns, channels].
    fn gather(&self, input: &[f32], patches: &mut [f32]) {
        let Convolution {
            kernel,
            stride,
            padding,
        } = self.shape;
        let [channels, rows, columns] = self.input;
        let line = kernel[1] * channels;
        for (place, patch) in patches.chunks_exact_mut(self.layer.inputs).enumerate() {
            // May begin before the input: wrapping numbers are beyond its end.
            let top = (place / self.output[1] * stride[0]).wrapping_sub(padding[0]);
            let left = place % self.output[1] * stride[1];
            // Kernel columns within the input.
            let first = padding[1].saturating_sub(left).min(kernel[1]);
            let end = (columns + padding[1])
                .saturating_sub(left)
                .min(kernel[1])
                .max(first);
            for (y, line) in patch.chunks_exact_mut(line).enumerate() {
                let row = top.wrapping_add(y);
                if row >= rows {
                    line.fill(0.0);
                    continue;
                }
                line[..first * channels].fill(0.0);
                line[end * channels..].fill(0.0);
                let from = (row * columns + left + first).wrapping_sub(padding[1]);
                let seen = &input[from * channels..(from + end - first) * channels];
                line[first * channels..end * channels].copy_from_slice(seen);
            }
        }
    }
}

/// From a depth image to a ray scan, for one camera. Clones share the weights; a prediction allocates nothing.
#[derive(Clone, Debug)]
pub struct RayPredictor {
    map: InputMap,
    network: RayNetwork,
    signed_log2: Vec<f32>,
}

impl RayPredictor {
    /// For a camera at `camera_base` in the base frame, which looks along its x axis.
    ///
    /// # Errors
    /// When the camera has no projection.
    pub fn new(
        network: RayNetwork,
        intrinsics: &Intrinsics,
        camera_base: &Isometry3<f32>,
    ) -> Result<Self, DepthError> {
        let map = InputMap::new(network.grid().clone(), intrinsics, camera_base)?;
        Ok(Self {
            signed_log2: vec![0.0; network.grid().len()],
            map,
            network,
        })
    }

    /// The camera that it is for.
    pub fn intrinsics(&self) -> &Intrinsics {
        self.map.intrinsics()
    }

    /// Predicts the rays of an image. `projected_gravity` is the direction of gravity in the base frame when it was taken.
    ///
    /// # Errors
    /// When the image is of another camera or tells nothing; `scan` is then as it was.
    pub fn predict(
        &mut self,
        image: &DepthImage<'_>,
        projected_gravity: &Vector3<f32>,
        scan: &mut RayScan,
    ) -> Result<(), DepthError> {
        self.map
            .write(image, projected_gravity, &mut self.signed_log2)?;
        self.network.predict(&self.signed_log2, scan);
        Ok(())
    }

    /// As [`predict`](Self::predict), of depths [rows, columns], m, where 0 is no depth.
    ///
    /// # Errors
    /// When the image is of another camera or tells nothing; `scan` is then as it was.
    pub fn predict_depths(
        &mut self,
        depth_m: &[f32],
        projected_gravity: &Vector3<f32>,
        scan: &mut RayScan,
    ) -> Result<(), DepthError> {
        self.map
            .write_depths(depth_m, projected_gravity, &mut self.signed_log2)?;
        self.network.predict(&self.signed_log2, scan);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The convolution as its definition has it.
    fn direct(
        input: &[f32],
        [channels, rows, columns]: [usize; 3],
        shape: Convolution,
        linear: &Linear,
    ) -> Vec<f32> {
        let Convolution {
            kernel,
            stride,
            padding,
        } = shape;
        let high = (rows + 2 * padding[0] - kernel[0]) / stride[0] + 1;
        let wide = (columns + 2 * padding[1] - kernel[1]) / stride[1] + 1;
        let mut output = Vec::new();
        for place in 0..high * wide {
            for (out, bias) in linear.bias.iter().enumerate() {
                let mut sum = f64::from(*bias);
                for y in 0..kernel[0] {
                    for x in 0..kernel[1] {
                        let row = (place / wide * stride[0] + y) as isize - padding[0] as isize;
                        let column = (place % wide * stride[1] + x) as isize - padding[1] as isize;
                        if !(0..rows as isize).contains(&row)
                            || !(0..columns as isize).contains(&column)
                        {
                            continue;
                        }
                        for channel in 0..channels {
                            let value = input
                                [(row as usize * columns + column as usize) * channels + channel];
                            let weight = linear.weight
                                [out * linear.inputs + (y * kernel[1] + x) * channels + channel];
                            sum += f64::from(value * weight);
                        }
                    }
                }
                output.push(sum as f32);
            }
        }
        output
    }

    fn linear(inputs: usize, outputs: usize, seed: f32) -> Linear {
        let number = |k: usize| (seed + k as f32 * 0.7).sin();
        Linear {
            weight: (0..inputs * outputs)
                .map(|k| number(k) / (inputs as f32).sqrt())
                .collect(),
            bias: (0..outputs).map(|k| 0.1 * number(k)).collect(),
            inputs,
        }
    }

    fn convolution(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Convolution {
        Convolution {
            kernel,
            stride,
            padding,
        }
    }

    #[test]
    fn convolutions_are_what_their_definition_says() {
        let rays = RaySpec::default();
        let shapes = [
            convolution([5, 3], [2, 1], [2, 1]),
            convolution([3, 5], [2, 2], [1, 4]),
            convolution([10, 4], [1, 1], [0, 3]),
        ];
        let layers = [
            linear(42 * 15, 16, 0.3),
            linear(16 * 15, 32, 1.1),
            linear(32 * 40, 1, 2.0),
        ];
        let mut network = RayNetwork::new(&shapes, &layers, &rays).unwrap();
        let input: Vec<f32> = (0..network.grid().len())
            .map(|k| (0.01 * k as f32).sin())
            .collect();
        let relu =
            |values: Vec<f32>| -> Vec<f32> { values.into_iter().map(|v| v.max(0.0)).collect() };
        let first = relu(direct(&input, [42, 40, 11], shapes[0], &layers[0]));
        let second = relu(direct(&first, [16, 20, 11], shapes[1], &layers[1]));
        let expected = direct(&second, [32, 10, 8], shapes[2], &layers[2]);
        let found = network.forward(&input);
        assert_eq!(found.len(), 11);
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4, "{found:?} {expected:?}");
        }
        assert_eq!(
            network.multiplications(),
            20 * 11 * 630 * 16 + 10 * 8 * 240 * 32 + 11 * 1280
        );
    }

    #[test]
    fn networks_that_do_not_fit_are_named() {
        let rays = RaySpec::default();
        let refuse = |shapes: &[Convolution], layers: &[Linear], part: &str| {
            let error = RayNetwork::new(shapes, layers, &rays)
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error}");
        };
        let whole = convolution([40, 1], [1, 1], [0, 0]);
        assert!(RayNetwork::new(&[whole], &[linear(40 * 42, 1, 0.0)], &rays).is_ok());
        refuse(&[whole], &[], "weights for 0");
        refuse(
            &[whole],
            &[linear(40, 1, 0.0)],
            "takes 40 inputs, must be 1680",
        );
        refuse(
            &[convolution([41, 1], [1, 1], [0, 0])],
            &[linear(41 * 42, 1, 0.0)],
            "does not fit",
        );
        refuse(
            &[convolution([40, 1], [1, 0], [0, 0])],
            &[linear(1680, 1, 0.0)],
            "does not fit",
        );
        refuse(
            &[convolution([40, 1], [1, 2], [0, 0])],
            &[linear(1680, 1, 0.0)],
            "6 numbers, must be 11",
        );
        let mut bad = linear(1680, 1, 0.0);
        bad.weight[3] = f32::NAN;
        refuse(&[whole], &[bad], "layers.0 has a weight");
        let two = [convolution([1, 1], [1, 1], [0, 0]), whole];
        refuse(
            &two,
            &[linear(42, 8, 0.0), linear(8 * 40, 1, 0.0)],
            "8 channels",
        );
    }
}
