//! The Kalman filter along one world axis.

use robots::MAX_FEET;

const MAX: usize = 2 + MAX_FEET;
const POSITION: usize = 0;
const VELOCITY: usize = 1;
const FEET: usize = 2;
/// Variance of the velocity at rest, m²/s².
const REST_VARIANCE: f64 = 1e-4;
/// Innovations beyond this many standard deviations are outliers.
const GATE: f64 = 4.0;

/// Position and velocity of the base and positions of the feet along one axis, m and m/s, with their covariance.
#[derive(Clone, Debug)]
pub(super) struct AxisFilter {
    len: usize,
    state: [f64; MAX],
    covariance: [[f64; MAX]; MAX],
}

impl AxisFilter {
    pub(super) fn new(num_feet: usize) -> Self {
        Self {
            len: FEET + num_feet,
            state: [0.0; MAX],
            covariance: [[0.0; MAX]; MAX],
        }
    }

    pub(super) fn position_m(&self) -> f64 {
        self.state[POSITION]
    }

    pub(super) fn velocity_mps(&self) -> f64 {
        self.state[VELOCITY]
    }

    /// Starts at rest, at a position that is exact by definition.
    pub(super) fn start(&mut self, base_m: f64, feet_m: impl Iterator<Item = f64>) {
        self.covariance = [[0.0; MAX]; MAX];
        self.state = [0.0; MAX];
        self.state[POSITION] = base_m;
        self.covariance[VELOCITY][VELOCITY] = 0.25;
        for (index, foot_m) in (FEET..).zip(feet_m) {
            self.state[index] = foot_m;
            self.covariance[index][index] = 1e-4;
        }
    }

    /// Moves base and feet to another origin, and sets the velocity.
    pub(super) fn place(&mut self, base_m: f64, velocity_mps: f64) {
        let shift_m = base_m - self.state[POSITION];
        self.state[POSITION] = base_m;
        self.state[VELOCITY] = velocity_mps;
        for index in FEET..self.len {
            self.state[index] += shift_m;
            // The heading may change too: the next sample finds the feet again.
            self.covariance[index][index] += 10.0;
        }
    }

    /// Says that the base is at rest.
    pub(super) fn rest(&mut self) {
        self.state[VELOCITY] = 0.0;
        for index in 0..self.len {
            self.covariance[VELOCITY][index] = 0.0;
            self.covariance[index][VELOCITY] = 0.0;
        }
        self.covariance[VELOCITY][VELOCITY] = REST_VARIANCE;
    }

    /// Predicts the base over an interval; `density` is the squared noise density of the acceleration.
    pub(super) fn predict(&mut self, acceleration_mps2: f64, density: f64, interval_s: f64) {
        let dt = interval_s;
        self.state[POSITION] += dt * (self.state[VELOCITY] + 0.5 * dt * acceleration_mps2);
        self.state[VELOCITY] += dt * acceleration_mps2;
        let covariance = &mut self.covariance;
        let velocity_row = covariance[VELOCITY];
        for (element, velocity) in covariance[POSITION].iter_mut().zip(velocity_row) {
            *element += dt * velocity;
        }
        for row in covariance.iter_mut().take(self.len) {
            row[POSITION] += dt * row[VELOCITY];
        }
        covariance[POSITION][POSITION] += density * dt.powi(3) / 3.0;
        covariance[POSITION][VELOCITY] += density * dt.powi(2) / 2.0;
        covariance[VELOCITY][POSITION] += density * dt.powi(2) / 2.0;
        covariance[VELOCITY][VELOCITY] += density * dt;
    }

    /// Adds a common random walk of base and feet, of this variance.
    pub(super) fn drift(&mut self, variance: f64) {
        let drifts = |index: &usize| *index != VELOCITY;
        for row in (0..self.len).filter(drifts) {
            for column in (0..self.len).filter(drifts) {
                self.covariance[row][column] += variance;
            }
        }
    }

    /// Predicts a foot: a displacement, and process noise.
    pub(super) fn move_foot(&mut self, foot: usize, distance_m: f64, variance: f64) {
        self.state[FEET + foot] += distance_m;
        self.covariance[FEET + foot][FEET + foot] += variance;
    }

    /// Measures a foot relative to the base.
    pub(super) fn measure_foot(&mut self, foot: usize, from_base_m: f64, variance: f64) {
        self.measure(
            &[(FEET + foot, 1.0), (POSITION, -1.0)],
            from_base_m,
            variance,
        );
    }

    pub(super) fn measure_foot_height(&mut self, foot: usize, height_m: f64, variance: f64) {
        self.measure(&[(FEET + foot, 1.0)], height_m, variance);
    }

    pub(super) fn measure_position(&mut self, position_m: f64, variance: f64) {
        self.measure(&[(POSITION, 1.0)], position_m, variance);
    }

    pub(super) fn measure_velocity(&mut self, velocity_mps: f64, variance: f64) {
        self.measure(&[(VELOCITY, 1.0)], velocity_mps, variance);
    }

