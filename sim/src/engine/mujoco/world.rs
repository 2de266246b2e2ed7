//! One robot in its scene.

use std::sync::Arc;

use mujoco_rs::prelude::MjtState;
use nalgebra::{Point3, Quaternion, UnitQuaternion, Vector3};
use robots::JointVec;
use serde::{Deserialize, Serialize};

use super::{
    contacts,
    mjcf::SceneDescription,
    model::{Compiled, Data, GeomTags, RobotJoint, RobotModel},
    motor::Motor,
};
use crate::{
    engine::{
        Dynamics, EngineError, EpisodeStart, MotorTarget, PhysicsConfig, PhysicsState,
        actuation::Actuation, contact_forces::ContactForces,
    },
    scene::{Obstacle, Terrain},
};

/// All that MuJoCo's next step depends on.
const STATE: u32 = MjtState::mjSTATE_INTEGRATION as u32;

pub struct World {
    pub scene: Scene,
    pub episode: EpisodeState,
    data: Data,
    tags: GeomTags,
    joints: Vec<RobotJoint>,
    motors: Vec<Motor>,
}

/// What the model is compiled from, besides the robot.
pub struct Scene {
    pub terrain: Arc<Terrain>,
    pub obstacles: Vec<Obstacle>,
    pub dynamics: Dynamics,
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
    ) -> Result<Self, EngineError> {
        let scene = Scene {
            terrain: Arc::clone(&start.terrain),
            obstacles: start.obstacles.clone(),
            dynamics: start.dynamics.clone(),
        };
        let episode = EpisodeState {
            actuation: Actuation::new(start, config),
            joint_torque_nm: std::iter::repeat_n(0.0, model.num_joints()).collect(),
            contacts: ContactForces::none(model.num_legs),
        };
        let mut world = Self::compiled(model, config, scene, episode)?;
        world.place(start);
        Ok(world)
    }

    /// A world restored from the bytes of [`World::state`].
    pub fn with_state(
        model: &RobotModel,
        config: &PhysicsConfig,
        scene: Scene,
        episode: EpisodeState,
        state: &[f64],
    ) -> Result<Self, EngineError> {
        let mut world = Self::compiled(model, config, scene, episode)?;
        let known = world.data.model().state_size(STATE);
        if state.len() != known {
            let found = state.len();
            return Err(EngineError::State(format!(
                "it holds {found} numbers of a robot, MuJoCo {known}"
            )));
        }
        let set = world.data.set_state(state, STATE);
        set.map_err(|error| EngineError::State(error.to_string()))?;
        Ok(world)
    }

    /// MuJoCo's part of the state.
    pub fn state(&self) -> Box<[f64]> {
        self.data.state(STATE)
    }

    fn compiled(
        model: &RobotModel,
        config: &PhysicsConfig,
        scene: Scene,
        episode: EpisodeState,
    ) -> Result<Self, EngineError> {
        let description = SceneDescription {
            terrain: &scene.terrain,
            obstacles: &scene.obstacles,
            dynamics: &scene.dynamics,
        };
        let Compiled { data, tags, joints } = model.compile(config, &description)?;
        Ok(Self {
            scene,
            episode,
            data,
            tags,
            motors: Vec::with_capacity(joints.len()),
            joints,
        })
    }

    fn place(&mut self, start: &EpisodeStart) {
        let positions = self.data.qpos_mut();
        let q = start.orientation;
        let pose = [q.w, q.i, q.j, q.k];
        for (to, &from) in positions
            .iter_mut()
            .zip(start.position_world.iter().chain(&pose))
        {
            *to = from.into();
        }
        for (joint, &from) in self.joints.iter().zip(&start.joint_position_rad) {
            positions[joint.position_at] = from.into();
        }
        // MuJoCo's angular velocity is in the base frame.
        let spin = q.inverse_transform_vector(&start.angular_velocity_world);
        let velocities = self.data.qvel_mut();
        let base = start.linear_velocity_world.iter().chain(spin.iter());
        for (to, &from) in velocities.iter_mut().zip(base) {
            *to = from.into();
        }
        for (joint, &from) in self.joints.iter().zip(&start.joint_velocity_radps) {
            velocities[joint.dof] = from.into();
        }
    }

    /// Physics step `step` of a policy step, whose targets are taken with the first.
    pub fn step(&mut self, config: &PhysicsConfig, target_rad: &[f32], step: usize) {
        if step == 0 {
            self.episode.actuation.begin_policy_step(target_rad);
            self.episode.contacts.begin_policy_step();
        }
        let actuation = &self.episode.actuation;
        let target_rad = actuation.target_rad(step, config.decimation).clone();
        self.physics_step(config, |joint, index| MotorTarget {
            position_rad: target_rad[index],
            stiffness: joint.motor_stiffness,
            damping: joint.motor_damping,
            ..MotorTarget::default()
        });
    }

    /// One physics step with motors that are told more than a position, without delay.
    pub fn step_motors(&mut self, config: &PhysicsConfig, targets: &[MotorTarget]) {
        self.episode.contacts.begin_policy_step();
        self.physics_step(config, |_, index| targets[index]);
    }

    fn physics_step(
        &mut self,
        config: &PhysicsConfig,
        target: impl Fn(&RobotJoint, usize) -> MotorTarget,
    ) {
        self.move_obstacles();
        self.actuate(config, target);
        self.data.step();
        self.measure_torques();
        let (forces, terrain) = (&mut self.episode.contacts, &self.scene.terrain);
        contacts::measure(forces, &self.data, &self.tags, terrain);
        self.episode.actuation.end_physics_step();
    }

    fn move_obstacles(&mut self) {
        let time_s = self.data.time() as f32;
        let moving = self.scene.obstacles.iter().filter(|it| it.moves());
        for (to, obstacle) in self.data.mocap_pos_mut().iter_mut().zip(moving) {
            *to = obstacle.position_at(time_s).coords.cast().into();
        }
    }

    /// Sets the motors for the next physics step.
    fn actuate(
        &mut self,
        config: &PhysicsConfig,
        target: impl Fn(&RobotJoint, usize) -> MotorTarget,
    ) {
        let actuation = &self.episode.actuation;
        let step_s = f64::from(config.step_s);
        self.motors.clear();
        for (index, joint) in self.joints.iter().enumerate() {
            let dof = joint.dof;
            let position_rad = self.data.qpos()[joint.position_at];
            let velocity = self.data.qvel()[dof];
            let mut target = target(joint, index);
            target.torque_nm += actuation.added_torque_nm(index);
            let motor = Motor::new(
                joint,
                actuation.motor(),
                config.step_s,
                &target,
                position_rad,
                velocity,
            );
            let implicit = motor.per_velocity + joint.damping_nms;
            self.data.qfrc_applied_mut()[dof] = motor.constant_nm - implicit * velocity;
            // SAFETY: neither sizes nor indices of the model change.
            let compiled = unsafe { self.data.model_mut() };
            compiled.dof_armature_mut()[dof] = joint.armature_kgm2 + step_s * implicit;
            self.motors.push(motor);
        }
    }

    fn measure_torques(&mut self) {
        let velocities = self.data.qvel();
        let motors = self.motors.iter().zip(&self.joints);
        let torques = &mut self.episode.joint_torque_nm;
        for (torque_nm, (motor, joint)) in torques.iter_mut().zip(motors) {
            *torque_nm = motor.torque_nm(velocities[joint.dof]) as f32;
        }
    }

    /// A blow on the base.
    pub fn push(&mut self, velocity_change_world: &Vector3<f32>) {
        let velocities = self.data.qvel_mut().iter_mut();
        for (velocity, &change) in velocities.zip(velocity_change_world) {
            *velocity += f64::from(change);
        }
    }

    pub fn read(&self, state: &mut PhysicsState) {
        let narrow = |values: &[f64]| -> Vector3<f32> { Vector3::from_column_slice(values).cast() };
        let (positions, velocities) = (self.data.qpos(), self.data.qvel());
        state.position_world = Point3::from(narrow(&positions[..3]));
        let [w, i, j, k] = [3, 4, 5, 6].map(|at| positions[at] as f32);
        state.orientation = UnitQuaternion::new_normalize(Quaternion::new(w, i, j, k));
        state.linear_velocity_world = narrow(&velocities[..3]);
        state.angular_velocity_world = state.orientation * narrow(&velocities[3..6]);
        let joints = self.joints.iter();
        let positions = joints
            .clone()
            .map(|joint| positions[joint.position_at] as f32);
        state.joint_position_rad = positions.collect();
        state.joint_velocity_radps = joints.map(|joint| velocities[joint.dof] as f32).collect();
        (state.joint_torque_nm).clone_from(&self.episode.joint_torque_nm);
        self.episode.contacts.read(state);
    }
}
