//! One physics step of a block of robots, semi-implicit Euler:
//!
//! 1. kinematics, mass matrix, bias forces and motors of each leg; factorization;
//! 2. velocities without contact, whitened;
//! 3. contacts and their impulses;
//! 4. velocities back from whitened ones; positions from the new velocities.

use robots::MAX_FEET;

use super::{
    block::Block,
    contacts::{Body, Contact, Site, StepTerms, tangents},
    dynamics::{Base, Leg},
    geometry::{BaseObstacle, Touch},
    joints,
    lanes::{Kernel, Lanes},
    model::{Model, Sphere},
    scene::NEAREST,
    vector::*,
};

/// Gauss-Seidel sweeps per physics step.
const SWEEPS: usize = 4;
/// Contacts are solved for gaps that this speed closes within a step, m/s.
const SPECULATIVE_MPS: f32 = 8.0;
/// An obstacle is left alone while it is farther than the robot reaches and this, m.
const REACH_SLACK_M: f32 = 0.25;

/// Memory of one step, used again by all blocks of a thread.
pub(super) struct Scratch<L, const N: usize> {
    legs: Vec<Leg<L, N>>,
    contacts: Vec<Contact<L, N>>,
}

impl<L: Lanes, const N: usize> Scratch<L, N> {
    pub fn new(model: &Model<N>) -> Self {
        let on_obstacles = NEAREST * (model.legs.len() + model.base.patches.len());
        let capacity = model.num_spheres() + on_obstacles;
        Self {
            legs: vec![Leg::zero(); model.legs.len()],
            contacts: Vec::with_capacity(capacity),
        }
    }
}

/// A policy step of one block.
pub(super) struct PolicyStep<'a, L: Lanes, const N: usize> {
    pub model: &'a Model<N>,
    pub block: &'a mut Block<L, N>,
    pub scratch: &'a mut Scratch<L, N>,
}

