//! A robot in rapier's terms, prepared once and instantiated at every reset.

use nalgebra::{UnitQuaternion, Vector3};
use rapier3d::prelude::*;
use robots::{ContactClass, Link, Robot, Shape};

use super::convert;
use crate::engine::{CONTACT_WEIGHT, EngineError, PhysicsConfig, contact_forces::ContactTag};

/// The robot touches the world, and nothing else touches anything.
pub const ROBOT_GROUPS: InteractionGroups =
    InteractionGroups::new(Group::GROUP_1, Group::GROUP_2, InteractionTestMode::And);
pub const WORLD_GROUPS: InteractionGroups =
    InteractionGroups::new(Group::GROUP_2, Group::GROUP_1, InteractionTestMode::And);

pub struct RobotModel {
    pub base: LinkBody,
    /// From the base link's frame to its centre of mass, which is the frame of the root body: rapier applies the root's
    /// generalized velocity both to the body's origin and to its centre of mass.
    pub base_com: Vector3<f32>,
    pub joints: Vec<RobotJoint>,
    pub num_legs: usize,
    pub parameters: IntegrationParameters,
}

pub struct RobotJoint {
    /// Index of the parent body: 0 for the base, else 1 + joint.
    pub parent: usize,
    pub joint: GenericJoint,
    pub child: LinkBody,
    pub lower_rad: f32,
    pub upper_rad: f32,
    pub velocity_limit_radps: f32,
    pub effort_limit_nm: f32,
    pub armature_kgm2: f32,
    pub friction_nm: f32,
    pub damping_nms: f32,
    pub motor_stiffness: f32,
    pub motor_damping: f32,
    /// Angle by which the stops give way under the effort limit, rad; 0 for stops that do not.
    pub stop_gives_rad: f32,
}

/// What a soft stop does to a joint that is beyond it.
#[derive(Clone, Copy, Default)]
pub struct SoftStop {
    pub stiffness: f32,
    pub rest_rad: f32,
    pub damping: f32,
}

/// Time constant of a soft stop, s: that of MuJoCo's limits.
const STOP_S: f32 = 0.02;

impl RobotJoint {
    /// The soft stop that acts at this position.
    pub fn soft_stop(&self, position_rad: f32) -> SoftStop {
        let rest_rad = position_rad.clamp(self.lower_rad, self.upper_rad);
        if self.stop_gives_rad <= 0.0 || rest_rad == position_rad {
            return SoftStop::default();
        }
        let stiffness = self.effort_limit_nm / self.stop_gives_rad;
        SoftStop {
            stiffness,
            rest_rad,
            damping: 2.0 * STOP_S * stiffness,
        }
    }
}

pub struct LinkBody {
    mass: MassProperties,
    colliders: Vec<ColliderBuilder>,
}

impl LinkBody {
    fn new(link: &Link, leg: usize, frame_to_body: Vector3<f32>) -> Self {
        let mass = MassProperties::with_inertia_matrix(
            convert::vector(&(link.com.coords + frame_to_body)),
            link.mass_kg,
            convert::matrix(&link.inertia_kgm2),
        );
        let colliders = link
            .shapes
            .iter()
            .map(|collision| {
                let shape = match collision.shape {
                    Shape::Box { half_extents: h } => SharedShape::cuboid(h.x, h.y, h.z),
                    Shape::Sphere { radius } => SharedShape::ball(radius),
                    Shape::Capsule {
                        half_length,
                        radius,
                    } => SharedShape::capsule_z(half_length, radius),
                };
                let mut origin = collision.origin;
                origin.translation.vector += frame_to_body;
                ColliderBuilder::new(shape)
                    .position(convert::pose(&origin))
                    .density(0.0)
                    .collision_groups(ROBOT_GROUPS)
                    .user_data(user_data(ContactTag {
                        class: collision.class,
                        leg,
                    }))
            })
            .collect();
        Self { mass, colliders }
    }

    /// The body, with its mass and inertia scaled.
    pub fn body(&self, mass_scale: f32) -> RigidBodyBuilder {
        let mut mass = self.mass;
        mass.inv_mass /= mass_scale;
        mass.inv_principal_inertia /= mass_scale;
        RigidBodyBuilder::dynamic()
            .additional_mass_properties(mass)
            .can_sleep(false)
    }

    pub fn mass_kg(&self) -> f32 {
        self.mass.mass()
    }

