//! One physics step of a block of robots, semi-implicit Euler:
//!
//! 1. kinematics, mass matrix, bias forces and motors of each leg; factorization;
//! 2. velocities without contact, whitened;
//! 3. contacts and their impulses;
//! 4. velocities back from whitened ones; positions from the new velocities.

use std::ops::Range;

use robots::MAX_FEET;

use super::{
    block::Block,
    candidates::{ContactCandidate, ContactDetection},
    contacts::Contact,
    dynamics::{BaseDynamics, LegDynamics},
    joints,
    lanes::{Kernel, Lanes},
    model::Model,
    scene::NEAREST,
    vector::*,
};

/// Gauss-Seidel sweeps per physics step.
const SWEEPS: usize = 4;
/// Memory of one step, used again by all blocks of a thread.
pub(super) struct Scratch<L: Lanes, const N: usize> {
    legs: Vec<LegDynamics<L, N>>,
    candidates: Vec<ContactCandidate<L>>,
    contacts: Vec<Contact<L, N>>,
}

impl<L: Lanes, const N: usize> Scratch<L, N> {
    pub fn new(model: &Model<N>) -> Self {
        let on_obstacles = NEAREST * (model.legs.len() + model.base.features.len());
        let most = model.num_spheres() + on_obstacles;
        Self {
            legs: vec![LegDynamics::zero(); model.legs.len()],
            candidates: Vec::with_capacity(most),
            contacts: vec![Contact::zero(); most],
        }
    }
}

/// Physics steps of a policy step of one block.
pub(super) struct PhysicsSteps<'a, L: Lanes, const N: usize> {
    pub model: &'a Model<N>,
    pub block: &'a mut Block<L, N>,
    pub scratch: &'a mut Scratch<L, N>,
    /// Which of the policy step.
    pub steps: Range<usize>,
}

impl<L: Lanes, const N: usize> Kernel for PhysicsSteps<'_, L, N> {
    #[inline(always)]
    fn run(self) {
        let Self {
            model,
            block,
            scratch,
            steps,
        } = self;
        if steps.start == 0 {
            block.begin_policy_step();
            let time_s = block.state.physics_steps * L::splat(model.step_s);
            block.scene.find_nearest(block.state.position, time_s);
        }
        for step in steps {
            physics_step(model, block, scratch, step);
        }
    }
}