impl<L: Lanes, const N: usize> Kernel for PolicyStep<'_, L, N> {
    #[inline(always)]
    fn run(self) {
        let Self {
            model,
            block,
            scratch,
        } = self;
        block.begin_policy_step();
        let time_s = block.state.physics_steps * L::splat(model.step_s);
        block.scene.find_nearest(block.state.position, time_s);
        for step in 0..model.decimation {
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

    let mut base = Base::new(&block.state.base_inertia, omega);
    let mut base_impulse = [L::zero(); 6];
    let mut z_legs = [[L::zero(); N]; MAX_FEET];
    let mut law = [[joints::Applied::zero(); N]; MAX_FEET];
    for l in 0..num_legs {
        let leg = &mut scratch.legs[l];
        let load = leg.update(
            &model.legs[l],
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

    find_contacts(model, block, scratch, &base, &rotation);
    for contact in scratch.contacts.iter_mut() {
        if let Some(sphere) = contact.sphere {
            contact.warm_start(block.sphere_impulse[sphere], &mut z_base, &mut z_legs);
        }
    }
    for _ in 0..SWEEPS {
        for contact in scratch.contacts.iter_mut() {
            contact.solve(&mut z_base, &mut z_legs);
        }
    }
    block.measure_contacts(
        &scratch.contacts,
        &rotation,
        L::splat(1.0 / model.step_s),
        num_legs,
    );

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

/// Fills the list of contacts: feet and other spheres against the ground, patches against obstacles.
#[inline(always)]
fn find_contacts<L: Lanes, const N: usize>(
    model: &Model<N>,
    block: &Block<L, N>,
    scratch: &mut Scratch<L, N>,
    base: &Base<L>,
    rotation: &Rotation<L>,
) {
    let Scratch { legs, contacts } = scratch;
    contacts.clear();
    let terms = StepTerms {
        inverse_step: L::splat(1.0 / model.step_s),
        friction: block.state.friction,
    };
    let margin = L::splat(SPECULATIVE_MPS * model.step_s);
    let one = L::splat(1.0);
    let ground = GroundContacts {
        block,
        base,
        rotation,
        terms: &terms,
        margin,
        num_feet: model.feet.len(),
    };
    let origin = zero3();
    let up = [rotation[0][2], rotation[1][2], rotation[2][2]];
    for l in 0..model.feet.len() {
        let leg = &legs[l];
        let foot = &model.feet[l];
        let center = add(
            leg.origin[N - 1],
            rotate(&leg.rotation[N - 1], splat3(foot.center)),
        );
        let site = Site {
            body: Body::Leg(l),
            leg: Some((leg, [one; N])),
            class: class(foot),
            sphere: Some(l),
        };
        let near = ground.near(dot(up, center), foot.radius_m);
        ground.push(&site, center, foot.radius_m, near, contacts);
    }
    let mut number = model.feet.len();
    for sphere in &model.base.ground_spheres {
        let center = splat3(sphere.center);
        let near = ground.near(dot(up, center), sphere.radius_m);
        if L::any(near) {
            let site = Site {
                body: Body::Base,
                leg: None,
                class: class(sphere),
                sphere: Some(number),
            };
            ground.push(&site, center, sphere.radius_m, near, contacts);
        }
        number += 1;
    }
    for l in 0..model.legs.len() {
        let leg = &legs[l];
        for i in 0..N {
            let link = &model.legs[l][i].link;
            if link.ground_spheres.is_empty() {
                continue;
            }
            let height = dot(up, leg.origin[i]);
            let up_link = rotate_back(&leg.rotation[i], up);
            for sphere in &link.ground_spheres {
                let near = ground.near(
                    height + dot(up_link, splat3(sphere.center)),
                    sphere.radius_m,
                );
                if L::any(near) {
                    let center = add(
                        leg.origin[i],
                        rotate(&leg.rotation[i], splat3(sphere.center)),
                    );
                    let moves = moves_up_to::<L, N>(i);
                    let site = Site {
                        body: Body::Leg(l),
                        leg: Some((leg, moves)),
                        class: class(sphere),
                        sphere: Some(number),
                    };
                    ground.push(&site, center, sphere.radius_m, near, contacts);
                }
                number += 1;
            }
        }
    }

    let time_s = block.state.physics_steps * L::splat(model.step_s);
    let reach = L::splat(model.reach_m + REACH_SLACK_M);
    for slot in 0..NEAREST {
        let Some((obstacle, distance)) = block.scene.nearest(slot) else {
            break;
        };
        let near = distance.lt(reach);
        if !L::any(near) {
            break;
        }
        let obstacle = BaseObstacle::new(obstacle, rotation, block.state.position, time_s);
        let velocity = Some(obstacle.velocity);
        let identity = [
            splat3([1.0, 0.0, 0.0]),
            splat3([0.0, 1.0, 0.0]),
            splat3([0.0, 0.0, 1.0]),
        ];
        for patch in &model.base.patches {
            let touch = obstacle.touch(patch, &identity, origin);
            let active = L::and(near, touch.gap.lt(margin));
            if L::any(active) {
                let site = Site {
                    body: Body::Base,
                    leg: None,
                    class: L::splat(patch.class as u8 as f32),
                    sphere: None,
                };
                let [t1, t2] = tangents(touch.normal);
                let frame = [touch.normal, t1, t2];
                contacts.push(Contact::new(
                    &site, base, &touch, frame, velocity, active, &terms,
                ));
            }
        }
        for l in 0..model.legs.len() {
            let leg = &legs[l];
            let mut best = Touch {
                gap: L::splat(1e9),
                point: origin,
                normal: splat3([0.0, 0.0, 1.0]),
            };
            let (mut best_class, mut best_link) = (L::zero(), L::zero());
            for i in 0..N {
                for patch in &model.legs[l][i].link.patches {
                    let touch = obstacle.touch(patch, &leg.rotation[i], leg.origin[i]);
                    let deeper = touch.gap.lt(best.gap);
                    best = Touch::select(deeper, &touch, &best);
                    best_class = L::select(deeper, L::splat(patch.class as u8 as f32), best_class);
                    best_link = L::select(deeper, L::splat(i as f32), best_link);
                }
            }
            let active = L::and(near, best.gap.lt(margin));
            if L::any(active) {
                let mut moves = [one; N];
                for i in 0..N {
                    moves[i] = L::select(best_link.lt(L::splat(i as f32)), L::zero(), one);
                }
                let site = Site {
                    body: Body::Leg(l),
                    leg: Some((leg, moves)),
                    class: best_class,
                    sphere: None,
                };
                let [t1, t2] = tangents(best.normal);
                let frame = [best.normal, t1, t2];
                contacts.push(Contact::new(
                    &site, base, &best, frame, velocity, active, &terms,
                ));
            }
        }
    }
}

/// What all contacts with the ground have in common.
struct GroundContacts<'a, L: Lanes, const N: usize> {
    block: &'a Block<L, N>,
    base: &'a Base<L>,
    rotation: &'a Rotation<L>,
    terms: &'a StepTerms<L>,
    margin: L,
    num_feet: usize,
}

impl<L: Lanes, const N: usize> GroundContacts<'_, L, N> {
    /// Where a sphere at a height over the base origin may touch the ground.
    #[inline(always)]
    fn near(&self, height: L, radius_m: f32) -> L::Mask {
        let bottom = self.block.state.position[2] + height - L::splat(radius_m);
        bottom.lt(self.block.scene.ceiling() + self.margin)
    }

    /// Adds a sphere with its centre in base axes, unless no lane needs it. Feet are always added.
    #[inline(always)]
    fn push(
        &self,
        site: &Site<'_, L, N>,
        center: V3<L>,
        radius_m: f32,
        near: L::Mask,
        contacts: &mut Vec<Contact<L, N>>,
    ) {
        let block = self.block;
        let arm = rotate(self.rotation, center);
        let at = add(block.state.position, arm);
        let (ground_height, normal) = block.scene.ground(at[0], at[1]);
        let gap = (at[2] - ground_height) * normal[2] - L::splat(radius_m);
        let active = L::and(near, gap.lt(self.margin));
        let is_foot = site.sphere.is_some_and(|number| number < self.num_feet);
        if !is_foot && !L::any(active) {
            return;
        }
        let row = |k: usize| {
            [
                self.rotation[0][k],
                self.rotation[1][k],
                self.rotation[2][k],
            ]
        };
        let frame = if block.scene.is_flat() {
            [row(2), row(0), row(1)]
        } else {
            let [t1, t2] = tangents(normal);
            [
                rotate_back(self.rotation, normal),
                rotate_back(self.rotation, t1),
                rotate_back(self.rotation, t2),
            ]
        };
        let touch = Touch {
            gap,
            point: add_scaled(center, L::splat(-radius_m), frame[0]),
            normal: frame[0],
        };
        contacts.push(Contact::new(
            site, self.base, &touch, frame, None, active, self.terms,
        ));
    }
}

#[inline(always)]
fn class<L: Lanes>(sphere: &Sphere) -> L {
    L::splat(sphere.class as u8 as f32)
}

/// 1 for the joints that move link `i`.
#[inline(always)]
fn moves_up_to<L: Lanes, const N: usize>(i: usize) -> [L; N] {
    let mut moves = [L::zero(); N];
    for k in 0..N {
        moves[k] = L::splat(if k <= i { 1.0 } else { 0.0 });
    }
    moves
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
