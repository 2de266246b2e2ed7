//! Contacts: whitened rows and projected Gauss-Seidel.
//!
//! A contact has three rows, along its normal and two tangents. A row's Jacobian `j` (base 6, one leg n) is whitened to
//! `w = K^-1 j^T` (see [`super::dynamics`]), so its velocity is `w . z`, its impulse `p` acts as `z += p w`, and its
//! inverse effective mass is `w . w`; no matrix between contacts is built. Each sweep solves the normal, then both
//! tangents: as an exact 2 x 2 block where that sticks, else by a scalar step projected onto the friction disc, whose fixed
//! point is friction against the slip. A gap may close within the step, not more;
//! penetration is pushed out at a bounded speed.

use super::{
    candidates::ContactCandidate,
    dynamics::{BaseDynamics, LegDynamics, dot6},
    lanes::Lanes,
    vector::*,
};
use crate::engine::CONTACT_WEIGHT;

/// Fraction of the penetration that is removed per step, at most.
const ERROR_REDUCTION: f32 = 0.2;
/// Fastest removal of penetration, m/s.
const PUSH_OUT_MPS: f32 = 1.0;
/// Compliance of the normal row, as a fraction of its inverse effective mass, at least.
const COMPLIANCE: f32 = 0.02;
/// Slower impacts do not bounce, m/s.
const BOUNCE_MPS: f32 = 0.3;
/// Speed of approach that keeps a contact asleep, m/s.
const NEVER_MPS: f32 = 1e9;

/// What the robot's contacts are like.
#[derive(Clone, Copy)]
pub(super) struct Ground<L> {
    pub friction: L,
    pub restitution: L,
    /// Compliance of the normal row, as a fraction of its inverse effective mass.
    pub compliance: L,
    /// Fraction of the penetration that is removed per step.
    pub error_reduction: L,
}

/// Compliance and error reduction of a contact with this time constant, not harder than the hardest.
pub(super) fn softness(time_constant_s: f32, step_s: f32) -> (f32, f32) {
    if time_constant_s <= 0.0 {
        return (COMPLIANCE, ERROR_REDUCTION);
    }
    // Stiffness w m / T^2 and damping 2 w m / T as an implicit step has them.
    let x = step_s / time_constant_s;
    let compliance = 1.0 / (CONTACT_WEIGHT * x * (x + 2.0));
    (
        compliance.max(COMPLIANCE),
        (x / (x + 2.0)).min(ERROR_REDUCTION),
    )
}

/// A contact of the step. Those of the base are rows of leg 0 in which no joint takes part.
#[derive(Clone, Copy)]
pub(super) struct Contact<L, const N: usize> {
    pub leg: usize,
    /// The number of the sphere that touches the ground, feet first. Such contacts are warm-started.
    pub sphere: Option<usize>,
    /// Class of the touching shape, one number per lane.
    pub class: L,
    /// Normal and tangents in base axes.
    pub frame: [V3<L>; 3],
    /// Impulses along them.
    pub impulse: [L; 3],
    /// Whitened rows.
    base_rows: [[L; 6]; 3],
    leg_rows: [[L; N]; 3],
    bias: [L; 3],
    /// Speed at which the gap may close.
    approach: L,
    normal_softness: L,
    normal_inverse: L,
    normal_to_tangent: [L; 2],
    tangent_inverse: [L; 3],
    tangent_step: L,
    friction: L,
}

impl<L: Lanes, const N: usize> Contact<L, N> {
    pub fn zero() -> Self {
        let zero = L::zero();
        Self {
            leg: 0,
            sphere: None,
            class: zero,
            frame: [[zero; 3]; 3],
            impulse: [zero; 3],
            base_rows: [[zero; 6]; 3],
            leg_rows: [[zero; N]; 3],
            bias: [zero; 3],
            approach: zero,
            normal_softness: zero,
            normal_inverse: zero,
            normal_to_tangent: [zero; 2],
            tangent_inverse: [zero; 3],
            tangent_step: zero,
            friction: zero,
        }
    }

    /// Builds the rows. Lanes where the candidate is not active keep asleep.
    #[inline(always)]
    pub fn assemble(
        &mut self,
        candidate: &ContactCandidate<L>,
        leg: &LegDynamics<L, N>,
        base: &BaseDynamics<L>,
        ground: &Ground<L>,
        inverse_step: L,
    ) {
        let zero = L::zero();
        let touch = &candidate.touch;
        let frame = [touch.normal, candidate.tangents[0], candidate.tangents[1]];
        let mut levers = [[zero; 3]; N];
        for i in 0..N {
            let lever = cross(leg.axis[i], sub(touch.point, leg.origin[i]));
            let unmoved = candidate.link.lt(L::splat(i as f32));
            levers[i] = select3(unmoved, zero3(), lever);
        }
        for k in 0..3 {
            let moment = cross(touch.point, frame[k]);
            let [x, y, z] = frame[k];
            let mut row = [x, y, z, moment[0], moment[1], moment[2]];
            let mut joints = [zero; N];
            for i in 0..N {
                joints[i] = dot(levers[i], frame[k]);
            }
            self.leg_rows[k] = leg.whiten(&joints);
            leg.move_to_base(&self.leg_rows[k], &mut row);
            self.base_rows[k] = base.whiten(&row);
        }

        let gap_speed = touch.gap * inverse_step;
        let push_out = (gap_speed * ground.error_reduction).max(L::splat(-PUSH_OUT_MPS));
        let approach = L::select(zero.lt(touch.gap), gap_speed, push_out);
        self.approach = L::select(candidate.active, approach, L::splat(NEVER_MPS));
        self.bias = [self.approach, zero, zero];
        if let Some(velocity) = candidate.obstacle_velocity {
            for k in 0..3 {
                self.bias[k] = self.bias[k] - dot(frame[k], velocity);
            }
        }
        let normal_mass = self.product(0, 0);
        let (t11, t12, t22) = (self.product(1, 1), self.product(1, 2), self.product(2, 2));
        let inverse_determinant = (t11 * t22 - t12 * t12).recip();
        self.leg = candidate.leg;
        self.sphere = candidate.sphere;
        self.class = candidate.class;
        self.frame = frame;
        self.impulse = [zero; 3];
        self.normal_softness = normal_mass * ground.compliance;
        self.normal_inverse = (normal_mass * (L::splat(1.0) + ground.compliance)).recip();
        self.normal_to_tangent = [self.product(0, 1), self.product(0, 2)];
        self.tangent_inverse = [
            t22 * inverse_determinant,
            -t12 * inverse_determinant,
            t11 * inverse_determinant,
        ];
        self.tangent_step = L::splat(2.0) * (t11 + t22).recip();
        self.friction = ground.friction;
    }

