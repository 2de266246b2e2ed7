//! What the robot senses of its surroundings: exact rays, and rays predicted from images of a depth camera.

mod depth_camera;
mod eyes;
mod primitive;
mod ray_caster;
mod realism;

pub use depth_camera::DepthCamera;
pub use eyes::{CameraConfig, Eyes};
pub use ray_caster::RayCaster;
pub use realism::{RealismConfig, RealismConfigError};
