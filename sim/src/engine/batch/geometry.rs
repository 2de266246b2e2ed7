//! Distances between parts of a robot and obstacles.

use super::{lanes::Lanes, model::CollisionFeature, scene::SceneObstacle, vector::*};

/// Edges of boxes are rounded by this much while the nearest point of the robot is sought, m.
const CORE_INSET_M: f32 = 0.01;

/// The point where a robot is nearest to, or deepest in, an obstacle. Vectors in base axes.
#[derive(Clone, Copy)]
pub(super) struct ContactPoint<L> {
    /// Distance of the surfaces, m; negative inside.
    pub gap: L,
    /// Point on the robot's surface, from the base origin.
    pub point: V3<L>,
    /// From the obstacle to the robot.
    pub normal: V3<L>,
}

impl<L: Lanes> ContactPoint<L> {
    /// Farther than any.
    #[inline(always)]
    pub fn far() -> Self {
        Self {
            gap: L::splat(1e9),
            point: zero3(),
            normal: splat3([0.0, 0.0, 1.0]),
        }
    }

    /// The nearer of two.
    #[inline(always)]
    pub fn select(mask: L::Mask, a: &Self, b: &Self) -> Self {
        Self {
            gap: L::select(mask, a.gap, b.gap),
            point: select3(mask, a.point, b.point),
            normal: select3(mask, a.normal, b.normal),
        }
    }
}

/// An obstacle in base axes, from the base origin.
pub(super) struct BaseObstacle<L: Lanes> {
    pub center: V3<L>,
    pub velocity: V3<L>,
    axes: Rotation<L>,
    half: V3<L>,
    is_box: L::Mask,
    any_box: bool,
    /// Whether ends must be looked at in any lane, and in which.
    any_low: bool,
    is_low: L::Mask,
}

impl<L: Lanes> BaseObstacle<L> {
    /// `base` holds the base axes in the world frame, `position` the base origin.
    #[inline(always)]
    pub fn new(
        obstacle: &SceneObstacle<L>,
        base: &Rotation<L>,
        position: V3<L>,
        time_s: L,
    ) -> Self {
        let at = obstacle.center_at(time_s);
        let is_box = L::zero().lt(obstacle.is_box);
        let is_low = L::zero().lt(obstacle.is_low);
        let any_box = L::any(is_box);
        let mut axes = [zero3(), zero3(), rotate_back(base, obstacle.axes[2])];
        if any_box {
            axes[0] = rotate_back(base, obstacle.axes[0]);
            axes[1] = rotate_back(base, obstacle.axes[1]);
        }
        Self {
            center: rotate_back(base, sub(at, position)),
            velocity: rotate_back(base, obstacle.velocity),
            axes,
            half: obstacle.half,
            is_box,
            any_box,
            any_low: L::any(is_low),
            is_low,
        }
    }

    /// Signed distance of a point and its direction.
    #[inline(always)]
    fn distance(&self, point: V3<L>) -> (L, V3<L>) {
        let d = sub(point, self.center);
        // A cylinder in the plane of its axis and the point is a rectangle.
        let along = dot(d, self.axes[2]);
        let radial = add_scaled(d, -along, self.axes[2]);
        let radius2 = dot(radial, radial) + L::splat(1e-12);
        let inverse_radius = radius2.rsqrt();
        let up = sign(along);
        let mut directions = [
            scale(radial, inverse_radius),
            zero3(),
            scale(self.axes[2], up),
        ];
        let mut excess = [
            radius2 * inverse_radius - self.half[0],
            L::splat(-1e9),
            along.abs() - self.half[2],
        ];
        if self.any_box {
            for k in 0..2 {
                let along = dot(d, self.axes[k]);
                let toward = scale(self.axes[k], sign(along));
                directions[k] = select3(self.is_box, toward, directions[k]);
                excess[k] = L::select(self.is_box, along.abs() - self.half[k], excess[k]);
            }
        }
        let zero = L::zero();
        let outside = [
            excess[0].max(zero),
            excess[1].max(zero),
            excess[2].max(zero),
        ];
        let outside2 = dot(outside, outside);
        let is_outside = L::splat(1e-12).lt(outside2);
        let inverse = (outside2 + L::splat(1e-24)).rsqrt();
        // Inside, the nearest face.
        let deepest = excess[0].max(excess[1]).max(excess[2]);
        let mut normal = directions[0];
        normal = select3(excess[0].lt(excess[1]), directions[1], normal);
        normal = select3(
            excess[0].max(excess[1]).lt(excess[2]),
            directions[2],
            normal,
        );
        let mut outward = scale(directions[0], outside[0]);
        outward = add_scaled(outward, outside[1], directions[1]);
        outward = add_scaled(outward, outside[2], directions[2]);
        (
            L::select(is_outside, outside2 * inverse, deepest),
            select3(is_outside, scale(outward, inverse), normal),
        )
    }

    /// The point of the box, slightly shrunk, that is nearest to `point`.
    #[inline(always)]
    fn core_point(&self, point: V3<L>) -> V3<L> {
        let d = sub(point, self.center);
        let mut out = self.center;
        for k in 0..3 {
            let half = (self.half[k] - L::splat(CORE_INSET_M)).max(L::zero());
            let along = dot(d, self.axes[k]).clamp(-half, half);
            out = add_scaled(out, along, self.axes[k]);
        }
        out
    }

