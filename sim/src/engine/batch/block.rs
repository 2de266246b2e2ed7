//! The state of as many robots as there are lanes.

use nalgebra::{Point3, Quaternion, UnitQuaternion, Vector3};
use robots::{ContactClass, MAX_FEET};

use super::{
    contacts::{Contact, Ground, softness},
    dynamics::Inertia,
    lanes::Lanes,
    model::Model,
    scene::{BlockScene, Scenery},
    varied::VariedJoints,
    vector::*,
};
use crate::engine::{EngineError, EpisodeStart, PhysicsState, Variation, delay_jitter};

/// One number per joint.
pub(super) type PerJoint<L, const N: usize> = [[L; N]; MAX_FEET];

/// What changes from step to step and what an episode sets, in lanes. Positions are local to each robot's start, so that
/// `f32` is fine anywhere in the world.
#[derive(Clone, Copy)]
pub(super) struct BlockState<L, const N: usize> {
    pub position: V3<L>,
    /// i, j, k, w.
    pub orientation: [L; 4],
    pub velocity_world: V3<L>,
    pub omega_base: V3<L>,
    pub joint_position: PerJoint<L, N>,
    pub joint_velocity: PerJoint<L, N>,
    pub joint_torque: PerJoint<L, N>,
    /// Since the start of the episode.
    pub physics_steps: L,

    pub ground: Ground<L>,
    pub base_inertia: Inertia<L>,
    pub torque_offset: PerJoint<L, N>,
    pub torque_noise: PerJoint<L, N>,
    pub delay_steps: L,
    pub delay_jitter_steps: L,

    foot_force_world: [V3<L>; MAX_FEET],
    foot_excess: L,
    base_force: L,
    thigh_force: [L; MAX_FEET],
    calf_force: [L; MAX_FEET],
}

impl<L: Lanes, const N: usize> BlockState<L, N> {
    fn zero() -> Self {
        let zero = L::zero();
        let joints = [[zero; N]; MAX_FEET];
        Self {
            position: zero3(),
            orientation: [zero; 4],
            velocity_world: zero3(),
            omega_base: zero3(),
            joint_position: joints,
            joint_velocity: joints,
            joint_torque: joints,
            physics_steps: zero,
            ground: Ground {
                friction: zero,
                restitution: zero,
                compliance: zero,
                error_reduction: zero,
            },
            base_inertia: Inertia {
                mass: zero,
                first: zero3(),
                second: [zero; 6],
            },
            torque_offset: joints,
            torque_noise: joints,
            delay_steps: zero,
            delay_jitter_steps: zero,
            foot_force_world: [zero3(); MAX_FEET],
            foot_excess: zero,
            base_force: zero,
            thigh_force: [zero; MAX_FEET],
            calf_force: [zero; MAX_FEET],
        }
    }

    /// All numbers, in the order of snapshots.
    pub fn numbers(&mut self) -> impl Iterator<Item = &mut L> {
        let (base, ground) = (&mut self.base_inertia, &mut self.ground);
        let joints = [
            &mut self.joint_position,
            &mut self.joint_velocity,
            &mut self.joint_torque,
            &mut self.torque_offset,
            &mut self.torque_noise,
        ];
        self.position
            .iter_mut()
            .chain(&mut self.orientation)
            .chain(&mut self.velocity_world)
            .chain(&mut self.omega_base)
            .chain(joints.into_iter().flatten().flatten())
            .chain([
                &mut self.physics_steps,
                &mut ground.friction,
                &mut ground.restitution,
                &mut ground.compliance,
                &mut ground.error_reduction,
                &mut self.delay_steps,
                &mut self.delay_jitter_steps,
                &mut base.mass,
            ])
            .chain(&mut base.first)
            .chain(&mut base.second)
            .chain(self.foot_force_world.iter_mut().flatten())
            .chain([&mut self.foot_excess, &mut self.base_force])
            .chain(&mut self.thigh_force)
            .chain(&mut self.calf_force)
    }
}

