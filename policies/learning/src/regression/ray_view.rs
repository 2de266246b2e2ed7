//! What a network is shown of a depth image, and what is done to each image before it is learned from.

use nalgebra::{Isometry3, Vector3};
use rand::{Rng, RngExt};
use rand_pcg::Pcg64;

use policies::depth::{
    Augmentation, DepthError, InputMap, Intrinsics, RayGrid, RayNetworkKind, check, fast_log2,
    fill_holes,
};
use policies::rays::RaySpec;

/// Images of one camera as a network sees them.
#[derive(Clone, Debug)]
pub struct RayView {
    kind: Kind,
    shape: [usize; 3],
    /// Columns of an image.
    columns_px: usize,
    /// Depths that are told apart, m.
    range_m: [f32; 2],
    depth_m: Vec<f32>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The signed distances around the rays.
    Tsdf(Box<InputMap>),
    /// The image itself, log2 of the depth.
    Image,
}

impl RayView {
    /// Of a camera at `camera_base` in the base frame.
    ///
    /// # Errors
    /// When the camera has no projection.
    pub fn new(
        network: RayNetworkKind,
        intrinsics: &Intrinsics,
        camera_base: &Isometry3<f32>,
        rays: &RaySpec,
    ) -> Result<Self, DepthError> {
        let (kind, shape) = match network {
            RayNetworkKind::Tsdf => {
                let map = InputMap::new(RayGrid::new(rays), intrinsics, camera_base)?;
                let grid = map.grid();
                let shape = [grid.rows(), grid.columns(), grid.channels()];
                (Kind::Tsdf(Box::new(map)), shape)
            }
            RayNetworkKind::Resnet18 => {
                let shape = [intrinsics.height_px, intrinsics.width_px, 1];
                (Kind::Image, shape)
            }
        };
        Ok(Self {
            kind,
            shape,
            columns_px: intrinsics.width_px,
            range_m: [rays.min_m, rays.max_m],
            depth_m: Vec::with_capacity(intrinsics.width_px * intrinsics.height_px),
        })
    }

    /// Rows, columns and channels of an input.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Elements of an input.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// log2 of the longest ray, m.
    pub(super) fn longest_log2(&self) -> f32 {
        self.range_m[1].log2()
    }

    /// Never: a camera has pixels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the input [rows, columns, channels] of an image, mm, that was taken under this direction of gravity in the
    /// base frame.
    ///
    /// # Errors
    /// When the image tells nothing.
    ///
    /// # Panics
    /// When the image is of another camera, or `input` has another length.
    pub fn write(
        &mut self,
        image_mm: &[u16],
        projected_gravity: &Vector3<f32>,
        input: &mut [f32],
    ) -> Result<(), DepthError> {
        self.take(image_mm);
        self.show(projected_gravity, input)
    }

    /// As [`write`](Self::write), of an image that is changed at random, its rays with it.
    ///
    /// # Errors
    /// When the image tells nothing.
    ///
    /// # Panics
    /// When the image is of another camera, or `input` has another length.
    pub fn write_augmented(
        &mut self,
        image_mm: &[u16],
        projected_gravity: &Vector3<f32>,
        config: &Augmentation,
        random: &mut Pcg64,
        input: &mut [f32],
        rays: &mut [f32],
    ) -> Result<(), DepthError> {
        self.take(image_mm);
        // Before pixels are mixed with those beside them.
        fill_holes(&mut self.depth_m, self.columns_px);
        let mut gravity = *projected_gravity;
        if random.random::<f32>() < config.blur_fraction {
            blur(&mut self.depth_m, self.columns_px);
        }
        if random.random::<f32>() < config.noise_fraction {
            let std = random.random::<f32>() * config.noise_std;
            for depth in &mut self.depth_m {
                *depth *= (std * nearly_normal(random)).exp2();
            }
            gravity += Vector3::from_fn(|_, _| config.tilt_noise_rad * nearly_normal(random));
        }
        if random.random::<f32>() < config.erase_fraction {
            self.erase(config.erase_side, random);
        }
        self.show(&gravity, input)?;
        if random.random::<f32>() < config.flip_fraction {
            self.mirror(input);
            rays.reverse();
        }
        Ok(())
    }

    fn take(&mut self, image_mm: &[u16]) {
        self.depth_m.clear();
        self.depth_m
            .extend(image_mm.iter().map(|mm| 0.001 * f32::from(*mm)));
    }

    fn show(
        &mut self,
        projected_gravity: &Vector3<f32>,
        input: &mut [f32],
    ) -> Result<(), DepthError> {
        match &mut self.kind {
            Kind::Tsdf(map) => map.write_depths(&self.depth_m, projected_gravity, input),
            Kind::Image => {
                check(self.depth_m.iter().copied())?;
                fill_holes(&mut self.depth_m, self.columns_px);
                let [near_m, far_m] = self.range_m;
                for (element, depth) in input.iter_mut().zip(&self.depth_m) {
                    *element = fast_log2(depth.clamp(near_m, far_m));
                }
                Ok(())
            }
        }
    }

