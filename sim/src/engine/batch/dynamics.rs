//! Equations of motion of a floating base with legs, and their factorization.
//!
//! All vectors are in base axes, all moments about the base origin. Seen from the inertial frame that coincides with the
//! base frame now and moves with its present velocity, the base velocity is `(0, omega)` and spatial acceleration of the
//! base is its true acceleration, so that the bias forces depend on the angular velocity and the joint velocities only
//! (Featherstone, *Rigid Body Dynamics Algorithms*, 2008, chapters 2, 5 and 6):
//!
//! - composite-rigid-body: the inertia of all links behind joint i gives the momentum `(l, k)` of a unit velocity of the
//!   joint; projected on the joint axes it is the leg's n x n block `H`, as it is the 6 x n coupling `C` to the base;
//! - recursive Newton-Euler without gravity gives the bias forces. Gravity is an acceleration of the base.
//!
//! Legs first, base last, the mass matrix `M` factors into `K K^T` without fill-in: `H = L L^T` for each leg, `Y = C L^-T`,
//! and `B - sum Y Y^T = L_b L_b^T` for the base. The solver works on whitened velocities `z = K^T v`, in which an impulse
//! `p` along a Jacobian row `j` acts as `z += K^-1 j^T p`.

use super::{
    lanes::Lanes,
    model::{JointModel, LinkModel},
    vector::*,
};

/// Rigid-body inertia about the base origin: mass, first moment, second moments.
#[derive(Clone, Copy)]
pub(super) struct Inertia<L> {
    pub mass: L,
    pub first: V3<L>,
    pub second: Sym3<L>,
}

/// Kinematics and dynamics of one leg.
#[derive(Clone, Copy)]
pub(super) struct LegDynamics<L, const N: usize> {
    /// Link frames, columns in base axes.
    pub rotation: [Rotation<L>; N],
    /// Joint origins.
    pub origin: [V3<L>; N],
    /// Joint axes.
    pub axis: [V3<L>; N],
    /// Velocity that a unit velocity of the joint gives to the body-fixed point at the base origin.
    pub axis_moment: [V3<L>; N],
    /// `H`, lower triangle; its Cholesky factor after `factor`.
    pub mass: [[L; N]; N],
    /// Inverse diagonal of the factor.
    pub inverse_diagonal: [L; N],
    /// Columns of `C`, linear then angular; of `Y` after `factor`.
    pub coupling: [[L; 6]; N],
    /// Bias torques.
    pub bias: [L; N],
}

/// Inertia and bias force of a leg as the base feels them.
pub(super) struct LegLoad<L> {
    pub inertia: Inertia<L>,
    pub force: V3<L>,
    pub moment: V3<L>,
}

impl<L: Lanes, const N: usize> LegDynamics<L, N> {
    pub fn zero() -> Self {
        let zero = L::zero();
        Self {
            rotation: [[[zero; 3]; 3]; N],
            origin: [[zero; 3]; N],
            axis: [[zero; 3]; N],
            axis_moment: [[zero; 3]; N],
            mass: [[zero; N]; N],
            inverse_diagonal: [zero; N],
            coupling: [[zero; 6]; N],
            bias: [zero; N],
        }
    }

