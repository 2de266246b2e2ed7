//! Where a robot may touch its surroundings in this step: spheres against the ground, patches against obstacles.

use super::{
    block::Block,
    dynamics::Leg,
    geometry::{BaseObstacle, Touch, distance_bound},
    lanes::Lanes,
    model::{LinkModel, Model, Sphere},
    scene::NEAREST,
    vector::*,
};

/// Contacts are solved for gaps that this speed closes within a step, m/s.
const SPECULATIVE_MPS: f32 = 8.0;
/// Number of the base among the links of a leg.
const BASE_LINK: f32 = -1.0;

/// A place where the robot touches, or may touch within the step. Vectors in base axes.
pub(super) struct Encounter<L: Lanes> {
    pub touch: Touch<L>,
    pub tangents: [V3<L>; 2],
    /// Lanes that it concerns.
    pub active: L::Mask,
    pub leg: usize,
    /// Number of the touching link in its leg, -1 for the base.
    pub link: L,
    pub class: L,
    /// As in [`super::contacts::Contact`].
    pub sphere: Option<usize>,
    pub obstacle_velocity: Option<V3<L>>,
}

/// The robot as it stands.
pub(super) struct Posture<'a, L: Lanes, const N: usize> {
    pub model: &'a Model<N>,
    pub block: &'a Block<L, N>,
    pub legs: &'a [Leg<L, N>],
    /// Base axes in the world frame, as columns.
    pub rotation: &'a Rotation<L>,
    /// The base in its own axes.
    pub base_frame: (Rotation<L>, V3<L>),
}

