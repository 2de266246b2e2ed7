//! Constants of a robot, in the form the step uses them.
//!
//! Every link frame is turned so that its joint rotates about a coordinate axis: with `Q e_k = axis`, a rotation about
//! the axis is `Q R_k(q) Q^T`, and the constant `Q`s go into the joint origins and link data. For joints about x, y or z
//! (go1, go2) they are the identity and cost nothing.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, UnitQuaternion, Vector3};
use robots::{ContactClass, Link, MAX_FEET, Robot, Shape};

use crate::engine::{Dynamics, EngineError, MotorConfig, PhysicsConfig, variation::BaseMass};

/// A robot whose legs have `N` joints each.
pub(super) struct Model<const N: usize> {
    pub base: LinkModel,
    pub legs: Vec<[JointModel; N]>,
    pub feet: Vec<Sphere>,
    pub step_s: f32,
    pub decimation: usize,
    pub gravity_mps2: [f32; 3],
    pub motor: MotorConfig,
}

/// A hinge and its link.
pub(super) struct JointModel {
    /// Joint frame in the parent's link frame.
    pub origin: [f32; 3],
    /// Constant rotation (columns) from the joint frame to the parent's link frame, if it is not the identity.
    pub turn: Option<[[f32; 3]; 3]>,
    /// Coordinate axis of the rotation.
    pub axis: usize,
    pub lower_rad: f32,
    pub upper_rad: f32,
    pub velocity_limit_radps: f32,
    pub effort_limit_nm: f32,
    pub armature_kgm2: f32,
    pub damping_nms: f32,
    pub friction_nm: f32,
    /// Gains of the PD law.
    pub stiffness: f32,
    pub motor_damping: f32,
    pub link: LinkModel,
}

/// A rigid body.
pub(super) struct LinkModel {
    pub mass_kg: f32,
    pub com: [f32; 3],
    /// About the centre of mass: xx, yy, zz, xy, xz, yz.
    pub inertia_kgm2: [f32; 6],
    /// What may touch the ground, feet excepted.
    pub ground_spheres: Vec<Sphere>,
    /// What may touch obstacles, feet included.
    pub features: Vec<CollisionFeature>,
    /// No feature is farther than this from the link's origin, m.
    pub reach_m: f32,
}

/// A ball on a link.
pub(super) struct Sphere {
    pub center: [f32; 3],
    pub radius_m: f32,
    pub class: ContactClass,
}

/// A point, segment or rectangle with half sides `u` and `v`, inflated by a radius. A box is two rectangles.
pub(super) struct CollisionFeature {
    pub center: [f32; 3],
    pub u: [f32; 3],
    pub v: [f32; 3],
    /// Their squared lengths.
    pub u2: f32,
    pub v2: f32,
    pub radius_m: f32,
    pub class: ContactClass,
}

impl<const N: usize> Model<N> {
    pub fn new(robot: &Robot, config: &PhysicsConfig) -> Result<Self, EngineError> {
        let unsupported = |reason: String| EngineError::UnsupportedRobot {
            robot: robot.name.clone(),
            reason,
        };
        if robot.legs.len() > MAX_FEET {
            return Err(unsupported(format!(
                "{} legs, at most {MAX_FEET}",
                robot.legs.len()
            )));
        }
        let (mut legs, mut feet) = (Vec::new(), Vec::new());
        let base = LinkModel::new(&robot.base.link, Rotation3::identity());
        for (index, leg) in robot.legs.iter().enumerate() {
            let mut joints = Vec::new();
            let mut parent_turn = Rotation3::identity();
            for (number, joint) in leg.joints.iter().enumerate() {
                let at = index * N + number;
                let (axis, turn) = principal_axis(&joint.axis);
                let from_parent =
                    parent_turn.inverse() * joint.origin.rotation.to_rotation_matrix() * turn;
                let origin = parent_turn.inverse() * joint.origin.translation.vector;
                let link = LinkModel::new(&joint.link, turn);
                joints.push(JointModel {
                    origin: origin.into(),
                    turn: (from_parent.angle() > 1e-6).then(|| (*from_parent.matrix()).into()),
                    axis,
                    lower_rad: joint.lower_rad,
                    upper_rad: joint.upper_rad,
                    velocity_limit_radps: joint.velocity_limit_radps,
                    effort_limit_nm: joint.effort_limit_nm,
                    armature_kgm2: joint.armature_kgm2,
                    damping_nms: joint.damping_nms,
                    friction_nm: joint.friction_nm,
                    stiffness: robot.control.stiffness[at],
                    motor_damping: robot.control.damping[at],
                    link,
                });
                parent_turn = turn;
            }
            let foot = parent_turn.inverse() * leg.foot.position;
            feet.push(Sphere {
                center: foot.coords.into(),
                radius_m: leg.foot.radius,
                class: ContactClass::Foot,
            });
            let found = joints.len();
            legs.push(joints.try_into().map_err(|_| {
                unsupported(format!(
                    "leg `{}` has {found} joints and leg `{}` has {N}; the batch engine needs legs of equal length",
                    leg.name, robot.legs[0].name
                ))
            })?);
        }
        Ok(Self {
            base,
            legs,
            feet,
            step_s: config.step_s,
            decimation: config.decimation,
            gravity_mps2: config.gravity_mps2.into(),
            motor: config.motor.clone(),
        })
    }
}

