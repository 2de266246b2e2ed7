use std::path::PathBuf;

use nalgebra::{Isometry3, Matrix3, Point3, Unit, Vector3};

/// A floating base with legs; each leg is a serial chain of hinges. Lengths in m, masses in kg.
#[derive(Clone, Debug, PartialEq)]
pub struct Robot {
    /// From `robot.toml`, e.g. `go1`; bundles are bound to it.
    pub name: String,
    /// The trunk; its frame is the robot's base frame (x forward, y left, z up).
    pub base: Base,
    /// Legs in the order of every per-leg vector.
    pub legs: Vec<Leg>,
    /// Gains and postures of the position control.
    pub control: Control,
    /// Depth camera, if the robot has one.
    pub camera: Option<Camera>,
}

/// The floating base.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// Mass, inertia and shapes.
    pub link: Link,
}

/// A serial chain of hinges that ends in a spherical foot.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// E.g. `FL`.
    pub name: String,
    /// From the base outwards (hip, thigh, calf).
    pub joints: Vec<Joint>,
    /// The foot, rigidly attached to the last link.
    pub foot: Foot,
}

/// Limit that stands for none: the positions of a continuous joint stay within plus and minus this, rad.
pub const CONTINUOUS_LIMIT_RAD: f32 = 1e4;

/// A hinge and the link that it moves.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// URDF name.
    pub name: String,
    /// Joint frame in the frame of the parent link, at joint position zero.
    pub origin: Isometry3<f32>,
    /// Axis of rotation in the joint frame.
    pub axis: Unit<Vector3<f32>>,
    /// Lower position limit, rad; [`CONTINUOUS_LIMIT_RAD`] where there is none.
    pub lower_rad: f32,
    /// Upper position limit, rad.
    pub upper_rad: f32,
    /// Velocity limit, rad/s.
    pub velocity_limit_radps: f32,
    /// Effort limit, N·m.
    pub effort_limit_nm: f32,
    /// Rotor inertia seen at the joint, kg·m².
    pub armature_kgm2: f32,
    /// Viscous damping of the joint, N·m·s/rad.
    pub damping_nms: f32,
    /// Dry friction of the joint, N·m.
    pub friction_nm: f32,
    /// The link behind the joint; its frame is the joint frame, turned by the joint position.
    pub link: Link,
}

/// A rigid body. Links fixed to it in the URDF are merged into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// URDF name.
    pub name: String,
    /// Mass, kg.
    pub mass_kg: f32,
    /// Centre of mass in the link frame.
    pub com: Point3<f32>,
    /// Inertia about the centre of mass, axes of the link frame, kg·m².
    pub inertia_kgm2: Matrix3<f32>,
    /// Collision shapes, feet included.
    pub shapes: Vec<CollisionShape>,
    /// Meshes to look at, of a robot that was read from a folder.
    pub visuals: Vec<VisualMesh>,
}

/// A mesh attached to a link, which only a view reads.
#[derive(Clone, Debug, PartialEq)]
pub struct VisualMesh {
    /// Pose in the link frame.
    pub origin: Isometry3<f32>,
    /// An STL file in the robot's folder, m; a bundle does not carry it.
    pub file: PathBuf,
}

/// A primitive attached to a link.
#[derive(Clone, Debug, PartialEq)]
pub struct CollisionShape {
    /// Pose in the link frame.
    pub origin: Isometry3<f32>,
    /// Geometry in its own frame.
    pub shape: Shape,
    /// How its contacts count.
    pub class: ContactClass,
}

/// Primitives that a robot may be made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Box with half side lengths.
    Box {
        /// Half side lengths, m.
        half_extents: Vector3<f32>,
    },
    /// Sphere around the origin.
    Sphere {
        /// Radius, m.
        radius: f32,
    },
    /// Capsule along z (a URDF cylinder is read as the capsule of the same total length).
    Capsule {
        /// Half of the distance between the centres of its end spheres, m.
        half_length: f32,
        /// Radius, m.
        radius: f32,
    },
}

/// The class of body that a contact is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContactClass {
    /// Trunk, head, hip housings.
    Base,
    /// Upper leg.
    Thigh,
    /// Lower leg without foot.
    Calf,
    /// Foot.
    Foot,
}

impl ContactClass {
    /// As in results: base, thigh, calf or foot.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Thigh => "thigh",
            Self::Calf => "calf",
            Self::Foot => "foot",
        }
    }
}

/// The ball at the end of a leg.
#[derive(Clone, Debug, PartialEq)]
pub struct Foot {
    /// Name of its link in the URDF, which is fixed to the leg's last link.
    pub link: String,
    /// Centre in the frame of the leg's last link.
    pub position: Point3<f32>,
    /// Radius, m.
    pub radius: f32,
}

/// Position control, from `robot.toml`. Vectors have one entry per joint of the robot.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// Joint positions that action zero stands for, rad.
    pub default_position_rad: Vec<f32>,
    /// Joint positions of the standing pose, rad.
    pub standing_position_rad: Vec<f32>,
    /// Height of the base frame over the ground in the standing pose, m.
    pub standing_height_m: f32,
    /// Stiffness, N·m/rad.
    pub stiffness: Vec<f32>,
    /// Damping of the PD law, N·m·s/rad.
    pub damping: Vec<f32>,
    /// Joint target = default + action_scale * action, rad.
    pub action_scale: f32,
}

/// A depth camera fixed to the base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Pose in the base frame; the camera looks along its x axis, z is up in the image.
    pub pose_base: Isometry3<f32>,
    /// Pixels per row.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    /// Horizontal field of view, rad; pixels are square.
    pub horizontal_fov_rad: f32,
    /// Nearest and farthest distance that it measures, m.
    pub range_m: [f32; 2],
}

impl Robot {
    /// Number of joints of all legs.
    pub fn num_joints(&self) -> usize {
        self.legs.iter().map(|leg| leg.joints.len()).sum()
    }

    /// Number of legs, and of feet.
    pub fn num_feet(&self) -> usize {
        self.legs.len()
    }

    /// All joints, in the order of every joint vector.
    pub fn joints(&self) -> impl Iterator<Item = &Joint> {
        self.legs.iter().flat_map(|leg| &leg.joints)
    }

    /// Mass of all links, kg.
    pub fn mass_kg(&self) -> f32 {
        self.base.link.mass_kg + self.joints().map(|joint| joint.link.mass_kg).sum::<f32>()
    }
}