    pub fn colliders(&self, friction: f32) -> impl Iterator<Item = ColliderBuilder> {
        self.colliders
            .iter()
            .map(move |collider| collider.clone().friction(friction))
    }
}

/// What a robot collider counts as, for its `user_data`.
fn user_data(tag: ContactTag) -> u128 {
    let class = match tag.class {
        ContactClass::Base => 1,
        ContactClass::Thigh => 2,
        ContactClass::Calf => 3,
        ContactClass::Foot => 4,
    };
    class | (tag.leg as u128) << 8
}

/// What a collider with this `user_data` counts as; `None` for those of the world.
pub fn tag(user_data: u128) -> Option<ContactTag> {
    let class = match user_data & 0xff {
        1 => ContactClass::Base,
        2 => ContactClass::Thigh,
        3 => ContactClass::Calf,
        4 => ContactClass::Foot,
        _ => return None,
    };
    let leg = (user_data >> 8) as usize;
    Some(ContactTag { class, leg })
}

impl RobotModel {
    /// A robot whose contacts have this time constant; 0 stands for rapier's default.
    pub fn new(
        robot: &Robot,
        config: &PhysicsConfig,
        contact_softness_s: f32,
    ) -> Result<Self, EngineError> {
        if robot.num_joints() == 0 {
            return Err(EngineError::UnsupportedRobot {
                robot: robot.name.clone(),
                reason: "it has no joint".into(),
            });
        }
        let base_com = robot.base.link.com.coords;
        let mut joints = Vec::with_capacity(robot.num_joints());
        for (leg_index, leg) in robot.legs.iter().enumerate() {
            for (position_in_leg, joint) in leg.joints.iter().enumerate() {
                let index = joints.len();
                let is_first = position_in_leg == 0;
                let mut origin = joint.origin;
                if is_first {
                    origin.translation.vector -= base_com;
                }
                // rapier's hinge turns about x.
                let x_to_axis = UnitQuaternion::rotation_between(&Vector3::x(), &joint.axis)
                    .unwrap_or_else(|| {
                        UnitQuaternion::from_axis_angle(&Vector3::z_axis(), std::f32::consts::PI)
                    });
                let x_to_axis = nalgebra::Isometry3::from_parts(Default::default(), x_to_axis);
                let mut generic = GenericJointBuilder::new(JointAxesMask::LOCKED_REVOLUTE_AXES)
                    .local_frame1(convert::pose(&(origin * x_to_axis)))
                    .local_frame2(convert::pose(&x_to_axis))
                    .contacts_enabled(false)
                    .build();
                generic.set_limits(JointAxis::AngX, [joint.lower_rad, joint.upper_rad]);
                joints.push(RobotJoint {
                    parent: if is_first { 0 } else { index },
                    joint: generic,
                    child: LinkBody::new(&joint.link, leg_index, Vector3::zeros()),
                    lower_rad: joint.lower_rad,
                    upper_rad: joint.upper_rad,
                    velocity_limit_radps: joint.velocity_limit_radps,
                    effort_limit_nm: joint.effort_limit_nm,
                    armature_kgm2: joint.armature_kgm2,
                    friction_nm: joint.friction_nm,
                    damping_nms: joint.damping_nms,
                    motor_stiffness: robot.control.stiffness[index],
                    motor_damping: robot.control.damping[index],
                    stop_gives_rad: 0.0,
                });
            }
        }
        let mut parameters = IntegrationParameters {
            dt: config.step_s,
            // One mass matrix per physics step: more buy nothing for this kind of robot.
            num_solver_iterations: 1,
            // Its default tolerates 5 cm of stale contact.
            contact_recycling: false,
            // Clamping the motion of single links would tear the multibody.
            max_ccd_substeps: 0,
            friction_model: FrictionModel::Coulomb,
            ..IntegrationParameters::default()
        };
        if contact_softness_s > 0.0 {
            let factor = CONTACT_WEIGHT.sqrt();
            let softness = SpringCoefficients {
                natural_frequency: factor / (std::f32::consts::TAU * contact_softness_s),
                damping_ratio: factor,
            };
            parameters.contact_softness = softness;
            parameters.static_contact_softness = softness;
        }
        Ok(Self {
            base: LinkBody::new(&robot.base.link, 0, -base_com),
            base_com,
            joints,
            num_legs: robot.num_feet(),
            parameters,
        })
    }
}
