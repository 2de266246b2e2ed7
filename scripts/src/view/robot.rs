//! The robot: shapes and meshes of its links, and where they are.

use std::collections::VecDeque;

use anyhow::{Context as _, Result};
use nalgebra::{Isometry3, Point3, Rotation2, Translation3, UnitQuaternion, Vector2, Vector3};
use policies::file::read_bytes;
use re_sdk::{EntityPath, EntityPathPart, RecordingStream};
use re_sdk_types::{
    archetypes::{
        Arrows3D, Asset3D, Boxes3D, Capsules3D, Ellipsoids3D, LineStrips3D, Points3D, Transform3D,
    },
    components::{Color, FillMode, MediaType},
    datatypes::{Quaternion, Rgba32},
};
use robots::{ContactClass, Link, Robot, Shape};

use super::Frame;

/// Time from one point of the path to the next, s.
const PATH_STEP_S: f64 = 0.1;
/// Points of the path; earlier ones are forgotten.
const PATH_POINTS: usize = 600;
/// Length of the arrow of a velocity of 1 m/s, m.
const ARROW_M: f32 = 0.4;
/// Most bytes of a mesh; an import writes 10 MB at most.
const MOST_MESH_BYTES: u64 = 16 << 20;
/// The kinds of collision shapes of a link, each an entity.
const SHAPES: [&str; 3] = ["boxes", "capsules", "spheres"];
const MESH: Rgba32 = Rgba32::from_rgb(168, 172, 178);
const TOUCHING: [u8; 3] = [60, 220, 110];
const IN_THE_AIR: [u8; 3] = [60, 64, 72];
const VELOCITY: [u8; 3] = [90, 170, 255];
const TWIST: [u8; 3] = [255, 110, 70];

/// Where the parts of a robot are in the tree of entities.
pub(super) struct RobotEntities {
    base: EntityPath,
    /// Of the links of all legs, leg by leg.
    links: Vec<EntityPath>,
    path_world: VecDeque<[f32; 3]>,
    path_s: f64,
}

impl RobotEntities {
    pub(super) fn new(robot: &Robot) -> Self {
        Self {
            base: entity(&["world", "robot", &robot.base.link.name]),
            links: robot
                .joints()
                .map(|joint| entity(&["world", "robot", &joint.link.name]))
                .collect(),
            path_world: VecDeque::new(),
            path_s: f64::NEG_INFINITY,
        }
    }

    /// Shapes and meshes of all links, once; the shapes that are to be hidden, since there are meshes.
    pub(super) fn log_links(
        &self,
        stream: &RecordingStream,
        robot: &Robot,
    ) -> Result<Vec<EntityPath>> {
        let mut hidden = Vec::new();
        let paths = std::iter::once(&self.base).chain(&self.links);
        let legs = robot.joints().map(|joint| &joint.link);
        for (path, link) in paths.zip(std::iter::once(&robot.base.link).chain(legs)) {
            log_shapes(stream, path, link)?;
            if log_meshes(stream, path, link)? {
                hidden.extend(SHAPES.map(|shapes| path.join(&entity(&[shapes]))));
            }
        }
        Ok(hidden)
    }

    /// Poses, feet, velocity, twist, and the path so far.
    pub(super) fn log_state(
        &mut self,
        stream: &RecordingStream,
        robot: &Robot,
        frame: &Frame,
    ) -> Result<()> {
        let state = &frame.state;
        let base =
            Isometry3::from_parts(Translation3::from(state.position_world), state.orientation);
        stream.log("world/robot", &transform(&base))?;
        let joints_rad = &state.joint_position_rad;
        let poses = robot
            .legs_with_joint_range()
            .flat_map(|(leg, range)| leg.link_poses_base(&joints_rad[range]));
        for (path, pose) in self.links.iter().zip(poses) {
            stream.log(path.clone(), &transform(&pose))?;
        }
        log_feet(stream, robot, frame)?;
        log_velocities(stream, frame)?;
        self.log_path(stream, frame)
    }

    pub(super) fn forget_path(&mut self) {
        self.path_world.clear();
        self.path_s = f64::NEG_INFINITY;
    }

    fn log_path(&mut self, stream: &RecordingStream, frame: &Frame) -> Result<()> {
        if frame.time_s < self.path_s + PATH_STEP_S {
            return Ok(());
        }
        self.path_s = frame.time_s;
        if self.path_world.len() == PATH_POINTS {
            self.path_world.pop_front();
        }
        self.path_world
            .push_back(point(&frame.state.position_world));
        let strip = LineStrips3D::new([self.path_world.iter().copied()])
            .with_colors([VELOCITY])
            .with_radii([0.01]);
        Ok(stream.log("world/path", &strip)?)
    }
}

