//! Contact candidates: where a robot may touch its surroundings in this step, spheres against the ground and collision features
//! against obstacles.

use super::{
    block::Block,
    dynamics::LegDynamics,
    geometry::{BaseObstacle, ContactPoint, distance_bound},
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
pub(super) struct ContactCandidate<L: Lanes> {
    pub touch: ContactPoint<L>,
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
pub(super) struct ContactDetection<'a, L: Lanes, const N: usize> {
    pub model: &'a Model<N>,
    pub block: &'a Block<L, N>,
    pub legs: &'a [LegDynamics<L, N>],
    /// Base axes in the world frame, as columns.
    pub rotation: &'a Rotation<L>,
    /// The base in its own axes.
    pub base_frame: (Rotation<L>, V3<L>),
}

impl<L: Lanes, const N: usize> ContactDetection<'_, L, N> {
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

    /// Finds all contact candidates that concern any lane, and those of the feet.
    #[inline(always)]
    pub fn find(&self, candidates: &mut Vec<ContactCandidate<L>>) {
        candidates.clear();
        let margin = L::splat(SPECULATIVE_MPS * self.model.step_s);
        self.find_ground(margin, candidates);
        self.find_obstacles(margin, candidates);
    }

    #[inline(always)]
    fn find_ground(&self, margin: L, candidates: &mut Vec<ContactCandidate<L>>) {
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
                candidates.push(ContactCandidate {
                    touch: ContactPoint {
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

    /// Each feature of the base, and the deepest feature of each leg.
    #[inline(always)]
    fn find_obstacles(&self, margin: L, candidates: &mut Vec<ContactCandidate<L>>) {
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
            let mut best = ContactPoint::far();
            let (mut class, mut best_link) = (L::zero(), L::zero());
            for index in 0..=model.legs.len() * N {
                let (l, i, link) = self.link(index);
                let (frame, origin) = self.frame(l, i);
                let number = link_number(i);
                if i == Some(0) {
                    best = ContactPoint::far();
                }
                for k in 0..link.features.len() {
                    let feature = &link.features[k];
                    let touch = obstacle.touch(feature, frame, *origin);
                    if i.is_none() {
                        best = ContactPoint::far();
                    }
                    let deeper = touch.gap.lt(best.gap);
                    best = ContactPoint::select(deeper, &touch, &best);
                    class = L::select(deeper, L::splat(feature.class as u8 as f32), class);
                    best_link = L::select(deeper, number, best_link);
                    // Of the base every feature counts, of a leg the deepest.
                    let is_last = i == Some(N - 1) && k + 1 == link.features.len();
                    let active = L::and(near, best.gap.lt(margin));
                    if (i.is_none() || is_last) && L::any(active) {
                        candidates.push(ContactCandidate {
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
