//! Rays as a robot has them: predicted from depth images of its own camera.

use std::collections::VecDeque;

use nalgebra::{Isometry3, Translation3, Vector3};
use policies::{
    RayScan,
    depth::{DepthError, RayNetwork, RayPredictor},
};
use robots::Camera;
use serde::{Deserialize, Serialize};

use super::{
    camera_errors::{RealismConfig, RealismConfigError},
    depth_camera::DepthCamera,
};
use crate::{
    engine::PhysicsState,
    random::{Stream, stream},
    scene::Obstacle,
};

/// Settings of a camera at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// Images per second. An image is taken in the first policy step after it is due.
    pub rate_hz: f32,
    /// Errors of the camera.
    pub realism: RealismConfig,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            rate_hz: 40.0,
            realism: RealismConfig::default(),
        }
    }
}

/// A camera and a network that predicts the rays from its images.
#[derive(Clone, Debug)]
pub(crate) struct DepthRays {
    camera: DepthCamera,
    predictor: RayPredictor,
    config: CameraConfig,
    mounting: Isometry3<f32>,
    stream: Stream,
    /// Images taken in this episode.
    images: u32,
    /// Predictions that have not arrived yet, oldest first.
    pending: VecDeque<RayScan>,
    depth_m: Vec<f32>,
}

impl DepthRays {
    /// With the camera of a robot.
    ///
    /// # Errors
    /// When the camera has no projection.
    pub(crate) fn new(
        camera: &Camera,
        network: RayNetwork,
        config: &CameraConfig,
    ) -> Result<Self, DepthError> {
        let camera = DepthCamera::new(camera);
        Ok(Self {
            predictor: RayPredictor::new(network, camera.intrinsics(), camera.pose_base())?,
            config: config.clone(),
            mounting: Isometry3::identity(),
            stream: stream(0, 0),
            images: 0,
            pending: VecDeque::new(),
            depth_m: vec![0.0; camera.num_pixels()],
            camera,
        })
    }

    /// Starts an episode; `seed` is that of the camera's errors.
    pub(crate) fn reset(&mut self, seed: u64) {
        // The illusion has the first stream of the seed.
        self.stream = stream(seed, 1);
        self.mounting = self.config.realism.draw_mounting(&mut self.stream);
        self.images = 0;
        self.pending.clear();
    }

    /// Takes an image if one is due `time_s` after the start of the episode, and gives the rays that arrive then. The first stand for those before
    /// them; an image without a prediction gives none.
    pub(crate) fn observe(
        &mut self,
        physics: &PhysicsState,
        obstacles: &[Obstacle],
        time_s: f32,
    ) -> Option<RayScan> {
        // Half a millisecond of tolerance for times that are sums.
        if (time_s + 5e-4) * self.config.rate_hz < self.images as f32 {
            return None;
        }
        let is_first = self.images == 0;
        self.images += 1;
        let predicted = self.predict(physics, obstacles, time_s);
        let first = predicted.clone().filter(|_| is_first);
        self.pending.extend(predicted);
        if self.pending.len() > self.config.realism.latency_frames {
            return self.pending.pop_front();
        }
        first
    }

    fn predict(
        &mut self,
        physics: &PhysicsState,
        obstacles: &[Obstacle],
        time_s: f32,
    ) -> Option<RayScan> {
        let base = Isometry3::from_parts(
            Translation3::from(physics.position_world),
            physics.orientation,
        );
        let pose = base * self.camera.pose_base() * self.mounting;
        self.camera
            .render(&pose, obstacles, time_s, &mut self.depth_m);
        let columns = self.camera.intrinsics().width_px;
        self.config
            .realism
            .corrupt(&mut self.depth_m, columns, &mut self.stream);
        let mut predicted = RayScan::default();
        let gravity = physics.orientation.inverse_transform_vector(&-Vector3::z());
        let result = self
            .predictor
            .predict_depths(&self.depth_m, &gravity, &mut predicted);
        result.is_ok().then_some(predicted)
    }
}

impl CameraConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), RealismConfigError> {
        if !(self.rate_hz > 0.0 && self.rate_hz <= 1000.0) {
            return Err(RealismConfigError::new(
                "rate_hz",
                self.rate_hz,
                "above 0 and at most 1000",
            ));
        }
        self.realism.validate()
    }
}
