//! The box, capsule or sphere that is nearest to a mesh.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, UnitQuaternion, Vector3};

use super::mesh::Triangles;
use crate::model::Shape;

/// A shape in the frame of its link, and how well it stands for what the file has.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub pose: Isometry3<f64>,
    pub shape: Shape,
    /// Mean distance of the mesh's surface from that of the shape, m.
    pub error_m: f64,
    /// Of the shape to that of the mesh; `None` of a mesh that is not closed.
    pub volume_ratio: Option<f64>,
}

/// Fraction of the surface that a fit leaves outside at each end: handles, screws and cables.
const TAIL: f64 = 0.01;

/// A point of the surface with the area that it stands for.
struct Sample {
    at: Vector3<f64>,
    area: f64,
}

/// Fits a mesh in the frame of its link.
pub(super) fn fit(triangles: &Triangles) -> Fit {
    let samples = samples(triangles);
    let frames = [UnitQuaternion::identity(), principal_axes(&samples)];
    let volume = volume(triangles).filter(|volume| *volume > 1e-9);
    let mut best: Option<(f64, Fit)> = None;
    for frame in frames {
        let own: Vec<Sample> = samples
            .iter()
            .map(|s| Sample {
                at: frame.inverse_transform_vector(&s.at),
                area: s.area,
            })
            .collect();
        for (centre, turn, shape) in candidates(&own) {
            let pose = Isometry3::from_parts((frame * centre).into(), frame * turn);
            let error_m = mean_distance(&samples, &pose, &shape);
            let volume_ratio = volume.map(|volume| f64::from(shape.volume_m3()) / volume);
            // Of two that are about as near, the one of the mesh's volume.
            let cost = error_m * (1.0 + 0.2 * volume_ratio.map_or(0.0, |ratio| ratio.ln().abs()));
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                let fit = Fit {
                    pose,
                    shape,
                    error_m,
                    volume_ratio,
                };
                best = Some((cost, fit));
            }
        }
    }
    best.map_or(
        Fit {
            pose: Isometry3::identity(),
            shape: Shape::Sphere { radius: 0.01 },
            error_m: 0.0,
            volume_ratio: None,
        },
        |(_, fit)| fit,
    )
}

/// Points of every triangle; large ones are divided.
fn samples(triangles: &Triangles) -> Vec<Sample> {
    const PARTS: usize = 2000;
    let area = |t: &[Point3<f64>; 3]| 0.5 * (t[1] - t[0]).cross(&(t[2] - t[0])).norm();
    let total: f64 = triangles.iter().map(area).sum();
    let mut samples = Vec::new();
    // Of a fine mesh a part of the triangles is enough.
    let stride = triangles.len().div_ceil(20_000).max(1);
    for triangle in triangles.iter().step_by(stride) {
        let area = area(triangle);
        let parts = (area / total * PARTS as f64).sqrt().ceil().clamp(1.0, 20.0) as usize;
        let [a, b, c] = triangle.map(|p| p.coords);
        let (u, v) = ((b - a) / parts as f64, (c - a) / parts as f64);
        let area = area / (parts * parts) as f64;
        for i in 0..parts {
            for j in 0..parts - i {
                let mut add = |i: f64, j: f64| {
                    samples.push(Sample {
                        at: a + u * i + v * j,
                        area,
                    });
                };
                add(i as f64 + 1.0 / 3.0, j as f64 + 1.0 / 3.0);
                if j + 1 < parts - i {
                    add(i as f64 + 2.0 / 3.0, j as f64 + 2.0 / 3.0);
                }
            }
        }
    }
    if samples.iter().all(|s| s.area <= 0.0) {
        samples.iter_mut().for_each(|s| s.area = 1.0);
    }
    samples
}

