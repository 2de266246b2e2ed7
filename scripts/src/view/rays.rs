//! The rays as the controller got them, coloured by distance.

use anyhow::Result;
use nalgebra::{Rotation2, Vector2};
use policies::RaySpec;
use re_sdk::RecordingStream;
use re_sdk_types::{archetypes::LineStrips3D, components::Color};
use robots::RobotState;

use super::Frame;

const NEAR: [u8; 3] = [235, 64, 52];
const FAR: [u8; 3] = [70, 200, 190];
/// Of rays that hit nothing.
const FREE_ALPHA: u8 = 50;

/// The rays from their origin to what they hit, at the height of the base.
pub(super) fn log_rays(stream: &RecordingStream, spec: &RaySpec, frame: &Frame) -> Result<()> {
    let strips = ray_ends(spec, &frame.state, &frame.ray_distance_m);
    let colors = frame
        .ray_distance_m
        .iter()
        .map(|at_m| color_of(*at_m, spec.max_m));
    let rays = LineStrips3D::new(strips)
        .with_colors(colors)
        .with_radii([0.004]);
    Ok(stream.log("world/rays", &rays)?)
}

/// Origin and end of each ray, world frame, m.
pub(super) fn ray_ends<'a>(
    spec: &'a RaySpec,
    state: &'a RobotState,
    distance_m: &'a [f32],
) -> impl Iterator<Item = [[f32; 3]; 2]> + 'a {
    let origin = spec.origin_world(state);
    let turn = Rotation2::new(state.yaw_rad());
    let height_m = state.position_world.z;
    spec.directions()
        .zip(distance_m)
        .map(move |(direction, distance_m)| {
            let along: Vector2<f32> = turn * direction * *distance_m;
            let end = origin + along;
            [[origin.x, origin.y, height_m], [end.x, end.y, height_m]]
        })
}

fn color_of(distance_m: f32, max_m: f32) -> Color {
    let share = (distance_m / max_m).clamp(0.0, 1.0);
    let [r, g, b] = [0, 1, 2].map(|i| {
        let [near, far] = [NEAR[i], FAR[i]].map(f32::from);
        (near + share * (far - near)).round() as u8
    });
    let alpha = if distance_m < max_m { 255 } else { FREE_ALPHA };
    Color::from_unmultiplied_rgba(r, g, b, alpha)
}
