//! A description as its file says it, before anything is checked or merged. Lengths in m, masses in kg.

use std::path::PathBuf;

use nalgebra::{Isometry3, Matrix3, Vector3};

pub(super) struct Source {
    pub name: String,
    pub links: Vec<SourceLink>,
    pub joints: Vec<SourceJoint>,
}

pub(super) struct SourceLink {
    pub name: String,
    pub inertial: Option<Inertial>,
    pub shapes: Vec<SourceShape>,
    /// Meshes to look at.
    pub visuals: Vec<SourceShape>,
}

#[derive(Clone)]
pub(super) struct Inertial {
    pub mass: f64,
    /// Of the centre of mass and the axes of the inertia, in the link's frame.
    pub pose: Isometry3<f64>,
    pub inertia: Matrix3<f64>,
}

#[derive(Clone)]
pub(super) struct SourceShape {
    pub pose: Isometry3<f64>,
    pub geometry: Geometry,
}

#[derive(Clone)]
pub(super) enum Geometry {
    /// Side lengths.
    Box(Vector3<f64>),
    Sphere {
        radius: f64,
    },
    Cylinder {
        radius: f64,
        length: f64,
    },
    /// `length` is between the centres of its end spheres.
    Capsule {
        radius: f64,
        length: f64,
    },
    Mesh {
        /// As the file writes it.
        name: String,
        /// Where it is looked for, in this order.
        places: Vec<PathBuf>,
        scale: Vector3<f64>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum JointKind {
    Fixed,
    Hinge,
    /// Of an own base that moves freely.
    Floating,
    /// Prismatic, planar, mimic and others; the name is for messages.
    Other(&'static str),
}

#[derive(Clone)]
pub(super) struct SourceJoint {
    pub name: String,
    pub kind: JointKind,
    pub parent: String,
    pub child: String,
    /// Of the joint in the parent's frame.
    pub pose: Isometry3<f64>,
    pub axis: Vector3<f64>,
    /// Position limits, rad; `None` where there is none.
    pub range_rad: Option<[f64; 2]>,
    /// Zero where the file has none.
    pub effort_limit_nm: f64,
    pub velocity_limit_radps: f64,
    pub damping_nms: f64,
    pub friction_nm: f64,
    pub armature_kgm2: f64,
}