#[inline(always)]
fn physics_step<L: Lanes, const N: usize>(
    model: &Model<N>,
    block: &mut Block<L, N>,
    scratch: &mut Scratch<L, N>,
    step: usize,
) {
    let dt = L::splat(model.step_s);
    let num_legs = model.legs.len();
    let rotation = rotation_matrix(&block.state.orientation);
    let omega = block.state.omega_base;
    let gravity = splat3(model.gravity_mps2);
    let free_velocity = add_scaled(block.state.velocity_world, dt, gravity);
    let linear = rotate_back(&rotation, free_velocity);
    let velocity = [
        linear[0], linear[1], linear[2], omega[0], omega[1], omega[2],
    ];

    let mut base = BaseDynamics::new(&block.state.base_inertia, omega);
    let mut base_impulse = [L::zero(); 6];
    let mut z_legs = [[L::zero(); N]; MAX_FEET];
    let mut law = [[joints::Applied::zero(); N]; MAX_FEET];
    for l in 0..num_legs {
        let leg = &mut scratch.legs[l];
        #[expect(
            clippy::manual_map,
            reason = "a closure would not have the instructions of the lanes"
        )]
        let link_mass = match &block.varied {
            None => None,
            Some(varied) => Some(&varied.link_mass[l]),
        };
        let load = leg.update(
            &model.legs[l],
            link_mass,
            &block.state.joint_position[l],
            &block.state.joint_velocity[l],
            omega,
        );
        let mut extra = [L::zero(); N];
        let mut impulse = [L::zero(); N];
        for i in 0..N {
            let drive = joints::drive(model, block, l, i, step, leg.mass[i][i]);
            extra[i] = drive.extra_inertia;
            impulse[i] = drive.impulse - dt * leg.bias[i];
            law[l][i] = drive.applied;
        }
        leg.factor(&extra);
        base.add_leg(&load, leg);
        let whitened = leg.whiten(&impulse);
        leg.move_to_base(&whitened, &mut base_impulse);
        z_legs[l] = leg.whitened_velocity(&block.state.joint_velocity[l], &velocity);
        for i in 0..N {
            z_legs[l][i] = z_legs[l][i] + whitened[i];
        }
    }
    base.factor();
    for r in 0..6 {
        base_impulse[r] = base_impulse[r] - dt * base.bias()[r];
    }
    let mut z_base = base.whitened_velocity(&velocity);
    let whitened = base.whiten(&base_impulse);
    for r in 0..6 {
        z_base[r] = z_base[r] + whitened[r];
    }

    let detection = ContactDetection {
        model,
        block,
        legs: &scratch.legs,
        rotation: &rotation,
        base_frame: (identity(), zero3()),
    };
    detection.find(&mut scratch.candidates);
    let inverse_step = L::splat(1.0 / model.step_s);
    let contacts = &mut scratch.contacts[..scratch.candidates.len()];
    for k in 0..contacts.len() {
        let candidate = &scratch.candidates[k];
        let leg = candidate.leg;
        let contact = &mut contacts[k];
        contact.assemble(
            candidate,
            &scratch.legs[leg],
            &base,
            &block.state.ground,
            inverse_step,
        );
        if block.has_restitution {
            contact.bounce(block.state.ground.restitution, &z_base, &z_legs[leg]);
        }
        if let Some(sphere) = contact.sphere {
            contact.warm_start(block.sphere_impulse[sphere], &mut z_base, &mut z_legs[leg]);
        }
    }
    for _ in 0..SWEEPS {
        for k in 0..contacts.len() {
            let contact = &mut contacts[k];
            let leg = contact.leg;
            contact.solve(&mut z_base, &mut z_legs[leg]);
        }
    }
    block.measure_contacts(contacts, &rotation, inverse_step, num_legs);

    // Adding zero drops the sign of zeros, the one trace that contacts of other lanes leave in a lane.
    let zero = L::zero();
    for r in 0..6 {
        z_base[r] = z_base[r] + zero;
    }
    let velocity = base.velocity(&z_base);
    block.state.omega_base = [velocity[3], velocity[4], velocity[5]];
    block.state.velocity_world = rotate(&rotation, [velocity[0], velocity[1], velocity[2]]);
    block.state.position = add_scaled(block.state.position, dt, block.state.velocity_world);
    block.state.orientation = turned(block.state.orientation, scale(block.state.omega_base, dt));
    for l in 0..num_legs {
        for i in 0..N {
            z_legs[l][i] = z_legs[l][i] + zero;
        }
        let velocity = scratch.legs[l].joint_velocity(&z_legs[l], &velocity);
        for i in 0..N {
            let torque = law[l][i].torque(velocity[i]);
            block.state.joint_torque[l][i] = torque;
            block.state.joint_position[l][i] = block.state.joint_position[l][i] + dt * velocity[i];
        }
        block.state.joint_velocity[l] = velocity;
    }
    block.state.physics_steps = block.state.physics_steps + L::splat(1.0);
}

/// Columns of the rotation matrix of a unit quaternion (i, j, k, w).
#[inline(always)]
fn rotation_matrix<L: Lanes>(q: &[L; 4]) -> Rotation<L> {
    let [i, j, k, w] = *q;
    let one = L::splat(1.0);
    let (i2, j2, k2) = (i + i, j + j, k + k);
    let (ii, jj, kk) = (i * i2, j * j2, k * k2);
    let (ij, ik, jk) = (i * j2, i * k2, j * k2);
    let (wi, wj, wk) = (w * i2, w * j2, w * k2);
    [
        [one - (jj + kk), ij + wk, ik - wj],
        [ij - wk, one - (ii + kk), jk + wi],
        [ik + wj, jk - wi, one - (ii + jj)],
    ]
}

/// A unit quaternion turned by a small rotation vector in its own axes. With `tan(x) = x + x^3 / 3` for the half
/// angle the error is of fifth order.
#[inline(always)]
fn turned<L: Lanes>(q: [L; 4], angle: V3<L>) -> [L; 4] {
    let half_factor = L::splat(0.5) + dot(angle, angle) * L::splat(1.0 / 24.0);
    let [x, y, z] = scale(angle, half_factor);
    let [i, j, k, w] = q;
    let turned = [
        i + (w * x + j * z - k * y),
        j + (w * y + k * x - i * z),
        k + (w * z + i * y - j * x),
        w - (i * x + j * y + k * z),
    ];
    let [i, j, k, w] = turned;
    let inverse_norm = (i * i + j * j + k * k + w * w).rsqrt();
    [
        i * inverse_norm,
        j * inverse_norm,
        k * inverse_norm,
        w * inverse_norm,
    ]
}