    fn mirror(&self, input: &mut [f32]) {
        match &self.kind {
            Kind::Tsdf(map) => map.grid().mirror(input),
            Kind::Image => input
                .chunks_exact_mut(self.columns_px)
                .for_each(<[f32]>::reverse),
        }
    }

    /// Replaces a rectangle by one depth.
    fn erase(&mut self, share: f32, random: &mut Pcg64) {
        let columns = self.columns_px;
        let mut side = |len: usize| -> [usize; 2] {
            let longest = (share * len as f32).max(1.0);
            let side = (1.0 + random.random::<f32>() * (longest - 1.0)) as usize;
            let first = (random.random::<f32>() * (len - side + 1) as f32) as usize;
            [first, first + side]
        };
        let [top, bottom] = side(self.depth_m.len() / columns);
        let [left, right] = side(columns);
        let [near_m, far_m] = self.range_m;
        let depth_m = near_m * (far_m / near_m).powf(random.random::<f32>());
        let rows = self.depth_m.chunks_exact_mut(columns);
        for row in rows.take(bottom).skip(top) {
            row[left..right].fill(depth_m);
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

    /// A left half at 1 m and a right half at 3 m.
    const IMAGE: [u16; 18 * 32] = {
        let mut image = [3000; 18 * 32];
        let mut pixel = 0;
        while pixel < image.len() {
            if pixel % 32 < 16 {
                image[pixel] = 1000;
            }
            pixel += 1;
        }
        image
    };

    const NONE: Augmentation = Augmentation {
        flip_fraction: 0.0,
        blur_fraction: 0.0,
        noise_fraction: 0.0,
        noise_std: 0.1,
        tilt_noise_rad: 0.0,
        erase_fraction: 0.0,
        erase_side: 0.2,
    };

    fn view(kind: RayNetworkKind) -> RayView {
        let camera = Intrinsics {
            width_px: 32,
            height_px: 18,
            focal_px: [13.0; 2],
            centre_px: [15.5, 8.5],
        };
        let camera_base = Isometry3::translation(0.0, 0.0, 0.27);
        RayView::new(kind, &camera, &camera_base, &RaySpec::default()).unwrap()
    }

    fn augmented(view: &mut RayView, config: &Augmentation) -> (Vec<f32>, Vec<f32>) {
        let mut input = vec![0.0; view.len()];
        // The last rays look to the left.
        let mut rays: Vec<f32> = (0..11).map(|ray| if ray < 5 { 3.0 } else { 1.0 }).collect();
        let (level, mut random) = (-Vector3::z(), Pcg64::new(5, 1));
        view.write_augmented(&IMAGE, &level, config, &mut random, &mut input, &mut rays)
            .unwrap();
        (input, rays)
    }

    #[test]
    fn a_mirrored_image_has_its_rays_mirrored() {
        for kind in [RayNetworkKind::Tsdf, RayNetworkKind::Resnet18] {
            let mut view = view(kind);
            let (clean, rays) = augmented(&mut view, &NONE);
            let flip = Augmentation {
                flip_fraction: 1.0,
                ..NONE
            };
            let (mut flipped, flipped_rays) = augmented(&mut view, &flip);
            assert_eq!(
                (rays[0], flipped_rays[0], flipped_rays[10]),
                (3.0, 1.0, 3.0)
            );
            assert_ne!(clean, flipped);
            view.mirror(&mut flipped);
            assert_eq!(clean, flipped);
        }
    }

    #[test]
    fn each_augmentation_does_its_own() {
        let mut view = view(RayNetworkKind::Resnet18);
        let (clean, rays) = augmented(&mut view, &NONE);
        let mut changed = |config: Augmentation| {
            let (input, same_rays) = augmented(&mut view, &config);
            assert_eq!(rays, same_rays);
            let differences = input.iter().zip(&clean).map(|(a, b)| (a - b).abs());
            differences.filter(|d| *d > 1e-6).count()
        };
        assert_eq!(changed(NONE), 0);
        // The edge between the halves, two columns wide.
        assert_eq!(
            changed(Augmentation {
                blur_fraction: 1.0,
                ..NONE
            }),
            2 * 18
        );
        assert!(
            changed(Augmentation {
                noise_fraction: 1.0,
                ..NONE
            }) > 500
        );
        let erased = changed(Augmentation {
            erase_fraction: 1.0,
            ..NONE
        });
        assert!((1..=18 * 32 / 20).contains(&erased), "{erased}");
    }

    #[test]
    fn noise_of_the_tilt_moves_what_is_seen() {
        let mut view = view(RayNetworkKind::Tsdf);
        let (clean, _) = augmented(&mut view, &NONE);
        let tilted = Augmentation {
            noise_fraction: 1.0,
            noise_std: 0.0,
            tilt_noise_rad: 0.05,
            ..NONE
        };
        assert_ne!(augmented(&mut view, &tilted).0, clean);
    }
}
