//! How far shapes reach.

use nalgebra::{Isometry3, Point3, Vector3};

use crate::model::{CollisionShape, Leg, Link, Robot, Shape};

/// A foot sinks in by what it moves within a physics step, and takes its calf along: closer to the ground than this behind the
/// foot, m, or half of the foot, a calf touches the ground itself.
const CALF_CLEARANCE_M: f32 = 0.03;

impl Shape {
    /// Farthest extent along a direction in its own frame, m.
    pub fn reach_m(&self, direction: &Vector3<f32>) -> f32 {
        match self {
            Self::Box { half_extents } => half_extents.dot(&direction.abs()),
            Self::Sphere { radius } => radius * direction.norm(),
            Self::Capsule {
                half_length,
                radius,
            } => half_length * direction.z.abs() + radius * direction.norm(),
        }
    }

    /// Volume, m³.
    pub fn volume_m3(&self) -> f32 {
        use std::f32::consts::PI;
        match *self {
            Self::Box { half_extents } => 8.0 * half_extents.product(),
            Self::Sphere { radius } => 4.0 / 3.0 * PI * radius.powi(3),
            Self::Capsule {
                half_length,
                radius,
            } => PI * radius * radius * (2.0 * half_length + 4.0 / 3.0 * radius),
        }
    }

    /// Distance of a point in its own frame from its surface, m; negative inside.
    pub fn distance_m(&self, point: &Vector3<f32>) -> f32 {
        match *self {
            Self::Box { half_extents } => {
                let beyond = point.abs() - half_extents;
                beyond.sup(&Vector3::zeros()).norm() + beyond.max().min(0.0)
            }
            Self::Sphere { radius } => point.norm() - radius,
            Self::Capsule {
                half_length,
                radius,
            } => {
                let on_axis = Vector3::z() * point.z.clamp(-half_length, half_length);
                (point - on_axis).norm() - radius
            }
        }
    }
}

impl CollisionShape {
    /// Farthest extent along a direction, in the frame of its link, m.
    pub fn reach_m(&self, direction: &Vector3<f32>) -> f32 {
        reach_m(&self.shape, &self.origin, direction)
    }
}

/// A box along the axes of the base frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxBase {
    /// Corner with the least coordinates, m.
    pub low: Point3<f32>,
    /// The opposite corner, m.
    pub high: Point3<f32>,
}

impl BoxBase {
    /// Holds nothing.
    const EMPTY: Self = Self {
        low: Point3::new(f32::INFINITY, f32::INFINITY, f32::INFINITY),
        high: Point3::new(f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY),
    };

    /// Grows by the shapes of a link.
    fn add(&mut self, link: &Link, pose_base: &Isometry3<f32>) {
        for shape in &link.shapes {
            let pose = pose_base * shape.origin;
            for axis in 0..3 {
                let direction = Vector3::ith(axis, 1.0);
                let reach_m = |direction: &Vector3<f32>| reach_m(&shape.shape, &pose, direction);
                self.low[axis] = self.low[axis].min(-reach_m(&-direction));
                self.high[axis] = self.high[axis].max(reach_m(&direction));
            }
        }
    }

    /// Larger by a margin on every side, m.
    pub fn grown(&self, margin_m: f32) -> Self {
        let margin = Vector3::repeat(margin_m);
        Self {
            low: self.low - margin,
            high: self.high + margin,
        }
    }

    /// Whether a point is inside.
    pub fn contains(&self, point: &Point3<f32>) -> bool {
        (0..3).all(|axis| self.low[axis] < point[axis] && point[axis] < self.high[axis])
    }
}

impl Robot {
    /// Where the robot itself is while it runs: a box around its base, and one for each leg around all links but the last, whose
    /// joints swing by this angle to either side of the default posture.
    pub fn boxes_base(&self, swing_rad: f32) -> Vec<BoxBase> {
        let mut base = BoxBase::EMPTY;
        base.add(&self.base.link, &Isometry3::identity());
        let mut defaults = self.control.default_position_rad.as_slice();
        let legs = self.legs.iter().map(|leg| {
            let (default_rad, others) = defaults.split_at(leg.joints.len());
            defaults = others;
            let mut around = BoxBase::EMPTY;
            for joint in 0..leg.joints.len() {
                for offset_rad in [-swing_rad, 0.0, swing_rad] {
                    let mut position_rad = default_rad.to_vec();
                    position_rad[joint] += offset_rad;
                    let upper = leg.joints.iter().zip(leg.link_poses_base(&position_rad));
                    for (joint, pose) in upper.take(leg.joints.len() - 1) {
                        around.add(&joint.link, &pose);
                    }
                }
            }
            around
        });
        let legs: Vec<BoxBase> = legs.collect();
        std::iter::once(base).chain(legs).collect()
    }
}

/// Farthest extent of a shape at a pose along a direction, m.
pub(crate) fn reach_m(shape: &Shape, pose: &Isometry3<f32>, direction: &Vector3<f32>) -> f32 {
    let own = pose.rotation.inverse_transform_vector(direction);
    pose.translation.vector.dot(direction) + shape.reach_m(&own)
}

