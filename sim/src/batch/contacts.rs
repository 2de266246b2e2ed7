//! Contacts: whitened rows and projected Gauss-Seidel.
//!
//! A contact has three rows, along its normal and two tangents. A row's Jacobian `j` (base 6, one leg n) is whitened to
//! `w = K^-1 j^T` (see [`super::dynamics`]), so its velocity is `w . z`, its impulse `p` acts as `z += p w`, and its
//! inverse effective mass is `w . w`; no matrix between contacts is built. Each sweep solves the normal, then both
//! tangents: as an exact 2 x 2 block where that sticks, else by a scalar step projected onto the friction disc, whose fixed
//! point is friction against the slip. A gap may close within the step, not more;
//! penetration is pushed out at a bounded speed.

use super::{
    dynamics::{Base, Leg, dot6},
    geometry::Touch,
    lanes::Lanes,
    vector::*,
};

/// Share of the penetration that is removed per step.
const ERROR_REDUCTION: f32 = 0.2;
/// Fastest removal of penetration, m/s.
const PUSH_OUT_MPS: f32 = 1.0;
/// Compliance of the normal row, as a share of its inverse effective mass.
const COMPLIANCE: f32 = 0.02;
/// Speed of approach that keeps a contact asleep, m/s.
const NEVER_MPS: f32 = 1e9;

/// Which body a contact belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// The base.
    Base,
    /// A leg, by number.
    Leg(usize),
}

/// A contact of the step.
#[derive(Clone, Copy)]
pub(super) struct Contact<L, const N: usize> {
    pub body: Body,
    /// The number of the sphere that touches the ground, feet first. Such contacts are warm-started.
    pub sphere: Option<usize>,
    /// Class of the touching shape, one number per lane.
    pub class: L,
    /// Normal and tangents in base axes.
    pub frame: [V3<L>; 3],
    /// Impulses along them.
    pub impulse: [L; 3],
    /// Whitened rows.
    base: [[L; 6]; 3],
    leg: [[L; N]; 3],
    bias: [L; 3],
    normal_softness: L,
    normal_inverse: L,
    tangent_inverse: [L; 3],
    tangent_step: L,
    friction: L,
}

/// What a contact touches with, on which links.
pub(super) struct Site<'a, L: Lanes, const N: usize> {
    pub body: Body,
    /// The leg and for each of its joints 1 where the joint moves the point, else 0.
    pub leg: Option<(&'a Leg<L, N>, [L; N])>,
    pub class: L,
    pub sphere: Option<usize>,
}

/// The solver's view of a step.
pub(super) struct StepTerms<L> {
    pub inverse_step: L,
    pub friction: L,
}

impl<L: Lanes, const N: usize> Contact<L, N> {
    /// `active` lanes only; the others keep asleep. `obstacle_velocity` in base axes.
    #[inline(always)]
    pub fn new(
        site: &Site<'_, L, N>,
        base: &Base<L>,
        touch: &Touch<L>,
        frame: [V3<L>; 3],
        obstacle_velocity: Option<V3<L>>,
        active: L::Mask,
        terms: &StepTerms<L>,
    ) -> Self {
        let zero = L::zero();
        let mut rows = [[zero; 6]; 3];
        let mut leg_rows = [[zero; N]; 3];
        let mut levers = [[zero; 3]; N];
        if let Some((leg, moves)) = &site.leg {
            for i in 0..N {
                let lever = cross(leg.axis[i], sub(touch.point, leg.origin[i]));
                levers[i] = scale(lever, moves[i]);
            }
        }
        for k in 0..3 {
            let direction = frame[k];
            let moment = cross(touch.point, direction);
            let mut row = [
                direction[0],
                direction[1],
                direction[2],
                moment[0],
                moment[1],
                moment[2],
            ];
            if let Some((leg, _)) = &site.leg {
                let mut joints = [zero; N];
                for i in 0..N {
                    joints[i] = dot(levers[i], direction);
                }
                leg_rows[k] = leg.whiten(&joints);
                leg.move_to_base(&leg_rows[k], &mut row);
            }
            rows[k] = base.whiten(&row);
        }

        let gap_speed = touch.gap * terms.inverse_step;
        let push_out = (gap_speed * L::splat(ERROR_REDUCTION)).max(L::splat(-PUSH_OUT_MPS));
        let approach = L::select(zero.lt(touch.gap), gap_speed, push_out);
        let mut bias = [L::select(active, approach, L::splat(NEVER_MPS)), zero, zero];
        if let Some(velocity) = obstacle_velocity {
            for k in 0..3 {
                bias[k] = bias[k] - dot(frame[k], velocity);
            }
        }
        let normal_mass = product(&rows, &leg_rows, 0, 0);
        let (t11, t12, t22) = (
            product(&rows, &leg_rows, 1, 1),
            product(&rows, &leg_rows, 1, 2),
            product(&rows, &leg_rows, 2, 2),
        );
        let inverse_determinant = (t11 * t22 - t12 * t12).recip();
        Self {
            body: site.body,
            sphere: site.sphere,
            class: site.class,
            frame,
            impulse: [zero; 3],
            base: rows,
            leg: leg_rows,
            bias,
            normal_softness: normal_mass * L::splat(COMPLIANCE),
            normal_inverse: (normal_mass * L::splat(1.0 + COMPLIANCE)).recip(),
            tangent_inverse: [
                t22 * inverse_determinant,
                -t12 * inverse_determinant,
                t11 * inverse_determinant,
            ],
            tangent_step: L::splat(2.0) * (t11 + t22).recip(),
            friction: terms.friction,
        }
    }