    /// Kalman update with a measurement of the sum of `coefficient * state[index]`.
    fn measure(&mut self, terms: &[(usize, f64)], measured: f64, variance: f64) {
        let mut gain = [0.0; MAX];
        let mut innovation = measured;
        let mut innovation_variance = variance;
        for &(index, coefficient) in terms {
            innovation -= coefficient * self.state[index];
            for (gain, row) in gain.iter_mut().zip(&self.covariance).take(self.len) {
                *gain += coefficient * row[index];
            }
        }
        for &(index, coefficient) in terms {
            innovation_variance += coefficient * gain[index];
        }
        // An outlier corrects as much as a measurement at the gate, however far off it is (Huber): it cannot take the filter
        // with it, and it does not lock it out. The covariance shrinks the less, the farther off it is.
        let excess = innovation.abs() / (GATE * innovation_variance.sqrt());
        let innovation_variance = innovation_variance * excess.max(1.0);
        for (row, (element, gain_of_row)) in self.state.iter_mut().zip(gain).enumerate() {
            let gain_of_row = gain_of_row / innovation_variance;
            *element += gain_of_row * innovation;
            for (element, gain) in self.covariance[row].iter_mut().zip(gain) {
                *element -= gain_of_row * gain;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_update_by_hand() {
        let mut axis = AxisFilter::new(1);
        axis.start(0.0, [0.5].into_iter());
        // Velocity 0 with variance 0.25, measured 0.3 with variance 0.75: a quarter of the way.
        axis.measure_velocity(0.3, 0.75);
        assert!((axis.velocity_mps() - 0.075).abs() < 1e-12);
        assert!((axis.covariance[VELOCITY][VELOCITY] - 0.1875).abs() < 1e-12);
        // After 0.1 s at 2 m/s²: position 0.0075 + 0.01, variance 0.1² * 0.1875 + density * 0.1³ / 3.
        axis.predict(2.0, 3.0, 0.1);
        assert!((axis.position_m() - 0.0175).abs() < 1e-12);
        assert!((axis.velocity_mps() - 0.275).abs() < 1e-12);
        let variance = axis.covariance[POSITION][POSITION];
        assert!((variance - (0.001875 + 0.001)).abs() < 1e-12, "{variance}");
        // A foot with variance 1e-4 measured 0.4825 ahead, where it is expected.
        axis.measure_foot(0, 0.4825, 1e-4);
        assert!((axis.state[FEET] - 0.5).abs() < 1e-12);
        assert!((axis.position_m() - 0.0175).abs() < 1e-12);
    }

    #[test]
    fn an_outlier_moves_the_filter_no_farther_than_one_at_the_gate() {
        let moved = |measured: f64| {
            let mut axis = AxisFilter::new(1);
            axis.start(0.0, [0.0].into_iter());
            axis.measure_velocity(measured, 0.75);
            (axis.velocity_mps(), axis.covariance[VELOCITY][VELOCITY])
        };
        // The innovation has a standard deviation of 1 m/s, and the gate is at four of them.
        let (at_gate, variance) = moved(4.0);
        assert!((at_gate - 1.0).abs() < 1e-12, "{at_gate}");
        for far in [5.0, 200.0, 1e9] {
            let (outlier, outlier_variance) = moved(far);
            assert!((outlier - at_gate).abs() < 1e-9, "{far}: {outlier}");
            assert!(outlier_variance > variance && outlier_variance <= 0.25);
        }
    }

    #[test]
    fn a_filter_that_is_far_off_comes_back() {
        let mut axis = AxisFilter::new(1);
        axis.start(0.0, [0.0].into_iter());
        // In steady state at rest, with the noise of a standing robot.
        let step = |axis: &mut AxisFilter, acceleration_mps2: f64| {
            axis.predict(acceleration_mps2, 0.01, 0.002);
            axis.measure_velocity(0.0, 0.04);
        };
        (0..5000).for_each(|_| step(&mut axis, 0.0));
        // One sample of an accelerometer of 1e5 m/s².
        step(&mut axis, 1e5);
        assert!(axis.velocity_mps() > 190.0);
        (0..4000).for_each(|_| step(&mut axis, 0.0));
        assert!(axis.velocity_mps().abs() < 0.05, "{}", axis.velocity_mps());
    }

    #[test]
    fn a_foot_that_stays_gives_the_velocity_of_the_base() {
        let mut axis = AxisFilter::new(1);
        axis.start(0.0, [0.0].into_iter());
        // The base moves at 1 m/s; the accelerometer reads zero, and only the foot is measured.
        for step in 1..=500 {
            axis.predict(0.0, 0.04, 0.002);
            axis.move_foot(0, 0.0, 1e-4 * 0.002);
            axis.measure_foot(0, -0.002 * f64::from(step), 1e-6);
        }
        assert!(
            (axis.velocity_mps() - 1.0).abs() < 0.02,
            "{}",
            axis.velocity_mps()
        );
        assert!(
            (axis.position_m() - 1.0).abs() < 0.05,
            "{}",
            axis.position_m()
        );
    }
}
