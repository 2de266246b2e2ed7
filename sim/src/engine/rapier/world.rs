//! One robot in its scene.

use nalgebra::{Point3, Vector3};
use rapier3d::prelude::*;
use robots::JointVec;
use serde::{Deserialize, Serialize};

use super::{
    contacts, convert,
    model::{RobotJoint, RobotModel, WORLD_GROUPS},
    motor::Motor,
    shapes::shape_and_pose,
    terrain::TerrainShapes,
};
use crate::engine::{
    Dynamics, EpisodeStart, MotorTarget, PhysicsConfig, PhysicsState, STAND_DAMPING,
    actuation::Actuation, contact_forces::ContactForces,
};

/// Generalized coordinates of the base come before those of the joints.
const BASE_DOFS: usize = 6;
/// Place of the hinge angle in rapier's joint coordinates (x, y, z, angle about x, y, z).
const HINGE: usize = 3;

pub struct World {
    pub bodies: Bodies,
    pub colliders: ColliderSet,
    pub episode: EpisodeState,
    pipeline: PhysicsPipeline,
    ccd_solver: CCDSolver,
    soft_bodies: SoftBodySet,
}

/// rapier's part of the state, but for the colliders.
#[derive(Serialize, Deserialize)]
pub struct Bodies {
    islands: IslandManager,
    broad_phase: BroadPhaseBvh,
    narrow_phase: NarrowPhase,
    rigid_bodies: RigidBodySet,
    impulse_joints: ImpulseJointSet,
    multibody_joints: MultibodyJointSet,
    root: RigidBodyHandle,
    pub terrain: ColliderHandle,
}

/// Our part of the state.
#[derive(Clone, Serialize, Deserialize)]
pub struct EpisodeState {
    actuation: Actuation,
    joint_torque_nm: JointVec,
    contacts: ContactForces,
}

impl World {
    pub fn new(
        model: &RobotModel,
        config: &PhysicsConfig,
        start: &EpisodeStart,
        terrain: ColliderBuilder,
    ) -> Self {
        let episode = EpisodeState {
            actuation: Actuation::new(start, config),
            joint_torque_nm: std::iter::repeat_n(0.0, model.joints.len()).collect(),
            contacts: ContactForces::none(model.num_legs),
        };
        let (bodies, colliders) = build(model, start, terrain);
        let mut world = Self::with_state(bodies, colliders, episode);
        // A step of no length: finds the contacts and clears rapier's marks of change, so that a snapshot needs none.
        let parameters = IntegrationParameters {
            dt: 0.0,
            ..model.parameters
        };
        world.advance(&parameters, config);
        world
    }

    /// A world that goes on from a snapshot.
    pub fn with_state(bodies: Bodies, colliders: ColliderSet, episode: EpisodeState) -> Self {
        let mut pipeline = PhysicsPipeline::new();
        pipeline.counters.disable();
        Self {
            bodies,
            colliders,
            episode,
            pipeline,
            ccd_solver: CCDSolver::new(),
            soft_bodies: SoftBodySet::new(),
        }
    }

    /// Physics step `step` of a policy step, whose targets are taken with the first.
    pub fn step(
        &mut self,
        model: &RobotModel,
        config: &PhysicsConfig,
        target_rad: &[f32],
        step: usize,
    ) {
        let episode = &mut self.episode;
        if step == 0 {
            episode.actuation.begin_policy_step(target_rad);
            episode.contacts.begin_policy_step();
        }
        let actuation = &episode.actuation;
        let target_rad = actuation.target_rad(step, config.decimation).clone();
        self.physics_step(model, config, |joint, index| MotorTarget {
            position_rad: target_rad[index],
            stiffness: joint.motor_stiffness,
            damping: joint.motor_damping,
            ..MotorTarget::default()
        });
    }

    /// One physics step with motors that are told more than a position, without delay.
    pub fn step_motors(
        &mut self,
        model: &RobotModel,
        config: &PhysicsConfig,
        targets: &[MotorTarget],
    ) {
        self.episode.contacts.begin_policy_step();
        self.physics_step(model, config, |_, index| targets[index]);
    }

    fn physics_step(
        &mut self,
        model: &RobotModel,
        config: &PhysicsConfig,
        target: impl Fn(&RobotJoint, usize) -> MotorTarget,
    ) {
        let positions_rad = self.actuate(model, config, target);
        self.advance(&model.parameters, config);
        self.measure_torques(model, config.step_s, &positions_rad);
        contacts::measure(
            &mut self.episode.contacts,
            &self.bodies.narrow_phase,
            &self.colliders,
            config.step_s,
        );
        self.episode.actuation.end_physics_step();
    }

