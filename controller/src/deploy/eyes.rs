//! The thread that predicts rays from depth images, beside the control thread and never in its way.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use nalgebra::{Isometry3, Vector3};
use policies::{
    RayScan,
    depth::{DepthEncoding, DepthError, DepthImage, Intrinsics, RayNetwork, RayPredictor},
};
use triple_buffer::{Input, Output, triple_buffer};

use super::ScanSample;

/// A depth image as it came in: the fields of `sensor_msgs/Image`.
#[derive(Clone, Debug)]
pub struct ImageSample {
    /// When it was received, ns; 0 for never.
    pub received_ns: u64,
    /// Direction of gravity in the base frame at that time, unit length.
    pub projected_gravity: Vector3<f32>,
    /// The camera.
    pub intrinsics: Intrinsics,
    /// Columns.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    /// How a pixel is stored.
    pub encoding: DepthEncoding,
    /// Whether the high byte comes first.
    pub is_big_endian: bool,
    /// Bytes from one row to the next.
    pub row_bytes: usize,
    /// All rows.
    pub data: Vec<u8>,
}

impl Default for ImageSample {
    fn default() -> Self {
        Self {
            received_ns: 0,
            projected_gravity: -Vector3::z(),
            intrinsics: Intrinsics {
                width_px: 0,
                height_px: 0,
                focal_px: [0.0; 2],
                centre_px: [0.0; 2],
            },
            width_px: 0,
            height_px: 0,
            encoding: DepthEncoding::Millimetres16,
            is_big_endian: false,
            row_bytes: 0,
            data: Vec::new(),
        }
    }
}

/// Predicts the rays of the newest image on a thread of its own and puts them where the control thread looks. Images that
/// come in faster are left out. One that tells nothing gives no rays, so that those of the last good one go stale.
#[derive(Debug)]
pub struct Eyes {
    images: Input<ImageSample>,
    shared: Arc<Shared>,
    errors: Output<Option<DepthError>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    predicted: AtomicU64,
    refused: AtomicU64,
}

