//! Linear least squares over segments, with intervals from resampled segments.

use nalgebra::{SMatrix, SVector};
use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::Estimate;

/// Unknowns of the least squares: armature, damping, friction, bias, and a change of the delay and of the saturation.
const UNKNOWNS: usize = 6;
pub const ARMATURE: usize = 0;
pub const DAMPING: usize = 1;
pub const FRICTION: usize = 2;
pub const BIAS: usize = 3;
pub const DELAY: usize = 4;
pub const SATURATION: usize = 5;
pub type Vector = SVector<f64, UNKNOWNS>;
type Matrix = SMatrix<f64, UNKNOWNS, UNKNOWNS>;

const RESAMPLES: usize = 400;

/// A sum of squares as a quadratic form of the unknowns.
#[derive(Clone, Default)]
pub struct Normal {
    matrix: Matrix,
    vector: Vector,
    square: f64,
    count: usize,
}

impl Normal {
    pub fn add(&mut self, columns: &Vector, torque_nm: f64) {
        self.matrix += columns * columns.transpose();
        self.vector += columns * torque_nm;
        self.square += torque_nm * torque_nm;
        self.count += 1;
    }

    /// Leaves an unknown at zero.
    pub fn fix(&mut self, unknown: usize) {
        self.matrix.row_mut(unknown).fill(0.0);
        self.matrix.column_mut(unknown).fill(0.0);
        self.matrix[(unknown, unknown)] = 1.0;
        self.vector[unknown] = 0.0;
    }

    pub fn solve(&self) -> Option<Vector> {
        let mut normal = self.clone();
        // A saturation that is not reached.
        if normal.matrix[(SATURATION, SATURATION)] == 0.0 {
            normal.fix(SATURATION);
        }
        // Unknowns of one size.
        let scale = normal.matrix.diagonal().map(|square| 1.0 / square.sqrt());
        if !scale.iter().all(|scale| scale.is_finite()) {
            return None;
        }
        let scaling = Matrix::from_diagonal(&scale);
        let scaled = scaling * normal.matrix * scaling;
        let solved = scaled.cholesky()?.solve(&(scaling * normal.vector));
        Some(scaling * solved)
    }

    pub fn mean_square(&self, found: &Vector) -> f64 {
        let square = self.square - 2.0 * self.vector.dot(found) + found.dot(&(self.matrix * found));
        square / self.count.max(1) as f64
    }
}

/// Of all segments.
pub fn sum(segments: &[Normal]) -> Normal {
    let mut sum = Normal::default();
    segments.iter().for_each(|segment| sum.join(segment));
    sum
}

impl Normal {
    fn join(&mut self, other: &Self) {
        self.matrix += other.matrix;
        self.vector += other.vector;
        self.square += other.square;
        self.count += other.count;
    }
}

impl Estimate {
    /// An unknown, its interval from resampled segments.
    pub(super) fn of(unknown: usize, found: &Vector, segments: &[Normal]) -> Self {
        let mut stream = Pcg64::new(0, 0);
        let mut values: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let mut normal = Normal::default();
                for _ in segments {
                    normal.join(&segments[stream.random_range(0..segments.len())]);
                }
                Some(normal.solve()?[unknown])
            })
            .collect();
        values.sort_by(f64::total_cmp);
        Self::of_sorted(found[unknown], &values)
    }

    fn of_sorted(value: f64, sorted: &[f64]) -> Self {
        let at = |fraction: f64| {
            let index = fraction * sorted.len().saturating_sub(1) as f64;
            sorted.get(index.round() as usize).copied().unwrap_or(value)
        };
        Self {
            value,
            low: at(0.025).min(value),
            high: at(0.975).max(value),
        }
    }

    pub(super) fn widened(self, by: f64) -> Self {
        Self {
            value: self.value,
            low: self.low - by,
            high: self.high + by,
        }
    }

    pub(super) fn shifted(self, by: f64) -> Self {
        Self {
            value: self.value + by,
            low: self.low + by,
            high: self.high + by,
        }
    }
}
