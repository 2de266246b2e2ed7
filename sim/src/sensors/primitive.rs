//! Rays against the shapes that obstacles are made of.

use nalgebra::{Point3, UnitQuaternion, Vector3};

use crate::scene::{Obstacle, ObstacleShape};

/// The shape of an obstacle, in a frame of its own.
#[derive(Clone, Debug)]
pub(super) enum Primitive {
    /// Half side lengths.
    Box(Vector3<f32>),
    /// Along z.
    Cylinder {
        radius: f32,
        half_height: f32,
    },
    /// Along y, its tip up.
    Cone {
        radius: f32,
        half_height: f32,
    },
    Ball {
        radius: f32,
    },
}

impl Primitive {
    pub(super) fn new(obstacle: &Obstacle) -> Self {
        match obstacle.shape {
            ObstacleShape::Cylinder { radius_m, height_m } => Self::Cylinder {
                radius: radius_m,
                half_height: 0.5 * height_m,
            },
            ObstacleShape::Box { half_extents_m } => Self::Box(half_extents_m),
            ObstacleShape::Ball { radius_m } => Self::Ball { radius: radius_m },
            ObstacleShape::Cone { radius_m, height_m } => Self::Cone {
                radius: radius_m,
                half_height: 0.5 * height_m,
            },
        }
    }

    /// Rotation of this frame in the world.
    pub(super) fn orientation(&self, obstacle: &Obstacle) -> UnitQuaternion<f32> {
        match self {
            Self::Cylinder { .. } => UnitQuaternion::identity(),
            _ => obstacle.orientation,
        }
    }

    /// Shortens `depths` along rays from `origin` where they enter the shape; to zero from within.
    pub(super) fn cast_row(
        &self,
        origin: &Point3<f32>,
        directions: impl Iterator<Item = Vector3<f32>>,
        depths: &mut [f32],
    ) {
        // The shape is told apart once per row, so that the loops are plain arithmetic.
        let shorten = |depth: &mut f32, (enter, leave): (f32, f32)| {
            let is_hit = enter <= leave && leave > 0.0;
            *depth = if is_hit {
                depth.min(enter.max(0.0))
            } else {
                *depth
            };
        };
        let o = origin.coords;
        let pixels = depths.iter_mut().zip(directions);
        match self {
            Self::Box(half) => {
                for (depth, d) in pixels {
                    shorten(depth, box_interval(&o, &d, half));
                }
            }
            Self::Cylinder {
                radius,
                half_height,
            } => {
                for (depth, d) in pixels {
                    shorten(depth, cylinder_interval(&o, &d, *radius, *half_height));
                }
            }
            Self::Ball { radius } => {
                let c = o.norm_squared() - radius * radius;
                for (depth, d) in pixels {
                    shorten(depth, roots(d.norm_squared(), o.dot(&d), c));
                }
            }
            Self::Cone {
                radius,
                half_height,
            } => {
                for (depth, d) in pixels {
                    shorten(depth, cone_interval(&o, &d, *radius, *half_height));
                }
            }
        }
    }
}

/// Where a ray is between two planes at +/- `half` of one axis.
#[inline(always)]
fn slab(origin: f32, direction: f32, half: f32) -> (f32, f32) {
    let inverse = 1.0 / direction;
    let (a, b) = ((-half - origin) * inverse, (half - origin) * inverse);
    (a.min(b), a.max(b))
}

#[inline(always)]
fn box_interval(o: &Vector3<f32>, d: &Vector3<f32>, half: &Vector3<f32>) -> (f32, f32) {
    let [x, y, z] = [0, 1, 2].map(|axis| slab(o[axis], d[axis], half[axis]));
    (x.0.max(y.0).max(z.0), x.1.min(y.1).min(z.1))
}

/// Where a t^2 + 2 b t + c <= 0, for positive a; an empty interval if nowhere.
#[inline(always)]
fn roots(a: f32, b: f32, c: f32) -> (f32, f32) {
    let discriminant = b * b - a * c;
    let root = discriminant.max(0.0).sqrt();
    let nothing = (f32::INFINITY, f32::NEG_INFINITY);
    if discriminant < 0.0 {
        nothing
    } else {
        ((-b - root) / a, (-b + root) / a)
    }
}

#[inline(always)]
fn cylinder_interval(
    o: &Vector3<f32>,
    d: &Vector3<f32>,
    radius: f32,
    half_height: f32,
) -> (f32, f32) {
    let (x, y) = (o.x, o.y);
    let a = (d.x * d.x + d.y * d.y).max(1e-12);
    let side = roots(a, x * d.x + y * d.y, x * x + y * y - radius * radius);
    let ends = slab(o.z, d.z, half_height);
    (side.0.max(ends.0), side.1.min(ends.1))
}

/// A cone along y with its tip at +`half_height`.
fn cone_interval(o: &Vector3<f32>, d: &Vector3<f32>, radius: f32, half_height: f32) -> (f32, f32) {
    let slope = radius / (2.0 * half_height);
    // Distance below the tip along the ray: below + fall * t.
    let (below, fall) = (half_height - o.y, -d.y);
    let a = d.x * d.x + d.z * d.z - slope * slope * fall * fall;
    let b = o.x * d.x + o.z * d.z - slope * slope * below * fall;
    let c = o.x * o.x + o.z * o.z - slope * slope * below * below;
    let ends = slab(o.y, d.y, half_height);
    let (first, second) = match a.abs() < 1e-9 {
        // Parallel to the side: one crossing.
        true => (-c / (2.0 * b), -c / (2.0 * b)),
        false => {
            let discriminant = b * b - a * c;
            if discriminant < 0.0 {
                return (f32::INFINITY, f32::NEG_INFINITY);
            }
            let root = discriminant.sqrt();
            let (p, q) = ((-b - root) / a, (-b + root) / a);
            (p.min(q), p.max(q))
        }
    };
    if a > 0.0 {
        return (first.max(ends.0), second.min(ends.1));
    }
    // Steeper than the side: inside before one crossing and after the other; one of the two is the mirrored cone above
    // the tip, which the ends cut off.
    let early = (ends.0, first.min(ends.1));
    let late = (second.max(ends.0), ends.1);
    if early.0 <= early.1 { early } else { late }
}