impl<L: Lanes, const N: usize> Posture<'_, L, N> {
    /// Pose of a link: link `i` of leg `l`, or the base.
    #[inline(always)]
    fn frame(&self, l: usize, i: Option<usize>) -> (&Rotation<L>, &V3<L>) {
        match i {
            Some(i) => (&self.legs[l].rotation[i], &self.legs[l].origin[i]),
            None => (&self.base_frame.0, &self.base_frame.1),
        }
    }

    /// Nothing of the robot is farther than this from the base origin.
    #[inline(always)]
    fn reach(&self) -> L {
        let mut reach = L::splat(self.model.base.reach_m);
        for i in 0..N {
            let (mut farthest2, mut link_reach_m) = (L::zero(), 0.0_f32);
            for l in 0..self.model.legs.len() {
                let origin = self.legs[l].origin[i];
                farthest2 = farthest2.max(dot(origin, origin));
                link_reach_m = link_reach_m.max(self.model.legs[l][i].link.reach_m);
            }
            reach = reach.max(farthest2.sqrt() + L::splat(link_reach_m));
        }
        reach
    }

    /// Links that may touch: the base, as link `None` of leg 0, and all others.
    #[inline(always)]
    fn link(&self, index: usize) -> (usize, Option<usize>, &LinkModel) {
        if index == 0 {
            return (0, None, &self.model.base);
        }
        let (l, i) = ((index - 1) / N, (index - 1) % N);
        (l, Some(i), &self.model.legs[l][i].link)
    }

    /// Finds all encounters that concern any lane, and those of the feet.
    #[inline(always)]
    pub fn find(&self, encounters: &mut Vec<Encounter<L>>) {
        encounters.clear();
        let margin = L::splat(SPECULATIVE_MPS * self.model.step_s);
        self.find_ground(margin, encounters);
        self.find_obstacles(margin, encounters);
    }

    #[inline(always)]
    fn find_ground(&self, margin: L, encounters: &mut Vec<Encounter<L>>) {
        let (model, scene) = (self.model, &self.block.scene);
        let position = self.block.state.position;
        let [x, y, up] = transposed(self.rotation);
        let flat_tangents = [x, y];
        let ceiling = scene.ceiling() + margin;
        let num_feet = model.feet.len();
        let mut number = num_feet;
        for index in 0..=num_feet * N {
            let (l, i, link) = self.link(index);
            let has_foot = i == Some(N - 1);
            if link.ground_spheres.is_empty() && !has_foot {
                continue;
            }
            let (frame, origin) = self.frame(l, i);
            let height = position[2] + dot(up, *origin);
            let up_link = rotate_back(frame, up);
            let count = link.ground_spheres.len();
            for k in 0..count + usize::from(has_foot) {
                let is_foot = k == count;
                let sphere: &Sphere = if is_foot {
                    &model.feet[l]
                } else {
                    &link.ground_spheres[k]
                };
                let sphere_number = if is_foot { l } else { number };
                number += usize::from(!is_foot);
                let radius = L::splat(sphere.radius_m);
                let bottom = height + dot(up_link, splat3(sphere.center)) - radius;
                let near = bottom.lt(ceiling);
                if !is_foot && !L::any(near) {
                    continue;
                }
                let center = add(*origin, rotate(frame, splat3(sphere.center)));
                let at = add(position, rotate(self.rotation, center));
                let (ground_height, normal) = scene.ground(at[0], at[1]);
                let gap = (at[2] - ground_height) * normal[2] - radius;
                let active = L::and(near, gap.lt(margin));
                if !is_foot && !L::any(active) {
                    continue;
                }
                let (mut normal_base, mut tangents_base) = (up, flat_tangents);
                if !scene.is_flat() {
                    normal_base = rotate_back(self.rotation, normal);
                    let [t1, t2] = tangents(normal);
                    tangents_base = [
                        rotate_back(self.rotation, t1),
                        rotate_back(self.rotation, t2),
                    ];
                }
                encounters.push(Encounter {
                    touch: Touch {
                        gap,
                        point: add_scaled(center, -radius, normal_base),
                        normal: normal_base,
                    },
                    tangents: tangents_base,
                    active,
                    leg: l,
                    link: link_number(i),
                    class: L::splat(sphere.class as u8 as f32),
                    sphere: Some(sphere_number),
                    obstacle_velocity: None,
                });
            }
        }
    }

    /// Each patch of the base, and the deepest patch of each leg.
    #[inline(always)]
    fn find_obstacles(&self, margin: L, encounters: &mut Vec<Encounter<L>>) {
        let (model, block) = (self.model, self.block);
        let time_s = block.state.physics_steps * L::splat(model.step_s);
        if block.scene.nearest(0).is_none() {
            return;
        }
        let reach = self.reach() + margin;
        for slot in 0..NEAREST {
            let Some(obstacle) = block.scene.nearest(slot) else {
                break;
            };
            let from_center = sub(block.state.position, obstacle.center_at(time_s));
            let near = distance_bound(obstacle, from_center).lt(reach);
            if !L::any(near) {
                continue;
            }
            let obstacle = BaseObstacle::new(obstacle, self.rotation, block.state.position, time_s);
            let mut best = Touch::far();
            let (mut class, mut best_link) = (L::zero(), L::zero());
            for index in 0..=model.legs.len() * N {
                let (l, i, link) = self.link(index);
                let (frame, origin) = self.frame(l, i);
                let number = link_number(i);
                if i == Some(0) {
                    best = Touch::far();
                }
                for k in 0..link.patches.len() {
                    let patch = &link.patches[k];
                    let touch = obstacle.touch(patch, frame, *origin);
                    if i.is_none() {
                        best = Touch::far();
                    }
                    let deeper = touch.gap.lt(best.gap);
                    best = Touch::select(deeper, &touch, &best);
                    class = L::select(deeper, L::splat(patch.class as u8 as f32), class);
                    best_link = L::select(deeper, number, best_link);
                    // Of the base every patch counts, of a leg the deepest.
                    let is_last = i == Some(N - 1) && k + 1 == link.patches.len();
                    let active = L::and(near, best.gap.lt(margin));
                    if (i.is_none() || is_last) && L::any(active) {
                        encounters.push(Encounter {
                            touch: best,
                            tangents: tangents(best.normal),
                            active,
                            leg: l,
                            link: best_link,
                            class,
                            sphere: None,
                            obstacle_velocity: Some(obstacle.velocity),
                        });
                    }
                }
            }
        }
    }
}

/// Number of a link in its leg, in lanes.
#[inline(always)]
fn link_number<L: Lanes>(i: Option<usize>) -> L {
    match i {
        Some(i) => L::splat(i as f32),
        None => L::splat(BASE_LINK),
    }
}