    /// Link poses, mass matrix blocks and bias forces, of links that are `link_mass` times as heavy as the model.
    #[inline(always)]
    pub fn update(
        &mut self,
        model: &[JointModel; N],
        link_mass: Option<&[L; N]>,
        position: &[L; N],
        velocity: &[L; N],
        base_omega: V3<L>,
    ) -> LegLoad<L> {
        let mut inertias = [Inertia {
            mass: L::zero(),
            first: zero3(),
            second: [L::zero(); 6],
        }; N];
        let (mut forces, mut moments) = ([zero3(); N], [zero3(); N]);
        let (one, zero) = (L::splat(1.0), L::zero());
        let mut frame = [[one, zero, zero], [zero, one, zero], [zero, zero, one]];
        let mut origin = zero3();
        let (mut omega, mut alpha, mut acceleration) = (base_omega, zero3(), zero3());
        for i in 0..N {
            let joint = &model[i];
            let arm = if i == 0 {
                splat3(joint.origin)
            } else {
                rotate(&frame, splat3(joint.origin))
            };
            acceleration = add(acceleration, point_acceleration(omega, alpha, arm));
            origin = add(origin, arm);
            let axis = turn_frame(&mut frame, joint, position[i]);
            alpha = add_scaled(alpha, velocity[i], cross(omega, axis));
            omega = add_scaled(omega, velocity[i], axis);
            self.rotation[i] = frame;
            self.origin[i] = origin;
            self.axis[i] = axis;
            self.axis_moment[i] = cross(origin, axis);

            let link = &joint.link;
            let mut mass = L::splat(link.mass_kg);
            let mut inertia = sym_rotate(&frame, &splat_sym(link));
            if let Some(link_mass) = link_mass {
                mass = mass * link_mass[i];
                for k in 0..6 {
                    inertia[k] = inertia[k] * link_mass[i];
                }
            }
            let com_arm = rotate(&frame, splat3(link.com));
            let com = add(origin, com_arm);
            let force = scale(
                add(acceleration, point_acceleration(omega, alpha, com_arm)),
                mass,
            );
            let spin = cross(omega, sym_mul(&inertia, omega));
            let moment = add(sym_mul(&inertia, alpha), spin);
            forces[i] = force;
            moments[i] = add(moment, cross(com, force));
            inertias[i] = Inertia {
                mass,
                first: scale(com, mass),
                second: add_point_inertia(&inertia, mass, com),
            };
        }
        let mut load = LegLoad {
            inertia: inertias[N - 1],
            force: forces[N - 1],
            moment: moments[N - 1],
        };
        for k in 0..N {
            let i = N - 1 - k;
            if k > 0 {
                load.inertia = load.inertia.plus(&inertias[i]);
                load.force = add(load.force, forces[i]);
                load.moment = add(load.moment, moments[i]);
            }
            let (axis, axis_moment) = (self.axis[i], self.axis_moment[i]);
            let first = load.inertia.first;
            let linear = add_scaled(cross(axis, first), load.inertia.mass, axis_moment);
            let angular = add(
                sym_mul(&load.inertia.second, axis),
                cross(first, axis_moment),
            );
            for j in 0..=i {
                self.mass[i][j] = dot(self.axis[j], angular) + dot(self.axis_moment[j], linear);
            }
            self.coupling[i] = [
                linear[0], linear[1], linear[2], angular[0], angular[1], angular[2],
            ];
            self.bias[i] = dot(axis, load.moment) + dot(axis_moment, load.force);
        }
        load
    }

    /// Cholesky factor of the leg's block, with `extra` on its diagonal, and `Y`.
    #[inline(always)]
    pub fn factor(&mut self, extra: &[L; N]) {
        for i in 0..N {
            for j in 0..i {
                let mut sum = self.mass[i][j];
                for k in 0..j {
                    sum = sum - self.mass[i][k] * self.mass[j][k];
                }
                self.mass[i][j] = sum * self.inverse_diagonal[j];
            }
            let mut pivot = self.mass[i][i] + extra[i];
            for k in 0..i {
                pivot = pivot - self.mass[i][k] * self.mass[i][k];
            }
            self.inverse_diagonal[i] = pivot.rsqrt();
            self.mass[i][i] = pivot * self.inverse_diagonal[i];
            for r in 0..6 {
                let mut sum = self.coupling[i][r];
                for k in 0..i {
                    sum = sum - self.coupling[k][r] * self.mass[i][k];
                }
                self.coupling[i][r] = sum * self.inverse_diagonal[i];
            }
        }
    }

    /// `L^-1 v`
    #[inline(always)]
    pub fn whiten(&self, v: &[L; N]) -> [L; N] {
        let mut out = *v;
        for i in 0..N {
            for k in 0..i {
                out[i] = out[i] - self.mass[i][k] * out[k];
            }
            out[i] = out[i] * self.inverse_diagonal[i];
        }
        out
    }

