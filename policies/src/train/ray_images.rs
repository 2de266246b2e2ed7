//! Depth images as a network sees them, kept in 16 bits, and what is done to each before it is learned from.

use nalgebra::UnitQuaternion;
use rand::{Rng, RngExt};
use rand_pcg::Pcg64;

use crate::depth::{
    AugmentationConfig, DepthError, DepthSamples, InputMap, Intrinsics, Panorama, RayNetworkKind,
    image::{check, fill_holes},
    panorama::{UNIT, fast_log2},
};
use crate::rays::RaySpec;

/// Inputs and targets of all images.
pub struct RayImages {
    view: View,
    rows: usize,
    columns: usize,
    rays: usize,
    /// The smallest element; the largest is 0.
    lowest: f32,
    /// log2 of the longest ray, m.
    highest_log2: f32,
    elements: Vec<u16>,
    targets: Vec<f32>,
}

/// What the network is shown of an image.
enum View {
    /// The panorama.
    Panorama(Box<InputMap>),
    /// The image itself.
    Image,
}

impl RayImages {
    /// None yet, of a camera that is turned by `orientation` against the base.
    ///
    /// # Errors
    /// When the camera has no projection.
    pub fn new(
        network: RayNetworkKind,
        intrinsics: &Intrinsics,
        orientation: &UnitQuaternion<f32>,
        rays: &RaySpec,
    ) -> Result<Self, DepthError> {
        let panorama = Panorama::new(rays);
        let lowest = panorama.lowest();
        let (rows, columns, view) = match network {
            RayNetworkKind::Panorama => {
                let map = InputMap::new(panorama, intrinsics, orientation)?;
                let (rows, columns) = (map.panorama().rows(), map.panorama().columns());
                (rows, columns, View::Panorama(Box::new(map)))
            }
            RayNetworkKind::Resnet18 => (intrinsics.height_px, intrinsics.width_px, View::Image),
        };
        Ok(Self {
            view,
            rows,
            columns,
            rays: rays.count,
            lowest,
            highest_log2: rays.max_m.log2(),
            elements: Vec::new(),
            targets: Vec::new(),
        })
    }

    /// Appends samples; those whose image tells nothing are left out. Returns how many those were.
    ///
    /// # Panics
    /// When the samples are of another camera or have another number of rays.
    pub fn push(&mut self, samples: &DepthSamples) -> usize {
        assert_eq!(samples.num_rays, self.rays, "rays of a scan");
        let mut left_out = 0;
        let mut input = vec![0.0; self.len_of_one()];
        for sample in 0..samples.len() {
            if self.view(samples.image_mm(sample), &mut input).is_err() {
                left_out += 1;
                continue;
            }
            let scale = f32::from(u16::MAX) / self.lowest;
            let elements = input.iter().map(|element| (element * scale + 0.5) as u16);
            self.elements.extend(elements);
            let distances = samples.rays_m(sample).iter();
            self.targets
                .extend(distances.map(|distance| distance.log2()));
        }
        left_out
    }

