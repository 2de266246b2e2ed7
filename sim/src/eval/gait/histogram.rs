//! Percentiles in a memory that does not grow.

/// A histogram of numbers from 0 up, in bins of equal width. What lies above the last bin counts there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    bin_width: f32,
    counts: Vec<u32>,
}

impl Histogram {
    pub(super) fn new(bin_width: f32, bins: usize) -> Self {
        Self {
            bin_width,
            counts: vec![0; bins],
        }
    }

    /// Counts a number; a negative one as 0.
    pub(super) fn count(&mut self, value: f32) {
        let last = self.counts.len() - 1;
        self.counts[((value / self.bin_width) as usize).min(last)] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// The number below which this fraction of all lies, interpolated within its bin, so exact to one bin width; none of
    /// nothing.
    pub(super) fn percentile(&self, fraction: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let wanted = fraction * total as f64;
        let mut below = 0.0;
        for (bin, &count) in self.counts.iter().enumerate() {
            let within = f64::from(count);
            if count > 0 && below + within >= wanted {
                let bins = bin as f64 + (wanted - below) / within;
                return Some(bins * f64::from(self.bin_width));
            }
            below += within;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_a_bin() {
        let mut histogram = Histogram::new(0.05, 200);
        // 0.000, 0.001 ... 4.999, in two parts.
        let mut other = histogram.clone();
        for k in 0..5000 {
            let part = if k % 3 == 0 {
                &mut histogram
            } else {
                &mut other
            };
            part.count(0.001 * k as f32);
        }
        histogram.add(&other);
        for fraction in [0.05, 0.5, 0.95, 1.0] {
            let found = histogram.percentile(fraction).unwrap();
            assert!((found - 5.0 * fraction).abs() < 0.05, "{fraction}: {found}");
        }
        histogram.count(1e9);
        histogram.count(-0.1);
        assert!((histogram.percentile(1.0).unwrap() - 10.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Histogram::new(1.0, 3).percentile(0.5), None);
    }
}