/// Robots side by side.
pub(super) struct Block<L, const N: usize> {
    pub state: BlockState<L, N>,
    /// Joint targets of this policy step and of earlier ones that a delay may ask for.
    pub targets: Vec<PerJoint<L, N>>,
    /// Impulses of the last step on each sphere that may touch the ground, along its contact frame.
    pub sphere_impulse: Vec<V3<L>>,
    pub has_noise: bool,
    pub has_restitution: bool,
    has_jitter: bool,
    /// Delay of the joint targets in this policy step.
    pub target_delay_steps: L,
    /// In what each robot differs from the model.
    pub variations: Vec<Option<Box<Variation>>>,
    /// Joints in lanes, where any robot differs.
    pub varied: Option<Box<VariedJoints<L, N>>>,
    pub noise_seeds: Vec<u64>,
    pub scene: BlockScene<L>,
    pub scenery: Vec<Scenery>,
}

impl<L: Lanes, const N: usize> Block<L, N> {
    /// All robots as `start` says.
    pub fn new(model: &Model<N>, start: &EpisodeStart) -> Result<Self, EngineError> {
        let mut block = Self {
            state: BlockState::zero(),
            targets: vec![[[L::zero(); N]; MAX_FEET]],
            sphere_impulse: vec![zero3(); model.num_spheres()],
            has_noise: false,
            has_restitution: false,
            has_jitter: false,
            target_delay_steps: L::zero(),
            variations: vec![None; L::LANES],
            varied: None,
            noise_seeds: vec![0; L::LANES],
            scene: BlockScene::new(),
            scenery: vec![Scenery::new(start); L::LANES],
        };
        for lane in 0..L::LANES {
            block.reset(model, lane, start)?;
        }
        Ok(block)
    }