/// How far before the lowest point of a foot of this radius the other shapes of its link must end, m.
pub(crate) fn calf_clearance_m(foot_radius: f32) -> f32 {
    CALF_CLEARANCE_M.min(1.5 * foot_radius)
}

impl Leg {
    /// How far the shapes of the last link, but for the foot, reach into the clearance behind the foot's surface, along the line
    /// from the last joint to the foot, m. Above zero, contacts of the foot with the ground count for the calf, too.
    pub fn calf_beyond_foot_m(&self) -> f32 {
        let (Some(last), along) = (self.joints.last(), self.foot.position.coords) else {
            return f32::NEG_INFINITY;
        };
        let along = along.try_normalize(1e-6).unwrap_or(-Vector3::z());
        let end = self.foot.position.coords.dot(&along) + self.foot.radius
            - calf_clearance_m(self.foot.radius);
        let shapes = last.link.shapes.iter();
        shapes
            .filter(|shape| shape.class != crate::ContactClass::Foot)
            .map(|shape| shape.reach_m(&along) - end)
            .fold(f32::NEG_INFINITY, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Robot;

    #[test]
    fn reach_volume_and_distance_by_hand() {
        let slab = Shape::Box {
            half_extents: Vector3::new(0.1, 0.2, 0.3),
        };
        assert!((slab.reach_m(&-Vector3::y()) - 0.2).abs() < 1e-6);
        assert!((slab.volume_m3() - 0.048).abs() < 1e-6);
        // 0.3 beyond the face in x and 0.4 in y; and a point 0.02 below a face.
        assert!((slab.distance_m(&Vector3::new(0.4, 0.6, 0.0)) - 0.5).abs() < 1e-6);
        assert!((slab.distance_m(&Vector3::new(0.08, 0.0, 0.0)) + 0.02).abs() < 1e-6);
        let rod = Shape::Capsule {
            half_length: 0.1,
            radius: 0.02,
        };
        assert!((rod.reach_m(&Vector3::z()) - 0.12).abs() < 1e-6);
        assert!((rod.distance_m(&Vector3::new(0.0, 0.0, 0.15)) - 0.03).abs() < 1e-6);
        // Turned about x, its axis is y.
        let pose = Isometry3::rotation(Vector3::x() * std::f32::consts::FRAC_PI_2);
        assert!((reach_m(&rod, &pose, &Vector3::y()) - 0.12).abs() < 1e-6);
        assert!((reach_m(&rod, &pose, &Vector3::z()) - 0.02).abs() < 1e-6);
    }

    #[test]
    fn boxes_of_go2_by_hand() {
        let go2 = Robot::load("go2").unwrap();
        let boxes = go2.boxes_base(0.5);
        assert_eq!(boxes.len(), 5);
        let is = |found: f32, expected: f32| assert!((found - expected).abs() < 2e-3, "{found}");
        // The trunk, 0.3762 long and 0.0936 wide, and the head, a ball of 0.047 at 0.293.
        let base = boxes[0];
        is(base.low.x, -0.1881);
        is(base.high.x, 0.340);
        is(base.high.y, 0.0468);
        // The thigh of RL, 0.213 long and 0.02 thick, leans back by 0.8 rad, and by 1.3 at the end of its swing; its capsule
        // has an end sphere at each joint, the first of which is 0.02 from the joint.
        let leg = go2.legs.iter().position(|leg| leg.name == "RL").unwrap();
        let rear = boxes[leg + 1];
        is(rear.low.x, -0.1934 - 0.193 * 1.3_f32.sin() - 0.02);
        assert!(rear.contains(&Point3::new(-0.38, 0.14, -0.05)));
        assert!(!rear.contains(&Point3::new(-0.42, 0.14, -0.05)));
        assert!(rear.grown(0.03).contains(&Point3::new(-0.42, 0.14, -0.05)));
        // No point, if nothing is left of it.
        assert!(!base.grown(-1.0).contains(&Point3::origin()));
    }

    #[test]
    fn a_calf_must_end_before_its_foot() {
        for name in Robot::names() {
            for leg in Robot::load(name).unwrap().legs {
                let beyond = leg.calf_beyond_foot_m();
                assert!(beyond < 0.0, "{name} {}: {beyond}", leg.name);
            }
        }
        // The maker's usual box, which ends at the centre of the foot.
        let mut leg = Robot::load("go1").unwrap().legs[0].clone();
        let shapes = &mut leg.joints[2].link.shapes;
        let calf = shapes
            .iter_mut()
            .find(|s| s.class == crate::ContactClass::Calf);
        let calf = calf.unwrap();
        calf.origin.translation.vector.z = -0.1065;
        calf.shape = Shape::Box {
            half_extents: Vector3::new(0.008, 0.008, 0.1065),
        };
        // It ends 0.02 behind the surface of the foot, where 0.03 are asked for.
        let beyond = leg.calf_beyond_foot_m();
        assert!((beyond - 0.01).abs() < 1e-3, "{beyond}");
    }
}