impl<const N: usize> Model<N> {
    /// Number of spheres that may touch the ground: feet, then those of the base, then those of the legs' links.
    pub fn num_spheres(&self) -> usize {
        let on_legs = self
            .legs
            .iter()
            .flatten()
            .map(|joint| joint.link.ground_spheres.len());
        self.feet.len() + self.base.ground_spheres.len() + on_legs.sum::<usize>()
    }
}

/// The coordinate axis nearest to `axis`, and the rotation from it to `axis`.
fn principal_axis(axis: &Vector3<f32>) -> (usize, Rotation3<f32>) {
    let k = axis.iamax();
    let unit = Vector3::ith(k, 1.0);
    let turn = if axis[k] < -0.999_999 {
        let other = Vector3::ith_axis((k + 1) % 3);
        UnitQuaternion::from_axis_angle(&other, std::f32::consts::PI)
    } else {
        UnitQuaternion::rotation_between(&unit, axis).unwrap_or_default()
    };
    (k, turn.to_rotation_matrix())
}

impl LinkModel {
    /// The base of an episode.
    pub fn with_mass(&self, dynamics: &Dynamics) -> BaseMass {
        let [xx, yy, zz, xy, xz, yz] = self.inertia_kgm2;
        let base = BaseMass {
            mass_kg: self.mass_kg,
            com: self.com.into(),
            inertia_kgm2: Matrix3::new(xx, xy, xz, xy, yy, yz, xz, yz, zz),
        };
        let (variation, added_kg) = (&dynamics.variation, dynamics.added_base_mass_kg);
        match variation {
            None => base.with(added_kg, &Vector3::zeros()),
            Some(variation) => variation.base(&base, added_kg),
        }
    }

    /// `turn` leads from the link frame used here to that of the robot model.
    fn new(link: &Link, turn: Rotation3<f32>) -> Self {
        let back = turn.inverse();
        let inertia: Matrix3<f32> = back.matrix() * link.inertia_kgm2 * turn.matrix();
        let (mut ground_spheres, mut features) = (Vec::new(), Vec::new());
        for shape in &link.shapes {
            let class = shape.class;
            let pose =
                Isometry3::from_parts(Point3::origin().coords.into(), back.into()) * shape.origin;
            let at =
                |local: Vector3<f32>| -> [f32; 3] { (pose * Point3::from(local)).coords.into() };
            let along = |local: Vector3<f32>| -> [f32; 3] { (pose * local).into() };
            let mut sphere = |local: Vector3<f32>, radius_m: f32| {
                if class != ContactClass::Foot {
                    ground_spheres.push(Sphere {
                        center: at(local),
                        radius_m,
                        class,
                    });
                }
            };
            let mut feature =
                |center: Vector3<f32>, u: Vector3<f32>, v: Vector3<f32>, radius_m: f32| {
                    features.push(CollisionFeature {
                        center: at(center),
                        u: along(u),
                        v: along(v),
                        u2: u.norm_squared(),
                        v2: v.norm_squared(),
                        radius_m,
                        class,
                    });
                };
            let zero = Vector3::zeros();
            match shape.shape {
                Shape::Sphere { radius } => {
                    sphere(zero, radius);
                    feature(zero, zero, zero, radius);
                }
                Shape::Capsule {
                    half_length,
                    radius,
                } => {
                    let half = Vector3::new(0.0, 0.0, half_length);
                    sphere(half, radius);
                    sphere(-half, radius);
                    feature(zero, half, zero, radius);
                }
                Shape::Box { half_extents: h } => {
                    for corner in 0..8 {
                        let sign = |bit: usize| if corner >> bit & 1 == 0 { -1.0 } else { 1.0 };
                        sphere(
                            h.component_mul(&Vector3::new(sign(0), sign(1), sign(2))),
                            0.0,
                        );
                    }
                    // Two large faces that lie close together; for a trunk its top and bottom, which meet an upright
                    // obstacle at two points.
                    let thin = if h.z <= 2.0 * h.min() { 2 } else { h.iamin() };
                    let side = |k: usize| Vector3::ith((thin + k) % 3, h[(thin + k) % 3]);
                    for sign in [-1.0, 1.0] {
                        feature(side(0) * sign, side(1), side(2), 0.0);
                    }
                }
            }
        }
        let norm = |v: &[f32; 3]| Vector3::from(*v).norm();
        let feature_reach_m =
            |p: &CollisionFeature| norm(&p.center) + norm(&p.u) + norm(&p.v) + p.radius_m;
        let reach_m = features.iter().map(feature_reach_m).fold(0.0, f32::max);
        Self {
            mass_kg: link.mass_kg,
            com: (back * link.com).coords.into(),
            inertia_kgm2: [
                inertia[(0, 0)],
                inertia[(1, 1)],
                inertia[(2, 2)],
                inertia[(0, 1)],
                inertia[(0, 2)],
                inertia[(1, 2)],
            ],
            ground_spheres,
            reach_m,
            features,
        }
    }
}