    fn advance(&mut self, parameters: &IntegrationParameters, config: &PhysicsConfig) {
        let bodies = &mut self.bodies;
        self.pipeline.step(
            convert::vector(&config.gravity_mps2),
            parameters,
            &mut bodies.islands,
            &mut bodies.broad_phase,
            &mut bodies.narrow_phase,
            &mut bodies.rigid_bodies,
            &mut self.colliders,
            &mut bodies.impulse_joints,
            &mut bodies.multibody_joints,
            &mut self.soft_bodies,
            &mut self.ccd_solver,
            &(),
            &(),
        );
    }

    /// Sets the motors for the next physics step, and returns the joint positions.
    fn actuate(
        &mut self,
        model: &RobotModel,
        config: &PhysicsConfig,
        target: impl Fn(&RobotJoint, usize) -> MotorTarget,
    ) -> JointVec {
        let mut positions_rad = JointVec::new();
        let actuation = &self.episode.actuation;
        let multibody = self.bodies.multibody_mut();
        for (index, joint) in model.joints.iter().enumerate() {
            let velocity = multibody.generalized_velocity()[BASE_DOFS + index];
            let Some(link) = multibody.link_mut(1 + index) else {
                continue;
            };
            let position = link.joint.coords()[HINGE];
            positions_rad.push(position);
            let mut target = target(joint, index);
            target.torque_nm += actuation.added_torque_nm(index);
            let motor = Motor::new(
                joint,
                actuation.motor(),
                config.step_s,
                &target,
                position,
                velocity,
            );
            let stop = joint.soft_stop(position);
            let (mut stiffness, mut rest_rad) = (motor.spring_stiffness, motor.spring_rest_rad);
            if stop.stiffness > 0.0 {
                // Two springs in parallel.
                let torque_nm = stiffness * rest_rad + stop.stiffness * stop.rest_rad;
                stiffness += stop.stiffness;
                rest_rad = torque_nm / stiffness;
            }
            link.joint.set_spring(HINGE, stiffness, rest_rad);
            // rapier solves a row for every limit, touched or not: only those touched are shown to it.
            let within = (joint.lower_rad..=joint.upper_rad).contains(&position);
            link.joint.data.limit_axes = if within || stop.stiffness > 0.0 {
                JointAxesMask::empty()
            } else {
                JointAxesMask::ANG_X
            };
            multibody.damping_mut()[BASE_DOFS + index] =
                joint.damping_nms + motor.damping + stop.damping;
        }
        positions_rad
    }

    /// The motor torques of the physics step just taken from `positions_rad`. Springs and dampers act with the velocity
    /// at its end.
    fn measure_torques(&mut self, model: &RobotModel, step_s: f32, positions_rad: &JointVec) {
        let multibody = self.bodies.multibody();
        for (index, (joint, link)) in model
            .joints
            .iter()
            .zip(multibody.links().skip(1))
            .enumerate()
        {
            let dof = BASE_DOFS + index;
            let (stiffness, rest_rad) = link.joint.spring(HINGE);
            let damping = multibody.damping()[dof] - joint.damping_nms;
            let velocity = multibody.generalized_velocity()[dof];
            let position = positions_rad[index] + step_s * velocity;
            let torque_nm = stiffness * (rest_rad - position) - damping * velocity;
            let stop = joint.soft_stop(positions_rad[index]);
            let of_stop = stop.stiffness * (stop.rest_rad - position) - stop.damping * velocity;
            self.episode.joint_torque_nm[index] = torque_nm - of_stop;
        }
    }

    /// A blow on the base.
    pub fn push(&mut self, velocity_change_world: &Vector3<f32>) {
        let mut velocity = self.bodies.multibody_mut().generalized_velocity_mut();
        for axis in 0..3 {
            velocity[axis] += velocity_change_world[axis];
        }
    }

    pub fn read(&self, model: &RobotModel, state: &mut PhysicsState) {
        let multibody = self.bodies.multibody();
        let pose = multibody.root().local_to_world();
        let velocity = multibody.generalized_velocity();
        state.orientation = convert::to_rotation(pose.rotation);
        let com_to_origin = state.orientation * -model.base_com;
        state.position_world = Point3::from(convert::to_vector(pose.translation) + com_to_origin);
        state.angular_velocity_world = Vector3::new(velocity[3], velocity[4], velocity[5]);
        state.linear_velocity_world = Vector3::new(velocity[0], velocity[1], velocity[2])
            + state.angular_velocity_world.cross(&com_to_origin);
        state.joint_position_rad.clear();
        state.joint_velocity_radps.clear();
        for (index, link) in multibody.links().skip(1).enumerate() {
            state.joint_position_rad.push(link.joint.coords()[HINGE]);
            state.joint_velocity_radps.push(velocity[BASE_DOFS + index]);
        }
        state
            .joint_torque_nm
            .clone_from(&self.episode.joint_torque_nm);
        self.episode.contacts.read(state);
    }
}

