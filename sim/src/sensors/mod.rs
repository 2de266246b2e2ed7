//! What the robot senses of its surroundings: exact rays, and rays predicted from images of a depth camera.

mod camera_errors;
mod depth_camera;
mod depth_rays;
mod primitive;
mod ray_caster;

pub use camera_errors::{RealismConfig, RealismConfigError};
pub use depth_camera::DepthCamera;
pub use depth_rays::CameraConfig;
pub(crate) use depth_rays::DepthRays;
pub use ray_caster::RayCaster;