    /// `v -= Y w`, for `w` whitened.
    #[inline(always)]
    pub fn move_to_base(&self, w: &[L; N], v: &mut [L; 6]) {
        for i in 0..N {
            for r in 0..6 {
                v[r] = v[r] - self.coupling[i][r] * w[i];
            }
        }
    }

    /// Whitened velocities of the leg: `L^T joints + Y^T base`.
    #[inline(always)]
    pub fn whitened_velocity(&self, joints: &[L; N], base: &[L; 6]) -> [L; N] {
        let mut out = [L::zero(); N];
        for i in 0..N {
            let mut sum = self.mass[i][i] * joints[i];
            for k in i + 1..N {
                sum = sum + self.mass[k][i] * joints[k];
            }
            out[i] = sum + dot6(&self.coupling[i], base);
        }
        out
    }

    /// Joint velocities from whitened ones: `L^-T (z - Y^T base)`.
    #[inline(always)]
    pub fn joint_velocity(&self, z: &[L; N], base: &[L; 6]) -> [L; N] {
        let mut out = [L::zero(); N];
        for k in 0..N {
            let i = N - 1 - k;
            let mut sum = z[i] - dot6(&self.coupling[i], base);
            for j in i + 1..N {
                sum = sum - self.mass[j][i] * out[j];
            }
            out[i] = sum * self.inverse_diagonal[i];
        }
        out
    }
}

/// Turns the parent's link frame into the joint's; returns the joint axis.
#[inline(always)]
fn turn_frame<L: Lanes>(frame: &mut Rotation<L>, joint: &JointModel, position: L) -> V3<L> {
    if let Some(turn) = &joint.turn {
        *frame = [
            rotate(frame, splat3(turn[0])),
            rotate(frame, splat3(turn[1])),
            rotate(frame, splat3(turn[2])),
        ];
    }
    let (sin, cos) = position.sin_cos();
    let [x, y, z] = *frame;
    // A rotation about column k mixes the other two.
    match joint.axis {
        0 => {
            *frame = [x, mix(y, cos, z, sin), mix(z, cos, y, -sin)];
            x
        }
        1 => {
            *frame = [mix(x, cos, z, -sin), y, mix(z, cos, x, sin)];
            y
        }
        _ => {
            *frame = [mix(x, cos, y, sin), mix(y, cos, x, -sin), z];
            z
        }
    }
}

#[inline(always)]
fn mix<L: Lanes>(a: V3<L>, s: L, b: V3<L>, t: L) -> V3<L> {
    add_scaled(scale(a, s), t, b)
}

#[inline(always)]
pub(super) fn dot6<L: Lanes>(a: &[L; 6], b: &[L; 6]) -> L {
    (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) + (a[3] * b[3] + a[4] * b[4] + a[5] * b[5])
}

#[inline(always)]
fn splat_sym<L: Lanes>(link: &LinkModel) -> Sym3<L> {
    let mut out = [L::zero(); 6];
    for k in 0..6 {
        out[k] = L::splat(link.inertia_kgm2[k]);
    }
    out
}

impl<L: Lanes> Inertia<L> {
    #[inline(always)]
    fn plus(&self, other: &Self) -> Self {
        let mut second = self.second;
        for k in 0..6 {
            second[k] = second[k] + other.second[k];
        }
        Self {
            mass: self.mass + other.mass,
            first: add(self.first, other.first),
            second,
        }
    }
}

/// Mass matrix block of the base and its Cholesky factor.
#[derive(Clone, Copy)]
pub(super) struct BaseDynamics<L> {
    /// Lower triangle of the factor.
    pub factor: [[L; 6]; 6],
    /// Inverse diagonal of the factor.
    pub inverse_diagonal: [L; 6],
    /// Inertia of the whole robot so far.
    inertia: Inertia<L>,
    /// Bias force and moment so far.
    bias: [L; 6],
}