    /// Starts from the impulses of the step before.
    #[inline(always)]
    pub fn warm_start(&mut self, impulse: [L; 3], z_base: &mut [L; 6], z_legs: &mut [[L; N]]) {
        let is_awake = self.bias[0].lt(L::splat(0.5 * NEVER_MPS));
        self.impulse = select3(is_awake, impulse, zero3());
        for k in 0..3 {
            self.apply(k, self.impulse[k], z_base, z_legs);
        }
    }

    /// One visit of the Gauss-Seidel sweep.
    #[inline(always)]
    pub fn solve(&mut self, z_base: &mut [L; 6], z_legs: &mut [[L; N]]) {
        let zero = L::zero();
        let old = self.impulse;
        let error = self.velocity(0, z_base, z_legs) + self.normal_softness * old[0];
        let normal = (old[0] - error * self.normal_inverse).max(zero);
        self.apply(0, normal - old[0], z_base, z_legs);

        let slip = [
            self.velocity(1, z_base, z_legs),
            self.velocity(2, z_base, z_legs),
        ];
        let [i11, i12, i22] = self.tangent_inverse;
        let limit = self.friction * normal;
        let stick = [
            old[1] - (i11 * slip[0] + i12 * slip[1]),
            old[2] - (i12 * slip[0] + i22 * slip[1]),
        ];
        let slides = (limit * limit).lt(stick[0] * stick[0] + stick[1] * stick[1]);
        let slide = [
            old[1] - slip[0] * self.tangent_step,
            old[2] - slip[1] * self.tangent_step,
        ];
        let length2 = slide[0] * slide[0] + slide[1] * slide[1] + L::splat(1e-20);
        let shrink = (limit * length2.rsqrt()).min(L::splat(1.0));
        let t1 = L::select(slides, slide[0] * shrink, stick[0]);
        let t2 = L::select(slides, slide[1] * shrink, stick[1]);
        self.apply(1, t1 - old[1], z_base, z_legs);
        self.apply(2, t2 - old[2], z_base, z_legs);
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
    fn velocity(&self, row: usize, z_base: &[L; 6], z_legs: &[[L; N]]) -> L {
        let mut sum = dot6(&self.base[row], z_base) + self.bias[row];
        if let Body::Leg(leg) = self.body {
            for i in 0..N {
                sum = sum + self.leg[row][i] * z_legs[leg][i];
            }
        }
        sum
    }

    #[inline(always)]
    fn apply(&self, row: usize, impulse: L, z_base: &mut [L; 6], z_legs: &mut [[L; N]]) {
        for r in 0..6 {
            z_base[r] = z_base[r] + self.base[row][r] * impulse;
        }
        if let Body::Leg(leg) = self.body {
            for i in 0..N {
                z_legs[leg][i] = z_legs[leg][i] + self.leg[row][i] * impulse;
            }
        }
    }
}

#[inline(always)]
fn product<L: Lanes, const N: usize>(
    base: &[[L; 6]; 3],
    leg: &[[L; N]; 3],
    a: usize,
    b: usize,
) -> L {
    let mut sum = dot6(&base[a], &base[b]);
    for i in 0..N {
        sum = sum + leg[a][i] * leg[b][i];
    }
    sum
}

/// Two directions that complete a unit vector to a right-handed basis (Duff et al. 2017).
#[inline(always)]
pub(super) fn tangents<L: Lanes>(n: V3<L>) -> [V3<L>; 2] {
    let one = L::splat(1.0);
    let sign = L::select(n[2].lt(L::zero()), -one, one);
    let a = -(sign + n[2]).recip();
    let b = n[0] * n[1] * a;
    [
        [one + sign * n[0] * n[0] * a, sign * b, -(sign * n[0])],
        [b, sign + n[1] * n[1] * a, -n[1]],
    ]
}