    pub fn reset(
        &mut self,
        model: &Model<N>,
        lane: usize,
        start: &EpisodeStart,
    ) -> Result<(), EngineError> {
        if start.dynamics.on_stand {
            let reason = "the batch engine has no stand".to_owned();
            return Err(EngineError::UnsupportedObstacle(reason));
        }
        self.set_scenery(lane, Scenery::new(start))?;
        self.deepen_history(start.dynamics.latest_target(model.decimation) + 1);
        for number in self.numbers() {
            number.as_mut_slice()[lane] = 0.0;
        }

        let dynamics = &start.dynamics;
        let put = |to: &mut L, value: f32| to.as_mut_slice()[lane] = value;
        let orientation = start.orientation.coords;
        for k in 0..4 {
            put(&mut self.state.orientation[k], orientation[k]);
        }
        let omega = start
            .orientation
            .inverse_transform_vector(&start.angular_velocity_world);
        for k in 0..3 {
            put(
                &mut self.state.velocity_world[k],
                start.linear_velocity_world[k],
            );
            put(&mut self.state.omega_base[k], omega[k]);
        }
        for l in 0..model.legs.len() {
            for i in 0..N {
                let at = l * N + i;
                put(
                    &mut self.state.joint_position[l][i],
                    start.joint_position_rad[at],
                );
                put(
                    &mut self.state.joint_velocity[l][i],
                    start.joint_velocity_radps[at],
                );
                put(
                    &mut self.state.torque_offset[l][i],
                    dynamics.torque_offset_nm[at],
                );
                put(
                    &mut self.state.torque_noise[l][i],
                    dynamics.torque_noise_nm[at],
                );
                for targets in &mut self.targets {
                    put(&mut targets[l][i], start.joint_position_rad[at]);
                }
            }
        }
        let (compliance, error_reduction) = softness(dynamics.contact_softness_s, model.step_s);
        let ground = &mut self.state.ground;
        put(&mut ground.friction, dynamics.friction);
        put(&mut ground.restitution, dynamics.restitution);
        put(&mut ground.compliance, compliance);
        put(&mut ground.error_reduction, error_reduction);
        put(
            &mut self.state.delay_jitter_steps,
            dynamics.delay_jitter_steps,
        );
        put(
            &mut self.state.delay_steps,
            dynamics.actuation_delay_steps as f32,
        );
        self.noise_seeds[lane] = dynamics.noise_seed;

        let base = model.base.with_mass(dynamics);
        let mass = base.mass_kg;
        let [x, y, z] = base.com.into();
        let inertia = &base.inertia_kgm2;
        let about_com = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)].map(|at| inertia[at]);
        let shift = [
            y * y + z * z,
            x * x + z * z,
            x * x + y * y,
            -x * y,
            -x * z,
            -y * z,
        ];
        put(&mut self.state.base_inertia.mass, mass);
        for k in 0..3 {
            put(&mut self.state.base_inertia.first[k], mass * base.com[k]);
        }
        for k in 0..6 {
            put(
                &mut self.state.base_inertia.second[k],
                about_com[k] + mass * shift[k],
            );
        }
        self.set_variation(model, lane, dynamics.variation.clone());
        self.note_noise();
        Ok(())
    }

    /// In what the robot of one lane differs from the model.
    pub fn set_variation(
        &mut self,
        model: &Model<N>,
        lane: usize,
        variation: Option<Box<Variation>>,
    ) {
        self.variations[lane] = variation;
        if self.variations.iter().all(Option::is_none) {
            self.varied = None;
            return;
        }
        let variation = self.variations[lane].as_deref();
        self.varied
            .get_or_insert_with(|| Box::new(VariedJoints::new(model)))
            .set(model, lane, variation);
    }

    /// Replaces the surroundings of one robot.
    pub fn set_scenery(&mut self, lane: usize, scenery: Scenery) -> Result<(), EngineError> {
        self.scene.set_lane(lane, &scenery)?;
        self.scenery[lane] = scenery;
        Ok(())
    }

    /// Keeps at least so many policy steps of joint targets.
    pub fn deepen_history(&mut self, depth: usize) {
        let depth = depth.max(self.targets.len());
        self.targets.resize(depth, [[L::zero(); N]; MAX_FEET]);
    }

    /// Takes notice of changed noise widths, jitters and restitutions.
    pub fn note_noise(&mut self) {
        let is_set = |number: &L| number.as_slice().iter().any(|&value| value != 0.0);
        self.has_noise = self.state.torque_noise.iter().flatten().any(is_set);
        self.has_jitter = is_set(&self.state.delay_jitter_steps);
        self.has_restitution = is_set(&self.state.ground.restitution);
    }

    /// A blow on the base of one robot.
    pub fn push(&mut self, lane: usize, velocity_change_world: &Vector3<f32>) {
        let velocity = &mut self.state.velocity_world;
        for (number, change) in velocity.iter_mut().zip(velocity_change_world) {
            number.as_mut_slice()[lane] += change;
        }
    }

    /// The numbers of the state and of the contacts, in the order of snapshots.
    pub fn numbers(&mut self) -> impl Iterator<Item = &mut L> {
        self.state
            .numbers()
            .chain(self.sphere_impulse.iter_mut().flatten())
    }

    /// Sets the joint targets of one robot for the coming policy step, after `begin_targets`.
    pub fn set_targets(&mut self, lane: usize, targets_rad: &[f32]) {
        for (at, &target) in targets_rad.iter().enumerate() {
            self.targets[0][at / N][at % N].as_mut_slice()[lane] = target;
        }
    }

    /// Makes room for new joint targets.
    pub fn begin_targets(&mut self) {
        self.targets.rotate_right(1);
    }

    #[inline(always)]
    pub fn begin_policy_step(&mut self) {
        self.state.foot_excess = L::splat(f32::MIN);
        self.state.base_force = L::zero();
        self.state.thigh_force = [L::zero(); MAX_FEET];
        self.state.calf_force = [L::zero(); MAX_FEET];
        self.target_delay_steps = self.state.delay_steps;
        if self.has_jitter {
            let seeds = &self.noise_seeds[..L::LANES];
            let steps = &self.state.physics_steps.as_slice()[..L::LANES];
            let most = &self.state.delay_jitter_steps.as_slice()[..L::LANES];
            let delays = &mut self.target_delay_steps.as_mut_slice()[..L::LANES];
            for lane in 0..L::LANES {
                delays[lane] += delay_jitter(seeds[lane], steps[lane] as u32, most[lane]);
            }
        }
    }

    /// Notes the forces of a physics step.
    #[inline(always)]
    pub fn measure_contacts(
        &mut self,
        contacts: &[Contact<L, N>],
        rotation: &Rotation<L>,
        inverse_step: L,
        num_legs: usize,
    ) {
        let mut feet = [zero3(); MAX_FEET];
        let mut base = zero3();
        let mut thighs = [zero3(); MAX_FEET];
        let mut calves = [zero3(); MAX_FEET];
        let mut any_body = false;
        for k in num_legs..self.sphere_impulse.len() {
            self.sphere_impulse[k] = zero3();
        }
        for contact in contacts {
            let force = scale(contact.impulse_base(), inverse_step);
            if let Some(sphere) = contact.sphere {
                // Adding zero drops the sign of zeros, as in the step.
                self.sphere_impulse[sphere] = add(contact.impulse, zero3());
                if sphere < num_legs {
                    feet[sphere] = force;
                    continue;
                }
            }
            any_body = true;
            let leg = contact.leg;
            // Classes in order: base 0, thigh 1, calf 2, foot 3.
            let (below_thigh, below_calf, below_foot) = (
                contact.class.lt(L::splat(ContactClass::Thigh as u8 as f32)),
                contact.class.lt(L::splat(ContactClass::Calf as u8 as f32)),
                contact.class.lt(L::splat(ContactClass::Foot as u8 as f32)),
            );
            let none = zero3();
            feet[leg] = add(feet[leg], select3(below_foot, none, force));
            let not_foot = select3(below_foot, force, none);
            calves[leg] = add(calves[leg], select3(below_calf, none, not_foot));
            let upper = select3(below_calf, force, none);
            thighs[leg] = add(thighs[leg], select3(below_thigh, none, upper));
            base = add(base, select3(below_thigh, force, none));
        }
        for l in 0..num_legs {
            let force = add(rotate(rotation, feet[l]), zero3());
            let across = (force[0] * force[0] + force[1] * force[1]).sqrt();
            let excess = across - (force[2] + force[2]).abs();
            self.state.foot_excess = self.state.foot_excess.max(excess);
            self.state.foot_force_world[l] = force;
        }
        if any_body {
            self.state.base_force = self.state.base_force.max(dot(base, base).sqrt());
            for l in 0..num_legs {
                self.state.thigh_force[l] =
                    self.state.thigh_force[l].max(dot(thighs[l], thighs[l]).sqrt());
                self.state.calf_force[l] =
                    self.state.calf_force[l].max(dot(calves[l], calves[l]).sqrt());
            }
        }
    }

    pub fn read(&self, num_legs: usize, lane: usize, state: &mut PhysicsState) {
        let at = |number: &L| number.as_slice()[lane];
        let vector = |v: &V3<L>| Vector3::new(at(&v[0]), at(&v[1]), at(&v[2]));
        let origin = Vector3::from(self.scenery[lane].origin_world);
        let [i, j, k, w] = &self.state.orientation;
        state.position_world = Point3::from(vector(&self.state.position) + origin);
        state.orientation =
            UnitQuaternion::new_unchecked(Quaternion::new(at(w), at(i), at(j), at(k)));
        state.linear_velocity_world = vector(&self.state.velocity_world);
        state.angular_velocity_world = state.orientation * vector(&self.state.omega_base);
        for (to, from) in [
            (&mut state.joint_position_rad, &self.state.joint_position),
            (&mut state.joint_velocity_radps, &self.state.joint_velocity),
            (&mut state.joint_torque_nm, &self.state.joint_torque),
        ] {
            to.clear();
            to.extend(from[..num_legs].iter().flatten().map(at));
        }
        state.foot_force_world.clear();
        state
            .foot_force_world
            .extend(self.state.foot_force_world[..num_legs].iter().map(vector));
        state.foot_horizontal_excess_n = at(&self.state.foot_excess);
        state.base_force_n = at(&self.state.base_force);
        for (to, from) in [
            (&mut state.thigh_force_n, &self.state.thigh_force),
            (&mut state.calf_force_n, &self.state.calf_force),
        ] {
            to.clear();
            to.extend(from[..num_legs].iter().map(at));
        }
    }
}

impl Scenery {
    fn new(start: &EpisodeStart) -> Self {
        Self {
            terrain: start.terrain.clone(),
            obstacles: start.obstacles.clone(),
            origin_world: start.position_world.coords.into(),
        }
    }
}
