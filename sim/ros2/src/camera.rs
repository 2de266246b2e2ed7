//! The robot's depth camera behind the topics of a real one.

use nalgebra::{Isometry3, Translation3};
use policies::depth::Intrinsics;
use robots::Camera;
use ros2::{
    Delivery, NetworkError, Ros, Ros2Config,
    messages::{CameraInfo, Header, Image, RegionOfInterest, Time},
};
use ros2_client::Publisher;

use sim::{engine::PhysicsState, scene::Obstacle, sensors::DepthCamera};

/// Frame of its images.
const FRAME: &str = "camera_depth_optical_frame";

/// Renders and publishes images in metres (`32FC1`), each with its camera info.
pub struct CameraTopics {
    camera: DepthCamera,
    depth_m: Vec<f32>,
    images: Publisher<Image>,
    infos: Publisher<CameraInfo>,
}

impl CameraTopics {
    pub fn new(ros: &mut Ros, camera: &Camera, config: &Ros2Config) -> Result<Self, NetworkError> {
        let camera = DepthCamera::new(camera);
        Ok(Self {
            depth_m: vec![0.0; camera.num_pixels()],
            camera,
            images: ros.publish(&config.image_topic, Delivery::Newest)?,
            infos: ros.publish(&config.camera_info_topic, Delivery::Newest)?,
        })
    }

    /// What the camera sees `time_s` after the start of the episode.
    pub fn publish(
        &mut self,
        physics: &PhysicsState,
        obstacles: &[Obstacle],
        time_s: f32,
        stamp: Time,
    ) {
        let base = Isometry3::from_parts(
            Translation3::from(physics.position_world),
            physics.orientation,
        );
        let pose = base * self.camera.pose_base();
        self.camera
            .render(&pose, obstacles, time_s, &mut self.depth_m);
        let header = Header {
            stamp,
            frame_id: FRAME.to_owned(),
        };
        let intrinsics = *self.camera.intrinsics();
        let (width, height) = (intrinsics.width_px as u32, intrinsics.height_px as u32);
        let image = Image {
            header: header.clone(),
            height,
            width,
            encoding: "32FC1".to_owned(),
            is_bigendian: 0,
            step: 4 * width,
            data: self
                .depth_m
                .iter()
                .flat_map(|depth_m| depth_m.to_le_bytes())
                .collect(),
        };
        // Best effort, as cameras do it.
        let _ = self.infos.publish(info(header, &intrinsics));
        let _ = self.images.publish(image);
    }
}

fn info(header: Header, intrinsics: &Intrinsics) -> CameraInfo {
    let [fx, fy] = intrinsics.focal_px.map(f64::from);
    let [cx, cy] = intrinsics.centre_px.map(f64::from);
    CameraInfo {
        header,
        height: intrinsics.height_px as u32,
        width: intrinsics.width_px as u32,
        distortion_model: "plumb_bob".to_owned(),
        d: vec![0.0; 5],
        k: [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p: [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        binning_x: 0,
        binning_y: 0,
        roi: RegionOfInterest::default(),
    }
}
