//! The thread that predicts rays from depth images.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use nalgebra::{Isometry3, Vector3};
use policies::{
    RayScan,
    depth::{DepthEncoding, DepthError, DepthImage, Intrinsics, RayNetwork, RayPredictor},
};
use triple_buffer::Input;

use super::{ScanSample, now_ns};

/// Errors that wait to be reported; more are dropped.
const ERRORS: usize = 4;
/// A prediction that takes longer hangs, ns.
const HANGS_NS: u64 = 1_000_000_000;
/// A thread that hangs is not waited for longer at the end.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// A depth image: the fields of `sensor_msgs/Image`.
#[derive(Clone, Debug)]
pub struct ImageSample {
    /// Time of reception, ns.
    pub received_ns: u64,
    /// Direction of gravity in the base frame at that time, unit length.
    pub projected_gravity: Vector3<f32>,
    /// The camera.
    pub intrinsics: Intrinsics,
    /// Columns.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    /// Format of a pixel.
    pub encoding: DepthEncoding,
    /// Whether the high byte comes first.
    pub is_big_endian: bool,
    /// Bytes from one row to the next.
    pub row_bytes: usize,
    /// All rows.
    pub data: Vec<u8>,
}

/// Predicts the rays of the newest image on a thread of its own, and writes them to the slot that the control thread
/// reads. An image that arrives while another one waits replaces it. An image without depth gives no rays: those of the
/// last good one go stale.
#[derive(Debug)]
pub struct DepthRayPredictor {
    /// None once the thread is to end.
    images: Option<Sender<ImageSample>>,
    /// The other end, to take out an image that waits.
    waiting: Receiver<ImageSample>,
    errors: Receiver<DepthError>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    predicted: AtomicU64,
    refused: AtomicU64,
    /// Since when it is at an image, ns; 0 while it waits for one.
    busy_since_ns: AtomicU64,
}

impl DepthRayPredictor {
    /// Starts the thread, for a camera at `camera_base` in the base frame; `scan` is the slot of a
    /// [`LinkPort`](super::LinkPort).
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(
        network: RayNetwork,
        camera_base: Isometry3<f32>,
        scan: Input<ScanSample>,
    ) -> io::Result<Self> {
        let mut prediction = Prediction {
            network,
            camera_base,
            predictor: None,
        };
        Self::with(move |image, scan| prediction.predict(image, scan), scan)
    }

    fn with(predict: impl Predict, scan: Input<ScanSample>) -> io::Result<Self> {
        let (images, waiting) = bounded(1);
        let (report, errors) = bounded(ERRORS);
        let counts = Arc::new(Counts::default());
        let worker = Worker {
            predict,
            images: waiting.clone(),
            scan,
            errors: report,
            counts: Arc::clone(&counts),
        };
        let thread = thread::Builder::new().name("depth rays".to_owned());
        Ok(Self {
            images: Some(images),
            waiting,
            errors,
            counts,
            thread: Some(thread.spawn(move || worker.run())?),
        })
    }

    /// Hands over an image. Never waits.
    pub fn predict(&mut self, image: ImageSample) {
        let Some(images) = &self.images else { return };
        if let Err(TrySendError::Full(image)) = images.try_send(image) {
            let _ = self.waiting.try_recv();
            let _ = images.try_send(image);
        }
    }

    /// Number of images whose rays were predicted, and number of those that were refused.
    pub fn counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.counts.predicted), count(&self.counts.refused))
    }

    /// Why no rays come although there are images: the thread hangs, or has ended. A thread that panics goes on with the next
    /// image.
    pub fn failure(&self) -> Option<&'static str> {
        let since_ns = self.counts.busy_since_ns.load(Ordering::Acquire);
        if since_ns > 0 && now_ns().saturating_sub(since_ns) > HANGS_NS {
            return Some("the thread that predicts rays hangs; end the program and start it again");
        }
        let has_ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        has_ended.then_some(
            "the thread that predicts rays has ended; end the program and start it again",
        )
    }

    /// Why an image gave no rays; the oldest that was not reported yet.
    pub fn error(&mut self) -> Option<DepthError> {
        self.errors.try_recv().ok()
    }
}

