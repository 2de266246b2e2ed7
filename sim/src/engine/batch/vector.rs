//! Vectors and symmetric matrices of lanes.

use super::lanes::Lanes;

/// A vector in three dimensions.
pub(super) type V3<L> = [L; 3];
/// A symmetric matrix: xx, yy, zz, xy, xz, yz.
pub(super) type Sym3<L> = [L; 6];
/// Columns of a rotation matrix.
pub(super) type Rotation<L> = [V3<L>; 3];

#[inline(always)]
pub(super) fn splat3<L: Lanes>(v: [f32; 3]) -> V3<L> {
    [L::splat(v[0]), L::splat(v[1]), L::splat(v[2])]
}

#[inline(always)]
pub(super) fn zero3<L: Lanes>() -> V3<L> {
    [L::zero(); 3]
}

#[inline(always)]
pub(super) fn add<L: Lanes>(a: V3<L>, b: V3<L>) -> V3<L> {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

#[inline(always)]
pub(super) fn sub<L: Lanes>(a: V3<L>, b: V3<L>) -> V3<L> {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[inline(always)]
pub(super) fn scale<L: Lanes>(a: V3<L>, s: L) -> V3<L> {
    [a[0] * s, a[1] * s, a[2] * s]
}

/// `a + s b`
#[inline(always)]
pub(super) fn add_scaled<L: Lanes>(a: V3<L>, s: L, b: V3<L>) -> V3<L> {
    [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]]
}

#[inline(always)]
pub(super) fn dot<L: Lanes>(a: V3<L>, b: V3<L>) -> L {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline(always)]
pub(super) fn cross<L: Lanes>(a: V3<L>, b: V3<L>) -> V3<L> {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

#[inline(always)]
pub(super) fn select3<L: Lanes>(mask: L::Mask, a: V3<L>, b: V3<L>) -> V3<L> {
    [
        L::select(mask, a[0], b[0]),
        L::select(mask, a[1], b[1]),
        L::select(mask, a[2], b[2]),
    ]
}

/// Acceleration of a point at `d` from a point at rest of a body that turns with `omega` and `alpha`.
#[inline(always)]
pub(super) fn point_acceleration<L: Lanes>(omega: V3<L>, alpha: V3<L>, d: V3<L>) -> V3<L> {
    add(cross(alpha, d), cross(omega, cross(omega, d)))
}

/// `R v`
#[inline(always)]
pub(super) fn rotate<L: Lanes>(r: &Rotation<L>, v: V3<L>) -> V3<L> {
    add_scaled(add_scaled(scale(r[0], v[0]), v[1], r[1]), v[2], r[2])
}

/// `R^T v`
#[inline(always)]
pub(super) fn rotate_back<L: Lanes>(r: &Rotation<L>, v: V3<L>) -> V3<L> {
    [dot(r[0], v), dot(r[1], v), dot(r[2], v)]
}

/// `J v`
#[inline(always)]
pub(super) fn sym_mul<L: Lanes>(j: &Sym3<L>, v: V3<L>) -> V3<L> {
    [
        j[0] * v[0] + j[3] * v[1] + j[4] * v[2],
        j[3] * v[0] + j[1] * v[1] + j[5] * v[2],
        j[4] * v[0] + j[5] * v[1] + j[2] * v[2],
    ]
}

/// `R J R^T`
#[inline(always)]
pub(super) fn sym_rotate<L: Lanes>(r: &Rotation<L>, j: &Sym3<L>) -> Sym3<L> {
    // Columns of R J.
    let rj = [
        rotate(r, [j[0], j[3], j[4]]),
        rotate(r, [j[3], j[1], j[5]]),
        rotate(r, [j[4], j[5], j[2]]),
    ];
    let entry = [[0, 0], [1, 1], [2, 2], [0, 1], [0, 2], [1, 2]];
    let mut out = [L::zero(); 6];
    for k in 0..6 {
        let [row, column] = entry[k];
        out[k] = rj[0][row] * r[0][column] + rj[1][row] * r[1][column] + rj[2][row] * r[2][column];
    }
    out
}

/// Inertia of a point mass `m` at `c` about the origin, added to `j`.
#[inline(always)]
pub(super) fn add_point_inertia<L: Lanes>(j: &Sym3<L>, m: L, c: V3<L>) -> Sym3<L> {
    let mc = scale(c, m);
    let (xx, yy, zz) = (mc[0] * c[0], mc[1] * c[1], mc[2] * c[2]);
    [
        j[0] + (yy + zz),
        j[1] + (xx + zz),
        j[2] + (xx + yy),
        j[3] - mc[0] * c[1],
        j[4] - mc[0] * c[2],
        j[5] - mc[1] * c[2],
    ]
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

#[inline(always)]
pub(super) fn identity<L: Lanes>() -> Rotation<L> {
    [
        splat3([1.0, 0.0, 0.0]),
        splat3([0.0, 1.0, 0.0]),
        splat3([0.0, 0.0, 1.0]),
    ]
}

/// Rows of a rotation matrix.
#[inline(always)]
pub(super) fn transposed<L: Lanes>(r: &Rotation<L>) -> Rotation<L> {
    [
        [r[0][0], r[1][0], r[2][0]],
        [r[0][1], r[1][1], r[2][1]],
        [r[0][2], r[1][2], r[2][2]],
    ]
}