    /// Where a feature is deepest. `frame` and `origin` place the feature's link.
    #[inline(always)]
    pub fn touch(
        &self,
        feature: &CollisionFeature,
        frame: &Rotation<L>,
        origin: V3<L>,
    ) -> ContactPoint<L> {
        let center = add(origin, rotate(frame, splat3(feature.center)));
        let (mut u, mut v) = (zero3(), zero3());
        let (mut s, mut t) = (L::zero(), L::zero());
        let mut corners = 0;
        if feature.u2 > 0.0 {
            u = rotate(frame, splat3(feature.u));
            corners = 2;
            if feature.v2 > 0.0 {
                v = rotate(frame, splat3(feature.v));
                corners = 4;
            }
            (s, t) = self.nearest_to_axis(sub(center, self.center), u, v, feature);
            if self.any_box {
                let (box_s, box_t) = self.nearest_to_box(center, u, v, feature);
                s = L::select(self.is_box, box_s, s);
                t = L::select(self.is_box, box_t, t);
            }
        }
        if !self.any_low {
            corners = 0;
        }
        let mut best = ContactPoint::far();
        for candidate in 0..=corners {
            let point = add_scaled(add_scaled(center, s, u), t, v);
            let touch = self.touch_at(point, feature.radius_m);
            let mut better = touch.gap.lt(best.gap);
            if candidate > 0 {
                better = L::and(self.is_low, better);
            }
            best = ContactPoint::select(better, &touch, &best);
            // A flat face meets an end or a corner first.
            s = L::splat(if candidate & 1 == 0 { -1.0 } else { 1.0 });
            t = L::splat(if candidate & 2 == 0 { -1.0 } else { 1.0 });
        }
        best
    }

    #[inline(always)]
    fn touch_at(&self, center: V3<L>, radius_m: f32) -> ContactPoint<L> {
        let (distance, normal) = self.distance(center);
        let radius = L::splat(radius_m);
        ContactPoint {
            gap: distance - radius,
            point: add_scaled(center, -radius, normal),
            normal,
        }
    }

    /// Coordinates in [-1, 1] of the point of a feature at `center` from the obstacle that is nearest to its axis: a
    /// quadratic function, minimized by turns.
    #[inline(always)]
    fn nearest_to_axis(
        &self,
        center: V3<L>,
        u: V3<L>,
        v: V3<L>,
        feature: &CollisionFeature,
    ) -> (L, L) {
        let axis = self.axes[2];
        let (center_a, u_a) = (dot(center, axis), dot(u, axis));
        // A segment along the axis is equally near everywhere: its middle is preferred.
        let soft = 1.001;
        let uu = (L::splat(feature.u2 * soft) - u_a * u_a).recip();
        let u_center = dot(center, u) - center_a * u_a;
        let one = L::splat(1.0);
        let mut s = (-u_center * uu).clamp(-one, one);
        let mut t = L::zero();
        if feature.v2 > 0.0 {
            let v_a = dot(v, axis);
            let vv = (L::splat(feature.v2 * soft) - v_a * v_a).recip();
            let v_center = dot(center, v) - center_a * v_a;
            let uv = -u_a * v_a;
            for _ in 0..2 {
                t = (-(v_center + uv * s) * vv).clamp(-one, one);
                s = (-(u_center + uv * t) * uu).clamp(-one, one);
            }
        }
        (s, t)
    }

    /// The same for a box, by projections to and fro (J. von Neumann 1933).
    #[inline(always)]
    fn nearest_to_box(
        &self,
        center: V3<L>,
        u: V3<L>,
        v: V3<L>,
        feature: &CollisionFeature,
    ) -> (L, L) {
        let one = L::splat(1.0);
        let inverse_u2 = L::splat(1.0 / feature.u2);
        let inverse_v2 = L::splat(if feature.v2 > 0.0 {
            1.0 / feature.v2
        } else {
            0.0
        });
        let (mut s, mut t) = (L::zero(), L::zero());
        for _ in 0..3 {
            let core = self.core_point(add_scaled(add_scaled(center, s, u), t, v));
            let to_core = sub(core, center);
            s = (dot(to_core, u) * inverse_u2).clamp(-one, one);
            t = (dot(to_core, v) * inverse_v2).clamp(-one, one);
        }
        (s, t)
    }
}

/// A lower bound of the distance between an obstacle and a point at `d` from its centre.
#[inline(always)]
pub(super) fn distance_bound<L: Lanes>(obstacle: &SceneObstacle<L>, d: V3<L>) -> L {
    let across = (d[0] * d[0] + d[1] * d[1]).sqrt() - obstacle.half[0];
    let is_box = L::zero().lt(obstacle.is_box);
    if !L::any(is_box) {
        return across;
    }
    let local = rotate_back(&obstacle.axes, d);
    let mut outside = zero3();
    for k in 0..3 {
        outside[k] = (local[k].abs() - obstacle.half[k]).max(L::zero());
    }
    L::select(is_box, dot(outside, outside).sqrt(), across)
}

#[inline(always)]
fn sign<L: Lanes>(x: L) -> L {
    L::select(x.lt(L::zero()), L::splat(-1.0), L::splat(1.0))
}
