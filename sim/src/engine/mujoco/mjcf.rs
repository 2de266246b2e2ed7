//! A robot and its scene as MJCF, MuJoCo's XML.

use nalgebra::{Isometry3, Matrix3, Point3, UnitQuaternion};
use robots::{CONTINUOUS_LIMIT_RAD, Joint, Link, Robot, Shape};

use super::terrain;
use crate::{
    engine::{Dynamics, PhysicsConfig},
    scene::{Obstacle, ObstacleShape, Terrain},
};

/// Time constant of contacts and stops, s: the hardest that MuJoCo allows at steps of 5 ms. At longer steps it takes twice
/// the step.
const SOFTNESS_S: f32 = 0.01;
/// Corners of the polygon that stands for the base of a cone.
const CONE_CORNERS: u32 = 32;

/// Text with one element per line, so that MuJoCo's messages name it.
#[derive(Default)]
pub struct Xml {
    text: String,
}

impl Xml {
    pub fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    pub fn text(self) -> String {
        self.text
    }
}

/// What of an episode the model is compiled from.
pub struct SceneDescription<'a> {
    pub terrain: &'a Terrain,
    pub obstacles: &'a [Obstacle],
    pub dynamics: &'a Dynamics,
}

/// The whole model. Geometries come in this order: ground, static obstacles, those of the robot link by link, moving
/// obstacles.
pub fn model(robot: &Robot, config: &PhysicsConfig, scene: &SceneDescription<'_>) -> String {
    let mut xml = Xml::default();
    xml.line("<mujoco>");
    xml.line(r#"<compiler angle="radian" autolimits="false" inertiafromgeom="false"/>"#);
    write_options(config, &mut xml);
    xml.line("<default>");
    let contacts = contacts(scene.dynamics);
    xml.line(&format!("<geom{contacts}/>"));
    // Softer dry friction would turn round before the joint does, as an inertia.
    let friction_s = 2.0 * config.step_s;
    xml.line(&format!(
        r#"<joint type="hinge" solreflimit="{SOFTNESS_S} 1" solreffriction="{friction_s} 1"/>"#
    ));
    // The robot touches the world, and nothing else touches anything.
    xml.line(r#"<default class="robot"><geom contype="1" conaffinity="0"/></default>"#);
    write_scene_class(scene, &mut xml);
    xml.line("</default>");
    write_assets(scene, &mut xml);
    xml.line("<worldbody>");
    write_fixed(scene, &mut xml);
    // That of a varied robot is in its description.
    let added_base_mass_kg = match scene.dynamics.variation {
        None => scene.dynamics.added_base_mass_kg,
        Some(_) => 0.0,
    };
    write_robot(robot, added_base_mass_kg, &mut xml);
    write_moving(scene, &mut xml);
    xml.line("</worldbody>");
    xml.line("</mujoco>");
    xml.text()
}

/// The sections that a robot of another MJCF needs for a scene.
#[cfg(feature = "mujoco")]
pub fn scene_sections(config: &PhysicsConfig, scene: &SceneDescription<'_>) -> String {
    let mut xml = Xml::default();
    write_options(config, &mut xml);
    xml.line("<default>");
    write_scene_class(scene, &mut xml);
    xml.line("</default>");
    write_assets(scene, &mut xml);
    xml.line("<worldbody>");
    write_fixed(scene, &mut xml);
    write_moving(scene, &mut xml);
    xml.line("</worldbody>");
    xml.text()
}

fn write_options(config: &PhysicsConfig, xml: &mut Xml) {
    let gravity = config.gravity_mps2;
    // Elliptic, because a pyramid lets friction leave its cone. Friction harder than the normal force (`impratio`) would make
    // feet hop that slide fast. Motors act from outside.
    xml.line(&format!(
        r#"<option timestep="{}" gravity="{} {} {}" integrator="implicitfast" cone="elliptic" impratio="1"><flag autoreset="disable" actuation="disable"/></option>"#,
        config.step_s, gravity.x, gravity.y, gravity.z
    ));
    // Reserved, not used: what contacts need on top of the usual is taken from here.
    xml.line(r#"<size memory="16M"/>"#);
}

fn write_scene_class(scene: &SceneDescription<'_>, xml: &mut Xml) {
    let contacts = contacts(scene.dynamics);
    xml.line(&format!(
        r#"<default class="scene"><geom contype="0" conaffinity="1"{contacts}/></default>"#
    ));
}

fn write_assets(scene: &SceneDescription<'_>, xml: &mut Xml) {
    xml.line("<asset>");
    terrain::write_asset(scene.terrain, xml);
    for (index, obstacle) in scene.obstacles.iter().enumerate() {
        write_mesh(index, obstacle, xml);
    }
    xml.line("</asset>");
}

/// Ground and obstacles that stand.
fn write_fixed(scene: &SceneDescription<'_>, xml: &mut Xml) {
    terrain::write_geoms(scene.terrain, xml);
    let obstacles = scene.obstacles.iter().enumerate();
    for (index, obstacle) in obstacles.filter(|(_, it)| !it.moves()) {
        xml.line(&obstacle_geom(index, obstacle, &obstacle_pose(obstacle)));
    }
}

/// Obstacles that move.
fn write_moving(scene: &SceneDescription<'_>, xml: &mut Xml) {
    let obstacles = scene.obstacles.iter().enumerate();
    for (index, obstacle) in obstacles.filter(|(_, it)| it.moves()) {
        let at = obstacle_pose(obstacle);
        let geom = obstacle_geom(index, obstacle, "");
        xml.line(&format!(r#"<body mocap="true"{at}>{geom}</body>"#));
    }
}

/// MuJoCo's time constant, s, and damping ratio of contacts, where they are not the usual ones; `None` for hard ground that
/// does not throw back.
pub fn contact_reference(dynamics: &Dynamics) -> Option<[f32; 2]> {
    let (softness_s, restitution) = (dynamics.contact_softness_s, dynamics.restitution);
    if softness_s <= SOFTNESS_S && restitution <= 0.0 {
        return None;
    }
    let damping_ratio = damping_ratio(restitution);
    // The frequency, 1 / (time constant x damping ratio), does not depend on the restitution.
    let time_constant_s = softness_s.max(SOFTNESS_S) / damping_ratio;
    Some([time_constant_s, damping_ratio])
}

/// Attributes of contacts.
fn contacts(dynamics: &Dynamics) -> String {
    let usual = [SOFTNESS_S, 1.0];
    let [time_constant_s, damping_ratio] = contact_reference(dynamics).unwrap_or(usual);
    let friction = dynamics.friction;
    format!(r#" condim="3" friction="{friction} 0 0" solref="{time_constant_s} {damping_ratio}""#)
}

/// Of the spring and damper that throw back this fraction of a speed: exp(-pi z / sqrt(1 - z^2)).
fn damping_ratio(restitution: f32) -> f32 {
    if restitution <= 0.0 {
        return 1.0;
    }
    let decrement = -restitution.ln();
    decrement / std::f32::consts::PI.hypot(decrement)
}

fn write_robot(robot: &Robot, added_base_mass_kg: f32, xml: &mut Xml) {
    xml.line(&format!(
        r#"<body name="{}"><freejoint/>"#,
        escaped(&robot.base.link.name)
    ));
    let base = &robot.base.link;
    write_link(
        base,
        (base.mass_kg + added_base_mass_kg) / base.mass_kg,
        xml,
    );
    for leg in &robot.legs {
        for joint in &leg.joints {
            write_joint(joint, xml);
        }
        for _ in &leg.joints {
            xml.line("</body>");
        }
    }
    xml.line("</body>");
}

/// Opens the body of a joint's link.
fn write_joint(joint: &Joint, xml: &mut Xml) {
    xml.line(&format!(
        r#"<body name="{}"{}>"#,
        escaped(&joint.link.name),
        isometry(&joint.origin)
    ));
    let limited = joint.upper_rad < CONTINUOUS_LIMIT_RAD;
    let axis = joint.axis;
    xml.line(&format!(
        r#"<joint name="{}" axis="{} {} {}" limited="{limited}" range="{} {}" armature="{}" frictionloss="{}"/>"#,
        escaped(&joint.name),
        axis.x,
        axis.y,
        axis.z,
        joint.lower_rad,
        joint.upper_rad,
        joint.armature_kgm2,
        joint.friction_nm
    ));
    write_link(&joint.link, 1.0, xml);
}

fn write_link(link: &Link, mass_scale: f32, xml: &mut Xml) {
    let (com, i): (_, Matrix3<f32>) = (link.com, mass_scale * link.inertia_kgm2);
    xml.line(&format!(
        r#"<inertial pos="{} {} {}" mass="{}" fullinertia="{} {} {} {} {} {}"/>"#,
        com.x,
        com.y,
        com.z,
        mass_scale * link.mass_kg,
        i[(0, 0)],
        i[(1, 1)],
        i[(2, 2)],
        i[(0, 1)],
        i[(0, 2)],
        i[(1, 2)]
    ));
    for (index, collision) in link.shapes.iter().enumerate() {
        let class = collision.class.name();
        let name = format!("{} {class} {index}", escaped(&link.name));
        let shape = match collision.shape {
            Shape::Box { half_extents: h } => {
                format!(r#"type="box" size="{} {} {}""#, h.x, h.y, h.z)
            }
            Shape::Sphere { radius } => format!(r#"type="sphere" size="{radius}""#),
            Shape::Capsule {
                half_length,
                radius,
            } => format!(r#"type="capsule" size="{radius} {half_length}""#),
        };
        let at = isometry(&collision.origin);
        xml.line(&format!(
            r#"<geom name="{name}" class="robot" {shape}{at}/>"#
        ));
    }
}

fn obstacle_geom(index: usize, obstacle: &Obstacle, at: &str) -> String {
    let shape = match &obstacle.shape {
        ObstacleShape::Cylinder { radius_m, height_m } => {
            format!(r#"type="cylinder" size="{radius_m} {}""#, 0.5 * height_m)
        }
        ObstacleShape::Box { half_extents_m: h } => {
            format!(r#"type="box" size="{} {} {}""#, h.x, h.y, h.z)
        }
        ObstacleShape::Ball { radius_m } => format!(r#"type="sphere" size="{radius_m}""#),
        ObstacleShape::Cone { .. } => format!(r#"type="mesh" mesh="cone{index}""#),
    };
    format!(r#"<geom class="scene" {shape}{at}/>"#)
}

/// MuJoCo has no cones: this one is the hull of its tip and a polygon.
fn write_mesh(index: usize, obstacle: &Obstacle, xml: &mut Xml) {
    let ObstacleShape::Cone { radius_m, height_m } = obstacle.shape else {
        return;
    };
    let half_m = 0.5 * height_m;
    let mut vertices = format!("0 {half_m} 0");
    for corner in 0..CONE_CORNERS {
        let angle = std::f32::consts::TAU * corner as f32 / CONE_CORNERS as f32;
        let (sin, cos) = angle.sin_cos();
        vertices += &format!(" {} {} {}", radius_m * cos, -half_m, radius_m * sin);
    }
    xml.line(&format!(
        r#"<mesh name="cone{index}" vertex="{vertices}"/>"#
    ));
}

/// Attributes of an obstacle's pose; cylinders stand upright.
fn obstacle_pose(obstacle: &Obstacle) -> String {
    let upright = UnitQuaternion::identity();
    let orientation = match obstacle.shape {
        ObstacleShape::Cylinder { .. } => &upright,
        _ => &obstacle.orientation,
    };
    pose(&obstacle.position_world, orientation)
}

fn isometry(isometry: &Isometry3<f32>) -> String {
    pose(&isometry.translation.vector.into(), &isometry.rotation)
}

fn pose(position: &Point3<f32>, orientation: &UnitQuaternion<f32>) -> String {
    let (p, q) = (position, orientation);
    format!(
        r#" pos="{} {} {}" quat="{} {} {} {}""#,
        p.x, p.y, p.z, q.w, q.i, q.j, q.k
    )
}

/// A name as the value of an attribute.
fn escaped(name: &str) -> String {
    name.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