    /// What the network is shown of an image, mm.
    ///
    /// # Errors
    /// When the image tells nothing.
    pub fn view(&mut self, image_mm: &[u16], input: &mut [f32]) -> Result<(), DepthError> {
        let mut depth_m: Vec<f32> = image_mm.iter().map(|mm| 0.001 * f32::from(*mm)).collect();
        match &mut self.view {
            View::Panorama(map) => map.write_depths(&depth_m, input),
            View::Image => {
                check(&depth_m)?;
                fill_holes(&mut depth_m, self.columns);
                for (element, depth) in input.iter_mut().zip(depth_m) {
                    let log2 = fast_log2(depth.max(1e-3)) - self.highest_log2;
                    *element = (log2 / UNIT).clamp(self.lowest, 0.0);
                }
                Ok(())
            }
        }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.targets.len() / self.rays
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Rows and columns of an input.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// log2 of the longest ray, m.
    pub(super) fn highest_log2(&self) -> f32 {
        self.highest_log2
    }

    /// Rays of a target.
    #[must_use]
    pub fn num_rays(&self) -> usize {
        self.rays
    }

    /// Elements of an input.
    #[must_use]
    pub fn len_of_one(&self) -> usize {
        self.rows * self.columns
    }

    /// Writes an image and its target, log2 of the distances in m.
    pub(super) fn write(&self, index: usize, input: &mut [f32], target: &mut [f32]) {
        let len = self.len_of_one();
        let scale = self.lowest / f32::from(u16::MAX);
        let elements = &self.elements[index * len..(index + 1) * len];
        for (out, element) in input.iter_mut().zip(elements) {
            *out = f32::from(*element) * scale;
        }
        target.copy_from_slice(&self.targets[index * self.rays..(index + 1) * self.rays]);
    }

    /// Changes an image and its target at random (method section 8).
    pub(super) fn augment(
        &self,
        config: &AugmentationConfig,
        random: &mut Pcg64,
        input: &mut [f32],
        target: &mut [f32],
    ) {
        if random.random::<f32>() < config.flip_share {
            input
                .chunks_exact_mut(self.columns)
                .for_each(<[f32]>::reverse);
            target.reverse();
        }
        if random.random::<f32>() < config.blur_share {
            blur(input, self.columns);
        }
        if random.random::<f32>() < config.noise_share {
            let std = random.random::<f32>() * config.noise_std / UNIT;
            for element in &mut *input {
                *element = (*element + std * nearly_normal(random)).clamp(self.lowest, 0.0);
            }
        }
        if random.random::<f32>() < config.erase_share {
            let mut side = |len: usize| -> [usize; 2] {
                let longest = (config.erase_side * len as f32).max(1.0);
                let side = (1.0 + random.random::<f32>() * (longest - 1.0)) as usize;
                let first = (random.random::<f32>() * (len - side + 1) as f32) as usize;
                [first, first + side]
            };
            let ([top, bottom], [left, right]) = (side(self.rows), side(self.columns));
            let value = self.lowest * random.random::<f32>();
            for row in input.chunks_exact_mut(self.columns).take(bottom).skip(top) {
                row[left..right].fill(value);
            }
        }
    }
}

/// Binomial filter of three elements in both directions.
fn blur(image: &mut [f32], columns: usize) {
    for row in image.chunks_exact_mut(columns) {
        let mut before = row[0];
        for at in 0..columns {
            let (here, after) = (row[at], row[(at + 1).min(columns - 1)]);
            row[at] = 0.25 * (before + after) + 0.5 * here;
            before = here;
        }
    }
    let rows = image.len() / columns;
    for column in 0..columns {
        let mut before = image[column];
        for row in 0..rows {
            let at = row * columns + column;
            let here = image[at];
            let after = image[(row + 1).min(rows - 1) * columns + column];
            image[at] = 0.25 * (before + after) + 0.5 * here;
            before = here;
        }
    }
}

/// Mean 0, standard deviation 1: the sum of four uniform numbers.
fn nearly_normal(random: &mut Pcg64) -> f32 {
    let bits = random.next_u64();
    let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
    (sum as f32 / 65535.0 - 2.0) * 3.0_f32.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(kind: RayNetworkKind) -> RayImages {
        let camera = Intrinsics {
            width_px: 32,
            height_px: 18,
            focal_px: [13.0; 2],
            centre_px: [15.5, 8.5],
        };
        let mut images = RayImages::new(
            kind,
            &camera,
            &UnitQuaternion::identity(),
            &RaySpec::default(),
        )
        .unwrap();
        let mut samples = DepthSamples::new([32, 18], 11);
        // A left half at 1 m and a right half at 3 m; the last rays look to the left.
        let depth: Vec<f32> = (0..18 * 32)
            .map(|i| if i % 32 < 16 { 1.0 } else { 3.0 })
            .collect();
        let rays: Vec<f32> = (0..11).map(|ray| if ray < 5 { 3.0 } else { 1.0 }).collect();
        samples.push(&depth, &rays, &[0; 11], 0, false);
        samples.push(&[0.0; 18 * 32], &rays, &[0; 11], 1, false);
        assert_eq!(
            images.push(&samples),
            1,
            "an image without depth is left out"
        );
        assert_eq!(images.len(), 1);
        images
    }

    #[test]
    fn a_mirrored_image_has_its_rays_mirrored() {
        for kind in [RayNetworkKind::Panorama, RayNetworkKind::Resnet18] {
            let images = images(kind);
            let flip = AugmentationConfig {
                flip_share: 1.0,
                blur_share: 0.0,
                noise_share: 0.0,
                erase_share: 0.0,
                ..AugmentationConfig::default()
            };
            let (mut input, mut target) = (vec![0.0; images.len_of_one()], vec![0.0; 11]);
            images.write(0, &mut input, &mut target);
            let middle = images.shape()[0] / 2 * images.shape()[1];
            let ends = |input: &[f32]| [input[middle], input[middle + images.shape()[1] - 1]];
            let (before, near) = (ends(&input), target[10]);
            images.augment(&flip, &mut Pcg64::new(1, 1), &mut input, &mut target);
            assert_eq!(ends(&input), [before[1], before[0]]);
            assert_eq!((near, target[0], target[10]), (0.0, 0.0, 3.0_f32.log2()));
            // Elements tell the ratio of the two distances: log2, halved.
            assert!(((before[1] - before[0]).abs() - 0.5 * 3.0_f32.log2()).abs() < 1e-3);
        }
    }

    #[test]
    fn each_augmentation_does_its_own() {
        let images = images(RayNetworkKind::Resnet18);
        let (mut clean, mut target) = (vec![0.0; images.len_of_one()], vec![0.0; 11]);
        images.write(0, &mut clean, &mut target);
        let changed = |config: AugmentationConfig| {
            let (mut input, mut rays) = (clean.clone(), target.clone());
            images.augment(&config, &mut Pcg64::new(5, 1), &mut input, &mut rays);
            assert_eq!(rays, target);
            assert!(
                input
                    .iter()
                    .all(|element| (images.lowest..=0.0).contains(element))
            );
            let differences = input.iter().zip(&clean).map(|(a, b)| (a - b).abs());
            differences.filter(|d| *d > 1e-6).count()
        };
        let none = AugmentationConfig {
            flip_share: 0.0,
            blur_share: 0.0,
            noise_share: 0.0,
            erase_share: 0.0,
            ..AugmentationConfig::default()
        };
        assert_eq!(changed(none.clone()), 0);
        // The edge between the halves, two columns wide.
        assert_eq!(
            changed(AugmentationConfig {
                blur_share: 1.0,
                ..none.clone()
            }),
            2 * 18
        );
        assert!(
            changed(AugmentationConfig {
                noise_share: 1.0,
                ..none.clone()
            }) > 500
        );
        let erased = changed(AugmentationConfig {
            erase_share: 1.0,
            ..none
        });
        assert!((1..=18 * 32 / 20).contains(&erased), "{erased}");
    }
}