impl Bodies {
    fn multibody(&self) -> &Multibody {
        let link = self.multibody_joints.rigid_body_link(self.root);
        link.and_then(|link| self.multibody_joints.get_multibody(link.multibody))
            .unwrap_or_else(|| unreachable!("the root always has a joint"))
    }

    fn multibody_mut(&mut self) -> &mut Multibody {
        multibody_of(&mut self.multibody_joints, self.root)
    }
}

/// The scene of an episode at its start.
fn build(
    model: &RobotModel,
    start: &EpisodeStart,
    terrain: ColliderBuilder,
) -> (Bodies, ColliderSet) {
    let Dynamics {
        friction,
        restitution,
        added_base_mass_kg,
        ref variation,
        ..
    } = start.dynamics;
    let mut rigid_bodies = RigidBodySet::new();
    let mut colliders = ColliderSet::new();
    let mut multibody_joints = MultibodyJointSet::new();

    let base_mass_kg = model.base.mass_kg();
    // That of a varied robot is in its model.
    let mass_scale = match variation {
        None => (base_mass_kg + added_base_mass_kg) / base_mass_kg,
        Some(_) => 1.0,
    };
    let com = start.position_world + start.orientation * model.base_com;
    let base = model.base.body(mass_scale).pose(Pose::from_parts(
        convert::point(&com),
        convert::rotation(&start.orientation),
    ));
    let root = rigid_bodies.insert(base);
    let mut handles = Vec::with_capacity(1 + model.joints.len());
    handles.push(root);
    for joint in &model.joints {
        let handle = rigid_bodies.insert(joint.child.body(1.0));
        multibody_joints.insert(handles[joint.parent], handle, joint.joint, false);
        handles.push(handle);
    }

    let multibody = multibody_of(&mut multibody_joints, root);
    multibody.set_self_contacts_enabled(false);
    multibody.damping_mut().fill(0.0);
    if start.dynamics.on_stand {
        multibody
            .damping_mut()
            .rows_mut(0, BASE_DOFS)
            .fill(STAND_DAMPING);
    }
    let mut displacements = [0.0; BASE_DOFS + robots::MAX_JOINTS];
    for (index, joint) in model.joints.iter().enumerate() {
        let dof = BASE_DOFS + index;
        multibody.damping_mut()[dof] = joint.damping_nms;
        multibody.armature_mut()[dof] = joint.armature_kgm2;
        multibody.frictions_mut()[dof] = joint.friction_nm;
        multibody.generalized_velocity_mut()[dof] = start.joint_velocity_radps[index];
        displacements[dof] = start.joint_position_rad[index];
    }
    let com_velocity = start.linear_velocity_world
        + start
            .angular_velocity_world
            .cross(&(start.orientation * model.base_com));
    for axis in 0..3 {
        multibody.generalized_velocity_mut()[axis] = com_velocity[axis];
        multibody.generalized_velocity_mut()[3 + axis] = start.angular_velocity_world[axis];
    }
    multibody.apply_displacements(&displacements);
    multibody.forward_kinematics(&rigid_bodies, true);
    multibody.update_rigid_bodies(&mut rigid_bodies, true);

    let terrain = colliders.insert(terrain);
    let links = std::iter::once(&model.base).chain(model.joints.iter().map(|joint| &joint.child));
    for (link, handle) in links.zip(&handles) {
        for collider in link.colliders(friction) {
            let collider = collider
                .restitution(restitution)
                .restitution_combine_rule(CoefficientCombineRule::Max);
            colliders.insert_with_parent(collider, *handle, &mut rigid_bodies);
        }
    }
    for slab in TerrainShapes::surroundings(&start.terrain, friction) {
        colliders.insert(slab);
    }
    for obstacle in &start.obstacles {
        let (shape, pose) = shape_and_pose(obstacle);
        let collider = ColliderBuilder::new(shape)
            .friction(friction)
            .collision_groups(WORLD_GROUPS);
        if !obstacle.moves() {
            colliders.insert(collider.position(pose));
        } else {
            let body = RigidBodyBuilder::kinematic_velocity_based()
                .pose(pose)
                .linvel(convert::vector(&obstacle.velocity_world))
                .can_sleep(false);
            let body = rigid_bodies.insert(body);
            colliders.insert_with_parent(collider, body, &mut rigid_bodies);
        }
    }
    let bodies = Bodies {
        islands: IslandManager::new(),
        broad_phase: BroadPhaseBvh::new(),
        narrow_phase: NarrowPhase::new(),
        rigid_bodies,
        impulse_joints: ImpulseJointSet::new(),
        multibody_joints,
        root,
        terrain,
    };
    (bodies, colliders)
}

fn multibody_of(joints: &mut MultibodyJointSet, root: RigidBodyHandle) -> &mut Multibody {
    let index = joints.rigid_body_link(root).map(|link| link.multibody);
    index
        .and_then(|index| joints.get_multibody_mut(index))
        .unwrap_or_else(|| unreachable!("the root always has a joint"))
}
