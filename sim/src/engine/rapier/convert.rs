//! Between nalgebra, spoken everywhere else, and glam, spoken by rapier.

use nalgebra::{Isometry3, Matrix3, Point3, UnitQuaternion, Vector3};
use rapier3d::{
    glamx::{Mat3, Quat},
    math::{Pose, Rotation, Vector},
};

pub fn vector(v: &Vector3<f32>) -> Vector {
    Vector::new(v.x, v.y, v.z)
}

pub fn point(p: &Point3<f32>) -> Vector {
    vector(&p.coords)
}

pub fn rotation(q: &UnitQuaternion<f32>) -> Rotation {
    Quat::from_xyzw(q.i, q.j, q.k, q.w)
}

pub fn pose(isometry: &Isometry3<f32>) -> Pose {
    Pose::from_parts(
        vector(&isometry.translation.vector),
        rotation(&isometry.rotation),
    )
}

pub fn matrix(m: &Matrix3<f32>) -> Mat3 {
    Mat3::from_cols_slice(m.as_slice())
}

pub fn to_vector(v: Vector) -> Vector3<f32> {
    Vector3::new(v.x, v.y, v.z)
}

pub fn to_rotation(q: Rotation) -> UnitQuaternion<f32> {
    UnitQuaternion::new_normalize(nalgebra::Quaternion::new(q.w, q.x, q.y, q.z))
}