fn log_shapes(stream: &RecordingStream, path: &EntityPath, link: &Link) -> Result<()> {
    let mut boxes = Vec::new();
    let mut capsules = Vec::new();
    let mut spheres = Vec::new();
    for shape in &link.shapes {
        let (origin, color) = (&shape.origin, color_of(shape.class));
        match shape.shape {
            Shape::Box { half_extents } => boxes.push((origin, vector(&half_extents), color)),
            Shape::Sphere { radius } => spheres.push((origin, radius, color)),
            Shape::Capsule {
                half_length,
                radius,
            } => capsules.push((origin, half_length, radius, color)),
        }
    }
    let [in_boxes, in_capsules, in_spheres] = SHAPES.map(|shapes| path.join(&entity(&[shapes])));
    if !boxes.is_empty() {
        let solid = Boxes3D::from_half_sizes(boxes.iter().map(|(_, half, _)| *half))
            .with_centers(boxes.iter().map(|(at, ..)| vector(&at.translation.vector)))
            .with_quaternions(boxes.iter().map(|(at, ..)| quaternion(&at.rotation)))
            .with_colors(boxes.iter().map(|(.., color)| *color))
            .with_fill_mode(FillMode::Solid);
        stream.log_static(in_boxes, &solid)?;
    }
    if !capsules.is_empty() {
        // One end of a capsule is its origin in the viewer.
        let ends = capsules
            .iter()
            .map(|(at, half_m, ..)| *at * Point3::new(0.0, 0.0, -half_m));
        let lengths = capsules.iter().map(|(_, half_m, ..)| 2.0 * half_m);
        let radii = capsules.iter().map(|(_, _, radius, _)| *radius);
        let solid = Capsules3D::from_lengths_and_radii(lengths, radii)
            .with_translations(ends.map(|end| point(&end)))
            .with_quaternions(capsules.iter().map(|(at, ..)| quaternion(&at.rotation)))
            .with_colors(capsules.iter().map(|(.., color)| *color))
            .with_fill_mode(FillMode::Solid);
        stream.log_static(in_capsules, &solid)?;
    }
    if !spheres.is_empty() {
        let centers = spheres
            .iter()
            .map(|(at, ..)| vector(&at.translation.vector));
        let radii = spheres.iter().map(|(_, radius, _)| *radius);
        let solid = Ellipsoids3D::from_centers_and_radii(centers, radii)
            .with_colors(spheres.iter().map(|(.., color)| *color))
            .with_fill_mode(FillMode::Solid);
        stream.log_static(in_spheres, &solid)?;
    }
    Ok(())
}

/// The meshes of a link, of which the folder of a robot has files and that of a bundle has not; whether there are any.
fn log_meshes(stream: &RecordingStream, path: &EntityPath, link: &Link) -> Result<bool> {
    let there = link.visuals.iter().filter(|visual| visual.file.is_file());
    let mut any = false;
    for (index, visual) in there.enumerate() {
        let stl = read_bytes(&visual.file, MOST_MESH_BYTES)
            .with_context(|| visual.file.display().to_string())?;
        let mesh =
            Asset3D::from_file_contents(stl, Some(MediaType::stl())).with_albedo_factor(MESH);
        let at = path.join(&entity(&["meshes", &index.to_string()]));
        stream.log_static(at.clone(), &mesh)?;
        stream.log_static(at, &transform(&visual.origin))?;
        any = true;
    }
    Ok(any)
}

/// The feet, by whether they touch the ground.
fn log_feet(stream: &RecordingStream, robot: &Robot, frame: &Frame) -> Result<()> {
    let positions = robot.foot_positions_base(&frame.state.joint_position_rad);
    let feet = Points3D::new(positions.iter().map(point))
        .with_radii(robot.legs.iter().map(|leg| 1.1 * leg.foot.radius))
        .with_colors(
            frame
                .state
                .foot_contact
                .iter()
                .map(|touching| match touching {
                    true => TOUCHING,
                    false => IN_THE_AIR,
                }),
        );
    Ok(stream.log("world/robot/feet", &feet)?)
}

/// Arrows over the base: where it goes, and where it is to go.
fn log_velocities(stream: &RecordingStream, frame: &Frame) -> Result<()> {
    let state = &frame.state;
    let from = point(&(state.position_world + 0.25_f32 * Vector3::z()));
    let arrow = |velocity: Vector2<f32>, color: [u8; 3]| {
        Arrows3D::from_vectors([[ARROW_M * velocity.x, ARROW_M * velocity.y, 0.0]])
            .with_origins([from])
            .with_radii([0.012])
            .with_colors([color])
    };
    let velocity_world = state.orientation * state.linear_velocity_base;
    stream.log("world/velocity", &arrow(velocity_world.xy(), VELOCITY))?;
    let twist = match frame.twist {
        Some(twist) => {
            let ahead = Vector2::new(twist.vx_mps, twist.vy_mps);
            arrow(Rotation2::new(state.yaw_rad()) * ahead, TWIST)
        }
        None => Arrows3D::clear_fields(),
    };
    Ok(stream.log("world/twist", &twist)?)
}

fn color_of(class: ContactClass) -> Color {
    let [r, g, b] = match class {
        ContactClass::Base => [104, 120, 148],
        ContactClass::Thigh => [205, 210, 218],
        ContactClass::Calf => [140, 148, 162],
        ContactClass::Foot => IN_THE_AIR,
    };
    Color::from_rgb(r, g, b)
}

/// A path of names that may hold any characters.
fn entity(names: &[&str]) -> EntityPath {
    EntityPath::new(
        names
            .iter()
            .map(|name| EntityPathPart::new(*name))
            .collect(),
    )
}

fn transform(pose: &Isometry3<f32>) -> Transform3D {
    Transform3D::from_translation_rotation(
        vector(&pose.translation.vector),
        quaternion(&pose.rotation),
    )
}

pub(super) fn quaternion(rotation: &UnitQuaternion<f32>) -> Quaternion {
    Quaternion::from_xyzw(rotation.coords.into())
}

pub(super) fn vector(vector: &Vector3<f32>) -> [f32; 3] {
    (*vector).into()
}

pub(super) fn point(point: &Point3<f32>) -> [f32; 3] {
    point.coords.into()
}