fn principal_axes(samples: &[Sample]) -> UnitQuaternion<f64> {
    let total: f64 = samples.iter().map(|s| s.area).sum();
    let mean = samples.iter().map(|s| s.area * s.at).sum::<Vector3<f64>>() / total;
    let spread: Matrix3<f64> = samples
        .iter()
        .map(|s| s.area * (s.at - mean) * (s.at - mean).transpose())
        .sum();
    let mut axes = spread.symmetric_eigen().eigenvectors;
    if axes.determinant() < 0.0 {
        axes.swap_columns(0, 1);
    }
    UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(axes))
}

/// Centre, turn and shape of every candidate, all in the frame of the samples.
fn candidates(samples: &[Sample]) -> Vec<(Vector3<f64>, UnitQuaternion<f64>, Shape)> {
    let bounds = [0, 1, 2].map(|axis| quantiles(samples, |p| p[axis], [TAIL, 1.0 - TAIL]));
    let centre = Vector3::from(bounds.map(|[low, high]| 0.5 * (low + high)));
    let half = Vector3::from(bounds.map(|[low, high]| (0.5 * (high - low)).max(1e-3)));
    let mut found = vec![(
        centre,
        UnitQuaternion::identity(),
        Shape::Box {
            half_extents: half.cast(),
        },
    )];
    let radii = |distance: &dyn Fn(&Vector3<f64>) -> f64| {
        quantiles(samples, distance, [0.5, 0.9]).map(|radius| radius.max(1e-3))
    };
    for radius in radii(&|p| (p - centre).norm()) {
        let radius = radius as f32;
        found.push((centre, UnitQuaternion::identity(), Shape::Sphere { radius }));
    }
    for axis in 0..3 {
        let along = Vector3::ith(axis, 1.0);
        let turn = UnitQuaternion::rotation_between(&Vector3::z(), &along).unwrap_or_default();
        let from_axis = |p: &Vector3<f64>| {
            let arm = p - centre;
            (arm - arm.dot(&along) * along).norm()
        };
        for radius in radii(&from_axis) {
            let half_length = half[axis] - radius;
            if half_length > 0.0 {
                let (half_length, radius) = (half_length as f32, radius as f32);
                let shape = Shape::Capsule {
                    half_length,
                    radius,
                };
                found.push((centre, turn, shape));
            }
        }
    }
    found
}

/// Values below which these fractions of the surface lie.
fn quantiles<const N: usize>(
    samples: &[Sample],
    value: impl Fn(&Vector3<f64>) -> f64,
    fractions: [f64; N],
) -> [f64; N] {
    let mut values: Vec<_> = samples.iter().map(|s| (value(&s.at), s.area)).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|(_, area)| area).sum();
    fractions.map(|fraction| {
        let mut below = 0.0;
        let found = values.iter().find(|(_, area)| {
            below += area;
            below >= fraction * total
        });
        found.or(values.last()).map_or(0.0, |(value, _)| *value)
    })
}

fn mean_distance(samples: &[Sample], pose: &Isometry3<f64>, shape: &Shape) -> f64 {
    let inverse = pose.inverse();
    let (mut sum, mut total) = (0.0, 0.0);
    for sample in samples {
        let own = inverse * Point3::from(sample.at);
        sum += sample.area * f64::from(shape.distance_m(&own.coords.cast()).abs());
        total += sample.area;
    }
    sum / total
}

/// Volume by the divergence theorem; `None` if the mesh is not closed.
fn volume(triangles: &Triangles) -> Option<f64> {
    // About any two points, a closed surface has the same volume.
    let origin = triangles.first()?[0];
    let about = |at: Vector3<f64>| -> f64 {
        let signed = |t: &[Point3<f64>; 3]| {
            let [a, b, c] = t.map(|p| p - origin - at);
            a.dot(&b.cross(&c)) / 6.0
        };
        triangles.iter().map(signed).sum()
    };
    let (first, second) = (about(Vector3::zeros()), about(Vector3::new(0.3, -0.2, 0.5)));
    let is_closed = (first - second).abs() <= 0.05 * first.abs();
    is_closed.then_some(first.abs())
}