impl Eyes {
    /// Starts the thread, for a camera at `camera_base` in the base frame; `scan` is the slot of a
    /// [`LinkPort`](super::LinkPort).
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        network: RayNetwork,
        camera_base: Isometry3<f32>,
        scan: Input<ScanSample>,
    ) -> io::Result<Self> {
        let (images, seen) = triple_buffer(&ImageSample::default());
        let (error, errors) = triple_buffer(&None);
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            network,
            camera_base,
            predictor: None,
            images: seen,
            scan,
            error,
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new().name("eyes".to_owned());
        Ok(Self {
            images,
            shared,
            errors,
            thread: Some(thread.spawn(move || worker.run())?),
        })
    }

    /// Hands over an image. Never waits.
    pub fn see(&mut self, image: ImageSample) {
        self.images.write(image);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Number of images whose rays were predicted, and number of those that told nothing.
    pub fn counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.shared.predicted), count(&self.shared.refused))
    }

    /// Why an image gave no rays; each time once.
    pub fn error(&mut self) -> Option<&DepthError> {
        match self.errors.update() {
            true => self.errors.output_buffer().as_ref(),
            false => None,
        }
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

struct Worker {
    network: RayNetwork,
    camera_base: Isometry3<f32>,
    /// For the camera of the last image.
    predictor: Option<RayPredictor>,
    images: Output<ImageSample>,
    scan: Input<ScanSample>,
    error: Input<Option<DepthError>>,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(mut self) {
        let mut scan = RayScan::default();
        while !self.shared.stop.load(Ordering::Relaxed) {
            if !self.images.update() {
                thread::park();
                continue;
            }
            let image = self.images.output_buffer();
            let predictor = match self.predictor.take() {
                Some(predictor) if *predictor.intrinsics() == image.intrinsics => Ok(predictor),
                _ => RayPredictor::new(self.network.clone(), &image.intrinsics, &self.camera_base),
            };
            let depths = DepthImage {
                width_px: image.width_px,
                height_px: image.height_px,
                encoding: image.encoding,
                is_big_endian: image.is_big_endian,
                row_bytes: image.row_bytes,
                data: &image.data,
            };
            let result = predictor.and_then(|predictor| {
                let predictor = self.predictor.insert(predictor);
                predictor.predict(&depths, &image.projected_gravity, &mut scan)
            });
            let counter = match &result {
                Ok(()) => {
                    self.scan.write(ScanSample {
                        received_ns: image.received_ns,
                        scan: scan.clone(),
                    });
                    &self.shared.predicted
                }
                Err(_) => &self.shared.refused,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            self.error.write(result.err());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use policies::{Linear, RaySpec, depth::Convolution};

    use super::*;
    use crate::deploy::{CycleInput, ports};

    /// Predicts the same distance everywhere.
    fn network(distance_m: f32) -> RayNetwork {
        let whole = Convolution {
            kernel: [40, 1],
            stride: [1, 1],
            padding: [0, 0],
        };
        let layer = Linear {
            weight: vec![0.0; 40 * 42],
            bias: vec![distance_m.log2()],
            inputs: 40 * 42,
        };
        RayNetwork::new(&[whole], &[layer], &RaySpec::default()).unwrap()
    }

    const CAMERA: Intrinsics = Intrinsics {
        width_px: 4,
        height_px: 2,
        focal_px: [2.0; 2],
        centre_px: [1.5, 0.5],
    };

    fn image(received_ns: u64, millimetres: [u16; 8]) -> ImageSample {
        ImageSample {
            received_ns,
            intrinsics: CAMERA,
            width_px: 4,
            height_px: 2,
            row_bytes: 8,
            data: millimetres.iter().flat_map(|mm| mm.to_le_bytes()).collect(),
            ..ImageSample::default()
        }
    }

    #[test]
    fn rays_are_predicted_for_the_tilt_that_the_image_was_taken_in() {
        // Sums up what is known of each ray, so that it matters which points are in sight.
        let layer = Linear {
            weight: vec![1e-3; 40 * 42],
            bias: vec![0.0],
            inputs: 40 * 42,
        };
        let whole = Convolution {
            kernel: [40, 1],
            stride: [1, 1],
            padding: [0, 0],
        };
        let network = RayNetwork::new(&[whole], &[layer], &RaySpec::default()).unwrap();
        let (link, mut control) = ports(4);
        let camera_base = Isometry3::translation(0.0, 0.0, 0.27);
        let mut eyes = Eyes::start(network, camera_base, link.scan).unwrap();
        let mut input = CycleInput::default();
        let mut seen = Vec::new();
        for (index, pitch_rad) in [0.0_f32, 0.5, 0.0].into_iter().enumerate() {
            let (sin, cos) = pitch_rad.sin_cos();
            eyes.see(ImageSample {
                projected_gravity: Vector3::new(sin, 0.0, -cos),
                ..image(5, [3000, 2000, 3000, 3000, 1000, 1000, 1000, 1000])
            });
            wait_for(&eyes, (index as u64 + 1, 0));
            control.read(&mut input);
            seen.push(input.scan.scan.clone());
        }
        assert_ne!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
    }

    fn wait_for(eyes: &Eyes, counts: (u64, u64)) {
        let begin = Instant::now();
        while eyes.counts() != counts {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{:?}",
                eyes.counts()
            );
            thread::yield_now();
        }
    }

    #[test]
    fn images_become_rays_and_those_that_tell_nothing_leave_the_last_to_go_stale() {
        let (link, mut control) = ports(4);
        let mut eyes = Eyes::start(network(2.0), Isometry3::identity(), link.scan).unwrap();
        eyes.see(image(5, [1000, 2000, 1000, 1000, 1000, 1000, 1000, 0]));
        wait_for(&eyes, (1, 0));
        eyes.see(image(9, [0; 8]));
        wait_for(&eyes, (1, 1));
        let mut input = CycleInput::default();
        control.read(&mut input);
        assert_eq!(input.scan.received_ns, 5);
        assert_eq!(input.scan.scan.distance_m.as_slice(), [2.0; 11]);
        let begin = Instant::now();
        while eyes.error() != Some(&DepthError::NoDepth) {
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        eyes.see(image(12, [1000, 2000, 1000, 1000, 1000, 1000, 1000, 0]));
        wait_for(&eyes, (2, 1));
        // Another camera from one image to the next.
        let mut other = image(15, [1000, 2000, 1000, 1000, 1000, 1000, 1000, 0]);
        other.intrinsics.focal_px = [0.0; 2];
        eyes.see(other.clone());
        wait_for(&eyes, (2, 2));
        other.intrinsics.focal_px = [3.0; 2];
        eyes.see(other);
        wait_for(&eyes, (3, 2));
        drop(eyes);
        control.read(&mut input);
        assert_eq!(input.scan.received_ns, 15);
    }
}
