//! What the depth camera sees, without its errors.

use anyhow::Result;
use nalgebra::{Isometry3, Translation3};
use re_sdk::RecordingStream;
use re_sdk_types::{archetypes::DepthImage, datatypes::ChannelDatatype};
use robots::Camera;
use sim::{scene::Obstacle, sensors::DepthCamera};

use super::Frame;

/// Frames from one image to the next.
const EVERY: u64 = 2;

/// Draws what a robot's camera sees.
pub(super) struct CameraImages {
    camera: DepthCamera,
    range_m: [f32; 2],
    depth_m: Vec<f32>,
    frames: u64,
}

impl CameraImages {
    pub(super) fn new(camera: &Camera) -> Self {
        let range_m = camera.range_m;
        let camera = DepthCamera::new(camera);
        Self {
            depth_m: vec![0.0; camera.num_pixels()],
            camera,
            range_m,
            frames: 0,
        }
    }

    pub(super) fn log(
        &mut self,
        stream: &RecordingStream,
        obstacles: &[Obstacle],
        frame: &Frame,
    ) -> Result<()> {
        self.frames += 1;
        if self.frames % EVERY != 1 {
            return Ok(());
        }
        let at = Translation3::from(frame.state.position_world);
        let base = Isometry3::from_parts(at, frame.state.orientation);
        let pose = base * self.camera.pose_base();
        (self.camera).render(&pose, obstacles, frame.time_s as f32, &mut self.depth_m);
        let millimetres = self.depth_m.iter().map(|depth_m| (1000.0 * depth_m) as u16);
        let bytes: Vec<u8> = millimetres.flat_map(u16::to_le_bytes).collect();
        let lens = self.camera.intrinsics();
        let size = [lens.width_px as u32, lens.height_px as u32];
        let image = DepthImage::from_data_type_and_bytes(bytes, size, ChannelDatatype::U16)
            .with_meter(1000.0)
            .with_depth_range(self.range_m.map(|range_m| 1000.0 * f64::from(range_m)));
        Ok(stream.log("camera/depth", &image)?)
    }
}