/// The shape that stands for a cylinder along z of this total length: the capsule inside it, or of a disc the box of the same
/// volume.
pub(super) fn cylinder(radius: f64, length: f64) -> Shape {
    let (radius_m, length_m) = (radius as f32, length as f32);
    if length > 2.0 * radius * 1.01 {
        Shape::Capsule {
            half_length: 0.5 * length_m - radius_m,
            radius: radius_m,
        }
    } else {
        let side = 0.5 * std::f32::consts::PI.sqrt() * radius_m;
        Shape::Box {
            half_extents: Vector3::new(side, side, 0.5 * length_m),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Surface of a tube with closed ends, along z.
    fn tube(radius: f64, length: f64) -> Triangles {
        let around = |i: usize, z: f64| {
            let angle = i as f64 / 32.0 * std::f64::consts::TAU;
            Point3::new(radius * angle.cos(), radius * angle.sin(), z)
        };
        let (low, high) = (-0.5 * length, 0.5 * length);
        let mut triangles = Vec::new();
        for i in 0..32 {
            let (a, b) = (around(i, low), around(i + 1, low));
            let (c, d) = (around(i, high), around(i + 1, high));
            triangles.extend([[a, b, d], [a, d, c]]);
            triangles.push([Point3::new(0.0, 0.0, low), b, a]);
            triangles.push([Point3::new(0.0, 0.0, high), c, d]);
        }
        triangles
    }

    fn moved(triangles: Triangles, by: &Isometry3<f64>) -> Triangles {
        triangles.into_iter().map(|t| t.map(|p| by * p)).collect()
    }

    #[test]
    fn a_tilted_tube_becomes_a_capsule_along_it() {
        let pose = Isometry3::new(Vector3::new(0.1, -0.2, 0.3), Vector3::new(0.7, 0.2, 0.0));
        let fit = fit(&moved(tube(0.02, 0.3), &pose));
        let Shape::Capsule {
            half_length,
            radius,
        } = fit.shape
        else {
            panic!("{fit:?}");
        };
        assert!(
            (radius - 0.02).abs() < 1e-3 && (half_length - 0.13).abs() < 3e-3,
            "{fit:?}"
        );
        let along = fit.pose * Vector3::z();
        assert!(along.dot(&(pose * Vector3::z())).abs() > 0.999, "{fit:?}");
        assert!((fit.pose.translation.vector - pose.translation.vector).norm() < 2e-3);
        assert!(fit.error_m < 2e-3, "{fit:?}");
        // Its ends are round, those of the tube flat: 4/3 r less of length out of 0.3 m, 0.0133 m.
        assert!((fit.volume_ratio.unwrap() - 0.955).abs() < 0.03, "{fit:?}");
    }

    #[test]
    fn a_box_stays_a_box() {
        let corner = |i: usize| {
            let sign = |bit: usize| if i >> bit & 1 == 1 { 1.0 } else { -1.0 };
            Point3::new(0.2 * sign(0), 0.1 * sign(1), 0.05 * sign(2))
        };
        let faces = [
            [0, 2, 3, 1],
            [4, 5, 7, 6],
            [0, 1, 5, 4],
            [2, 6, 7, 3],
            [0, 4, 6, 2],
            [1, 3, 7, 5],
        ];
        let triangles = faces
            .iter()
            .flat_map(|[a, b, c, d]| [[*a, *b, *c], [*a, *c, *d]])
            .map(|t| t.map(corner))
            .collect();
        let fit = fit(&triangles);
        let Shape::Box { half_extents } = fit.shape else {
            panic!("{fit:?}");
        };
        assert!(
            (half_extents - Vector3::new(0.2, 0.1, 0.05)).norm() < 5e-3,
            "{fit:?}"
        );
        assert!(
            fit.error_m < 2e-3 && (fit.volume_ratio.unwrap() - 1.0).abs() < 0.05,
            "{fit:?}"
        );
    }

    #[test]
    fn an_open_surface_has_no_volume() {
        let sheet = vec![[
            Point3::origin(),
            Point3::new(0.1, 0.0, 0.0),
            Point3::new(0.0, 0.1, 0.2),
        ]];
        assert_eq!(fit(&sheet).volume_ratio, None);
    }
}
