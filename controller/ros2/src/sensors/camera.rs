//! The depth camera: images to rays, on a thread of their own.

use controller::deploy::{DepthRayPredictor, ImageSample, ScanSample};
use nalgebra::{UnitQuaternion, Vector3};
use policies::{
    Bundle,
    depth::{DepthEncoding, DepthError, Intrinsics},
};
use robots::Robot;
use triple_buffer::Input;

use crate::{
    LinkError,
    foreign_text::shown,
    messages::{CameraInfo, Image},
};

/// The robot's depth camera, with the ray network of the bundle.
pub struct DepthCamera {
    predictor: DepthRayPredictor,
    intrinsics: Option<Intrinsics>,
    /// The failure that was told.
    told: Option<&'static str>,
}

impl DepthCamera {
    /// Starts the thread that predicts; the rays go to `scan`.
    ///
    /// # Errors
    /// When the robot has no camera, the bundle no ray network, or the system no thread.
    pub fn new(robot: &Robot, bundle: &Bundle, scan: Input<ScanSample>) -> Result<Self, LinkError> {
        let camera = robot.camera.as_ref();
        let camera = camera.ok_or_else(|| LinkError::NoCamera(robot.name.clone()))?;
        let predictor = DepthRayPredictor::start(bundle.ray_network()?, camera.pose_base, scan);
        Ok(Self {
            predictor: predictor.map_err(LinkError::Thread)?,
            intrinsics: None,
            told: None,
        })
    }

    /// Sets the intrinsics.
    pub fn calibrate(&mut self, info: &CameraInfo) {
        self.intrinsics = Some(intrinsics(info));
    }

    /// Hands over an image taken at this orientation of the base. False before the first camera info.
    ///
    /// # Errors
    /// When its encoding holds no depth.
    pub fn predict(
        &mut self,
        image: &Image,
        orientation: &UnitQuaternion<f32>,
        now_ns: u64,
    ) -> Result<bool, DepthError> {
        let encoding = DepthEncoding::parse(&shown(&image.encoding))?;
        let Some(intrinsics) = self.intrinsics else {
            return Ok(false);
        };
        check_size(image, &intrinsics)?;
        self.predictor.predict(ImageSample {
            received_ns: now_ns,
            projected_gravity: orientation.inverse_transform_vector(&-Vector3::z()),
            intrinsics,
            width_px: image.width as usize,
            height_px: image.height as usize,
            encoding,
            is_big_endian: image.is_bigendian != 0,
            row_bytes: image.step as usize,
            data: image.data.clone(),
        });
        Ok(true)
    }

    /// Why no rays come, whatever the images, once.
    pub fn new_failure(&mut self) -> Option<&'static str> {
        let failure = self.predictor.failure();
        let is_new = failure != self.told;
        self.told = failure;
        failure.filter(|_| is_new)
    }

    /// Why an image gave no rays; the oldest that was not reported yet.
    pub fn error(&mut self) -> Option<DepthError> {
        self.predictor.error()
    }
}

/// Checks that an image is of the camera that it is said to be of, before anything is made of its size.
fn check_size(image: &Image, camera: &Intrinsics) -> Result<(), DepthError> {
    camera.validate()?;
    let size = |width: usize, height: usize| [width, height];
    let found = size(image.width as usize, image.height as usize);
    let expected = size(camera.width_px, camera.height_px);
    if found != expected {
        return Err(DepthError::OtherSize { found, expected });
    }
    Ok(())
}

/// The projection of rectified images, or of raw ones where the camera tells no other.
fn intrinsics(info: &CameraInfo) -> Intrinsics {
    let (k, p) = (&info.k, &info.p);
    let [fx, fy, cx, cy] = match p[0] > 0.0 {
        true => [p[0], p[5], p[2], p[6]],
        false => [k[0], k[4], k[2], k[5]],
    }
    .map(|value| value as f32);
    Intrinsics {
        width_px: info.width as usize,
        height_px: info.height as usize,
        focal_px: [fx, fy],
        centre_px: [cx, cy],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Header, RegionOfInterest};

    #[test]
    fn an_image_of_another_size_than_its_camera_is_refused_before_anything_is_allocated() {
        let image = |width, height| Image {
            header: Header::default(),
            height,
            width,
            encoding: "16UC1".to_owned(),
            is_bigendian: 0,
            step: 2 * 160,
            data: vec![0; 160 * 90 * 2],
        };
        let camera = |width_px, height_px| Intrinsics {
            width_px,
            height_px,
            focal_px: [60.0; 2],
            centre_px: [80.0, 45.0],
        };
        assert_eq!(check_size(&image(160, 90), &camera(160, 90)), Ok(()));
        let refused =
            |image: &Image, camera: &Intrinsics| check_size(image, camera).unwrap_err().to_string();
        let huge = u32::MAX as usize;
        assert!(refused(&image(u32::MAX, u32::MAX), &camera(huge, huge)).contains("at most"));
        assert!(refused(&image(100_000, 100_000), &camera(100_000, 100_000)).contains("at most"));
        assert!(refused(&image(u32::MAX, 1), &camera(160, 90)).contains("but the camera info"));
        assert!(refused(&image(160, 90), &camera(0, 0)).contains("is empty"));
    }

    #[test]
    fn the_projection_of_the_rectified_image_comes_first() {
        let mut info = CameraInfo {
            header: Header::default(),
            height: 90,
            width: 160,
            distortion_model: "plumb_bob".to_owned(),
            d: vec![0.0; 5],
            k: [64.0, 0.0, 79.5, 0.0, 65.0, 44.5, 0.0, 0.0, 1.0],
            r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p: [
                60.0, 0.0, 80.0, 0.0, 0.0, 61.0, 45.0, 0.0, 0.0, 0.0, 1.0, 0.0,
            ],
            binning_x: 0,
            binning_y: 0,
            roi: RegionOfInterest::default(),
        };
        let found = intrinsics(&info);
        assert_eq!((found.width_px, found.height_px), (160, 90));
        assert_eq!(
            (found.focal_px, found.centre_px),
            ([60.0, 61.0], [80.0, 45.0])
        );
        info.p = [0.0; 12];
        let found = intrinsics(&info);
        assert_eq!(
            (found.focal_px, found.centre_px),
            ([64.0, 65.0], [79.5, 44.5])
        );
    }
}
