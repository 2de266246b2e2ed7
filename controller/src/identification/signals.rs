//! Signals on a uniform grid, smoothed without lag.

/// Half width of a kernel in standard deviations.
const HALF_WIDTH: f64 = 4.0;

/// A Gaussian and its derivatives, sampled. The same smoothing of every term of a linear equation leaves it true.
pub(super) struct Kernels {
    radius: usize,
    smooth: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Kernels {
    /// That halve the power at `cutoff_hz`, about.
    pub fn new(step_s: f64, cutoff_hz: f64) -> Self {
        let sigma = 1.0 / (std::f64::consts::TAU * cutoff_hz * step_s);
        let radius = (HALF_WIDTH * sigma).ceil() as usize;
        let offsets = || (0..=2 * radius).map(|index| index as f64 - radius as f64);
        let gaussian: Vec<f64> = offsets()
            .map(|n| (-0.5 * (n / sigma).powi(2)).exp())
            .collect();
        let scaled = |kernel: Vec<f64>, moment: fn(f64) -> f64, scale: f64| {
            let sum: f64 = kernel
                .iter()
                .zip(offsets())
                .map(|(k, n)| k * moment(n))
                .sum();
            kernel.into_iter().map(|k| scale * k / sum).collect()
        };
        let smooth = scaled(gaussian.clone(), |_| 1.0, 1.0);
        // Exact for straight lines and parabolas.
        let ramp = gaussian.iter().zip(offsets()).map(|(g, n)| g * n).collect();
        let first = scaled(ramp, |n| n, 1.0 / step_s);
        let total: f64 = gaussian.iter().sum();
        let spread: f64 = gaussian.iter().zip(offsets()).map(|(g, n)| g * n * n).sum();
        let bend = gaussian.iter().zip(offsets());
        let bend = bend.map(|(g, n)| g * (n * n - spread / total)).collect();
        let second = scaled(bend, |n| 0.5 * n * n, 1.0 / (step_s * step_s));
        Self {
            radius,
            smooth,
            first,
            second,
        }
    }

    /// Samples at each end of a series that have no smoothed value.
    pub fn radius(&self) -> usize {
        self.radius
    }

    pub fn smooth(&self, series: &[f64]) -> Vec<f64> {
        Self::convolve(&self.smooth, series)
    }

    /// Its first derivative with respect to time.
    pub fn first(&self, series: &[f64]) -> Vec<f64> {
        Self::convolve(&self.first, series)
    }

    /// Its second derivative.
    pub fn second(&self, series: &[f64]) -> Vec<f64> {
        Self::convolve(&self.second, series)
    }

    /// Shorter than the series by the radius at each end.
    fn convolve(kernel: &[f64], series: &[f64]) -> Vec<f64> {
        let windows = series.windows(kernel.len());
        windows
            .map(|window| window.iter().zip(kernel).map(|(s, k)| s * k).sum())
            .collect()
    }
}

/// A function of time from samples at rising times, straight in between, constant beyond them.
pub(super) struct Samples {
    times_s: Vec<f64>,
    values: Vec<f64>,
}

impl Samples {
    pub fn new(times_s: Vec<f64>, values: Vec<f64>) -> Self {
        debug_assert_eq!(times_s.len(), values.len());
        Self { times_s, values }
    }

    /// Values at rising times.
    pub fn at(&self, times_s: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut next = 0;
        times_s
            .map(|time_s| {
                while self.times_s.get(next).is_some_and(|&known| known < time_s) {
                    next += 1;
                }
                let last = self.values.len() - 1;
                if next == 0 || next > last {
                    return self.values[next.min(last)];
                }
                let (before_s, after_s) = (self.times_s[next - 1], self.times_s[next]);
                let fraction = (time_s - before_s) / (after_s - before_s);
                self.values[next - 1] + fraction * (self.values[next] - self.values[next - 1])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_of_a_sine_lag_nothing() {
        let (step_s, rate) = (0.002, 2.0 * std::f64::consts::TAU);
        let kernels = Kernels::new(step_s, 24.0);
        let time_s = |index: usize| index as f64 * step_s;
        let sine: Vec<f64> = (0..500).map(|k| (rate * time_s(k)).sin()).collect();
        let (first, second) = (kernels.first(&sine), kernels.second(&sine));
        // The same smoothing as of the sine itself.
        let gain = kernels.smooth(&sine)[200] / sine[200 + kernels.radius()];
        assert!((0.99..1.0).contains(&gain), "{gain}");
        for index in 0..first.len() {
            let phase = rate * time_s(index + kernels.radius());
            let expected = gain * rate * phase.cos();
            assert!((first[index] - expected).abs() < 1e-3 * rate);
            let expected = -gain * rate * rate * phase.sin();
            assert!((second[index] - expected).abs() < 1e-3 * rate * rate);
        }
    }

    #[test]
    fn samples_are_joined_by_straight_lines() {
        let samples = Samples::new(vec![1.0, 2.0, 4.0], vec![0.0, 1.0, -1.0]);
        let found = samples.at([0.0, 1.5, 2.0, 3.0, 9.0].into_iter());
        assert_eq!(found, [0.0, 0.5, 1.0, 0.0, -1.0]);
    }
}