impl<L: Lanes> BaseDynamics<L> {
    /// The base alone.
    #[inline(always)]
    pub fn new(inertia: &Inertia<L>, omega: V3<L>) -> Self {
        let force = cross(omega, cross(omega, inertia.first));
        let moment = cross(omega, sym_mul(&inertia.second, omega));
        Self {
            factor: [[L::zero(); 6]; 6],
            inverse_diagonal: [L::zero(); 6],
            inertia: *inertia,
            bias: [
                force[0], force[1], force[2], moment[0], moment[1], moment[2],
            ],
        }
    }

    /// Adds a leg whose block is factored: its inertia, its bias, and `-Y Y^T`.
    #[inline(always)]
    pub fn add_leg<const N: usize>(&mut self, load: &LegLoad<L>, leg: &LegDynamics<L, N>) {
        self.inertia = self.inertia.plus(&load.inertia);
        for k in 0..3 {
            self.bias[k] = self.bias[k] + load.force[k];
            self.bias[k + 3] = self.bias[k + 3] + load.moment[k];
        }
        for r in 0..6 {
            for c in 0..=r {
                let mut sum = self.factor[r][c];
                for i in 0..N {
                    sum = sum - leg.coupling[i][r] * leg.coupling[i][c];
                }
                self.factor[r][c] = sum;
            }
        }
    }

    /// Bias force and moment of the whole robot.
    pub fn bias(&self) -> &[L; 6] {
        &self.bias
    }

    /// Adds the inertia of the whole robot and factors.
    #[inline(always)]
    pub fn factor(&mut self) {
        let Inertia {
            mass,
            first,
            second,
        } = self.inertia;
        let a = &mut self.factor;
        for k in 0..3 {
            a[k][k] = a[k][k] + mass;
            a[k + 3][k + 3] = a[k + 3][k + 3] + second[k];
        }
        a[4][3] = a[4][3] + second[3];
        a[5][3] = a[5][3] + second[4];
        a[5][4] = a[5][4] + second[5];
        // Moment of the linear acceleration: first x a.
        a[3][1] = a[3][1] - first[2];
        a[3][2] = a[3][2] + first[1];
        a[4][0] = a[4][0] + first[2];
        a[4][2] = a[4][2] - first[0];
        a[5][0] = a[5][0] - first[1];
        a[5][1] = a[5][1] + first[0];
        for i in 0..6 {
            for j in 0..i {
                let mut sum = a[i][j];
                for k in 0..j {
                    sum = sum - a[i][k] * a[j][k];
                }
                a[i][j] = sum * self.inverse_diagonal[j];
            }
            let mut pivot = a[i][i];
            for k in 0..i {
                pivot = pivot - a[i][k] * a[i][k];
            }
            self.inverse_diagonal[i] = pivot.rsqrt();
            a[i][i] = pivot * self.inverse_diagonal[i];
        }
    }

    /// `L_b^-1 v`
    #[inline(always)]
    pub fn whiten(&self, v: &[L; 6]) -> [L; 6] {
        let mut out = *v;
        for i in 0..6 {
            for k in 0..i {
                out[i] = out[i] - self.factor[i][k] * out[k];
            }
            out[i] = out[i] * self.inverse_diagonal[i];
        }
        out
    }

    /// `L_b^T v`
    #[inline(always)]
    pub fn whitened_velocity(&self, v: &[L; 6]) -> [L; 6] {
        let mut out = [L::zero(); 6];
        for i in 0..6 {
            let mut sum = self.factor[i][i] * v[i];
            for k in i + 1..6 {
                sum = sum + self.factor[k][i] * v[k];
            }
            out[i] = sum;
        }
        out
    }

    /// `L_b^-T z`
    #[inline(always)]
    pub fn velocity(&self, z: &[L; 6]) -> [L; 6] {
        let mut out = [L::zero(); 6];
        for n in 0..6 {
            let i = 5 - n;
            let mut sum = z[i];
            for k in i + 1..6 {
                sum = sum - self.factor[k][i] * out[k];
            }
            out[i] = sum * self.inverse_diagonal[i];
        }
        out
    }
}