impl Drop for DepthRayPredictor {
    fn drop(&mut self) {
        self.images = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        let start = Instant::now();
        while !thread.is_finished() && start.elapsed() < LAST_WAIT {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            // The panic hook has reported it already.
            let _ = thread.join();
        }
    }
}

/// From an image to rays.
trait Predict: FnMut(&ImageSample, &mut RayScan) -> Result<(), DepthError> + Send + 'static {}

impl<F: FnMut(&ImageSample, &mut RayScan) -> Result<(), DepthError> + Send + 'static> Predict
    for F
{
}

struct Worker<P> {
    predict: P,
    images: Receiver<ImageSample>,
    scan: Input<ScanSample>,
    errors: Sender<DepthError>,
    counts: Arc<Counts>,
}

impl<P: Predict> Worker<P> {
    fn run(mut self) {
        let mut scan = RayScan::default();
        while let Ok(image) = self.images.recv() {
            let busy_since_ns = &self.counts.busy_since_ns;
            busy_since_ns.store(now_ns(), Ordering::Release);
            let predict = AssertUnwindSafe(|| (self.predict)(&image, &mut scan));
            // No image ends the thread.
            let predicted = std::panic::catch_unwind(predict).unwrap_or(Err(DepthError::Panicked));
            busy_since_ns.store(0, Ordering::Release);
            match predicted {
                Ok(()) => {
                    self.scan.write(ScanSample {
                        received_ns: image.received_ns,
                        scan: scan.clone(),
                    });
                    self.counts.predicted.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let _ = self.errors.try_send(error);
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

struct Prediction {
    network: RayNetwork,
    camera_base: Isometry3<f32>,
    /// For the intrinsics of the last image; none after a panic.
    predictor: Option<RayPredictor>,
}

impl Prediction {
    fn predict(&mut self, image: &ImageSample, scan: &mut RayScan) -> Result<(), DepthError> {
        image.intrinsics.validate()?;
        let mut predictor = match self.predictor.take() {
            Some(predictor) if *predictor.intrinsics() == image.intrinsics => predictor,
            _ => RayPredictor::new(self.network.clone(), &image.intrinsics, &self.camera_base)?,
        };
        let depths = DepthImage {
            width_px: image.width_px,
            height_px: image.height_px,
            encoding: image.encoding,
            is_big_endian: image.is_big_endian,
            row_bytes: image.row_bytes,
            data: &image.data,
        };
        let predicted = predictor.predict(&depths, &image.projected_gravity, scan);
        self.predictor = Some(predictor);
        predicted?;
        check_sectors(&depths)
    }
}

/// Sectors of an image, from left to right, and the least fraction of their pixels with a depth.
const SECTORS: usize = 8;
const LEAST_SEEN: f32 = 0.02;

/// Refuses an image that sees nothing in one of its sectors: nothing in the way looks the same there.
fn check_sectors(image: &DepthImage<'_>) -> Result<(), DepthError> {
    let (width, height) = (image.width_px, image.height_px);
    let sectors = SECTORS.min(width);
    for sector in 0..sectors {
        let columns = [sector * width / sectors, (sector + 1) * width / sectors];
        let found = image.num_seen(columns);
        let expected = height * (columns[1] - columns[0]);
        if (found as f32) < LEAST_SEEN * expected as f32 {
            return Err(DepthError::Blind {
                columns,
                found,
                expected,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
            projected_gravity: -Vector3::z(),
            encoding: DepthEncoding::Millimetres16,
            is_big_endian: false,
        }
    }

    #[test]
    fn rays_are_predicted_for_the_tilt_at_which_the_image_was_taken() {
        // Sums up what is known of each ray, so that it matters which points are visible.
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
        let mut predictor = DepthRayPredictor::start(network, camera_base, link.scan).unwrap();
        let mut input = CycleInput::default();
        let mut predicted = Vec::new();
        for (index, pitch_rad) in [0.0_f32, 0.5, 0.0].into_iter().enumerate() {
            let (sin, cos) = pitch_rad.sin_cos();
            predictor.predict(ImageSample {
                projected_gravity: Vector3::new(sin, 0.0, -cos),
                ..image(5, [3000, 2000, 3000, 3000, 1000, 1000, 1000, 1000])
            });
            wait_for(&predictor, (index as u64 + 1, 0));
            control.read(&mut input);
            predicted.push(input.scan.scan.clone());
        }
        assert_ne!(predicted[0], predicted[1]);
        assert_eq!(predicted[0], predicted[2]);
    }

    fn wait_for(predictor: &DepthRayPredictor, counts: (u64, u64)) {
        let begin = Instant::now();
        while predictor.counts() != counts {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{:?}",
                predictor.counts()
            );
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_panics_goes_on_and_one_that_hangs_is_named_and_not_waited_for() {
        let (link, mut control) = ports(4);
        let predict = |image: &ImageSample, scan: &mut RayScan| {
            match image.received_ns {
                5 => panic!("a bug"),
                9 => thread::sleep(Duration::from_secs(3600)),
                _ => *scan = RayScan::clear(&RaySpec::default()),
            }
            Ok(())
        };
        let mut predictor = DepthRayPredictor::with(predict, link.scan).unwrap();
        predictor.predict(image(5, [1000; 8]));
        wait_for(&predictor, (0, 1));
        assert_eq!(predictor.error(), Some(DepthError::Panicked));
        predictor.predict(image(7, [1000; 8]));
        wait_for(&predictor, (1, 1));
        assert_eq!(predictor.failure(), None);
        let hangs = Instant::now();
        predictor.predict(image(9, [1000; 8]));
        while predictor.failure().is_none() {
            assert!(hangs.elapsed() < Duration::from_secs(20));
        }
        assert!(hangs.elapsed() >= Duration::from_nanos(HANGS_NS));
        assert!(predictor.failure().unwrap().contains("hangs"));
        let end = Instant::now();
        drop(predictor);
        assert!(end.elapsed() < Duration::from_secs(2));
        // The last rays go stale: F03.
        let mut input = CycleInput::default();
        control.read(&mut input);
        assert_eq!(input.scan.received_ns, 7);
    }

    #[test]
    fn images_become_rays_and_those_without_depth_leave_the_last_ones_to_go_stale() {
        let (link, mut control) = ports(4);
        let mut predictor =
            DepthRayPredictor::start(network(2.0), Isometry3::identity(), link.scan).unwrap();
        predictor.predict(image(5, [1000, 2000, 1000, 1000, 1000, 1000, 1000, 0]));
        wait_for(&predictor, (1, 0));
        predictor.predict(image(9, [0; 8]));
        wait_for(&predictor, (1, 1));
        let mut input = CycleInput::default();
        control.read(&mut input);
        assert_eq!(input.scan.received_ns, 5);
        assert_eq!(input.scan.scan.distance_m.as_slice(), [2.0; 11]);
        let begin = Instant::now();
        while predictor.error() != Some(DepthError::NoDepth) {
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        predictor.predict(image(12, [1000, 2000, 1000, 1000, 1000, 1000, 1000, 0]));
        wait_for(&predictor, (2, 1));
        // Another camera from one image to the next.
        let mut other = image(15, [1000, 2000, 1000, 1000, 1000, 1000, 1000, 0]);
        other.intrinsics.focal_px = [0.0; 2];
        predictor.predict(other.clone());
        wait_for(&predictor, (2, 2));
        other.intrinsics.focal_px = [3.0; 2];
        predictor.predict(other.clone());
        wait_for(&predictor, (3, 2));
        // One that no memory holds, and one that is covered on one side: the thread goes on.
        (other.intrinsics.width_px, other.width_px) = (u32::MAX as usize, u32::MAX as usize);
        (other.intrinsics.height_px, other.height_px) = (u32::MAX as usize, u32::MAX as usize);
        predictor.predict(other);
        wait_for(&predictor, (3, 3));
        predictor.predict(image(18, [0, 2000, 1000, 1000, 0, 1000, 1000, 1000]));
        wait_for(&predictor, (3, 4));
        let blind = DepthError::Blind {
            columns: [0, 1],
            found: 0,
            expected: 2,
        };
        let begin = Instant::now();
        while predictor.error().as_ref() != Some(&blind) {
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        drop(predictor);
        control.read(&mut input);
        assert_eq!(input.scan.received_ns, 15);
    }
}