    /// Throws back what hits within the step.
    #[inline(always)]
    pub fn bounce(&mut self, restitution: L, z_base: &[L; 6], z_leg: &[L; N]) {
        let error = self.velocity(0, z_base, z_leg);
        let speed = error - self.approach;
        let zero = L::zero();
        let mut change = restitution * speed - self.approach;
        change = L::select(zero.lt(restitution), change, zero);
        change = L::select(speed.lt(L::splat(-BOUNCE_MPS)), change, zero);
        change = L::select(error.lt(zero), change, zero);
        self.bias[0] = self.bias[0] + change;
    }

    /// Starts from the impulses of the step before.
    #[inline(always)]
    pub fn warm_start(&mut self, impulse: [L; 3], z_base: &mut [L; 6], z_leg: &mut [L; N]) {
        let is_awake = self.bias[0].lt(L::splat(0.5 * NEVER_MPS));
        self.impulse = select3(is_awake, impulse, zero3());
        self.apply(self.impulse, z_base, z_leg);
    }

    /// One visit of the Gauss-Seidel sweep. The three row velocities are taken at once; what the normal impulse adds to
    /// the tangents comes from the rows' products, which shortens the chain of dependent operations.
    #[inline(always)]
    pub fn solve(&mut self, z_base: &mut [L; 6], z_leg: &mut [L; N]) {
        let old = self.impulse;
        let speed = [
            self.velocity(0, z_base, z_leg),
            self.velocity(1, z_base, z_leg),
            self.velocity(2, z_base, z_leg),
        ];
        let error = speed[0] + self.normal_softness * old[0];
        let normal = (old[0] - error * self.normal_inverse).max(L::zero());
        let change = normal - old[0];
        let slip = [
            speed[1] + self.normal_to_tangent[0] * change,
            speed[2] + self.normal_to_tangent[1] * change,
        ];

        let [i11, i12, i22] = self.tangent_inverse;
        let limit = self.friction * normal;
        let mut t1 = old[1] - (i11 * slip[0] + i12 * slip[1]);
        let mut t2 = old[2] - (i12 * slip[0] + i22 * slip[1]);
        let slides = (limit * limit).lt(t1 * t1 + t2 * t2);
        if L::any(slides) {
            let slide = [
                old[1] - slip[0] * self.tangent_step,
                old[2] - slip[1] * self.tangent_step,
            ];
            let length2 = slide[0] * slide[0] + slide[1] * slide[1] + L::splat(1e-20);
            let shrink = (limit * length2.rsqrt()).min(L::splat(1.0));
            t1 = L::select(slides, slide[0] * shrink, t1);
            t2 = L::select(slides, slide[1] * shrink, t2);
        }
        self.apply([change, t1 - old[1], t2 - old[2]], z_base, z_leg);
        self.impulse = [normal, t1, t2];
    }

    /// Impulse on the robot in base axes.
    #[inline(always)]
    pub fn impulse_base(&self) -> V3<L> {
        let normal = scale(self.frame[0], self.impulse[0]);
        let with_first = add_scaled(normal, self.impulse[1], self.frame[1]);
        add_scaled(with_first, self.impulse[2], self.frame[2])
    }

    #[inline(always)]
    fn velocity(&self, row: usize, z_base: &[L; 6], z_leg: &[L; N]) -> L {
        let mut sum = self.bias[row];
        for i in 0..N {
            sum = sum + self.leg_rows[row][i] * z_leg[i];
        }
        dot6(&self.base_rows[row], z_base) + sum
    }

    #[inline(always)]
    fn apply(&self, impulse: [L; 3], z_base: &mut [L; 6], z_leg: &mut [L; N]) {
        for r in 0..6 {
            let tangents = self.base_rows[1][r] * impulse[1] + self.base_rows[2][r] * impulse[2];
            z_base[r] = (z_base[r] + self.base_rows[0][r] * impulse[0]) + tangents;
        }
        for i in 0..N {
            let tangents = self.leg_rows[1][i] * impulse[1] + self.leg_rows[2][i] * impulse[2];
            z_leg[i] = (z_leg[i] + self.leg_rows[0][i] * impulse[0]) + tangents;
        }
    }

    /// Scalar product of two whitened rows.
    #[inline(always)]
    fn product(&self, a: usize, b: usize) -> L {
        let mut sum = dot6(&self.base_rows[a], &self.base_rows[b]);
        for i in 0..N {
            sum = sum + self.leg_rows[a][i] * self.leg_rows[b][i];
        }
        sum
    }
}
