//! A histogram of durations with buckets of equal relative width.

/// Buckets per doubling: a bucket is at most 1/16 of its lower bound wide.
const PER_DOUBLING: u64 = 16;
/// Durations up to 2^36 ns, more than a minute, are told apart.
const DOUBLINGS: u64 = 36;
const BUCKETS: usize = (PER_DOUBLING * (DOUBLINGS - 3)) as usize;

/// Durations from 0 to a minute. Recording does not allocate.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    count: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            count: 0,
            max_ns: 0,
        }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration_ns: u64) {
        self.buckets[bucket(duration_ns).min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(duration_ns);
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Longest duration, exact, ns.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// Least bound that at least `fraction` of all durations keep, up to the width of a bucket, ns; 0 without any.
    pub fn quantile_ns(&self, fraction: f64) -> u64 {
        let rank = (fraction * self.count as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank && index + 1 < BUCKETS {
                return (lower_bound_ns(index + 1) - 1).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// Buckets that are not empty: lower bound, upper bound (exclusive) in ns, and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let counts = self.buckets.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(index, &count)| (lower_bound_ns(index), lower_bound_ns(index + 1), count))
    }
}

/// Durations below `PER_DOUBLING` have a bucket each; from there every doubling has `PER_DOUBLING` buckets.
fn bucket(duration_ns: u64) -> usize {
    if duration_ns < PER_DOUBLING {
        return duration_ns as usize;
    }
    let shift = u64::from(duration_ns.ilog2() - PER_DOUBLING.ilog2());
    (PER_DOUBLING * shift + (duration_ns >> shift)) as usize
}

fn lower_bound_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PER_DOUBLING {
        return bucket;
    }
    let shift = bucket / PER_DOUBLING - 1;
    (PER_DOUBLING + bucket % PER_DOUBLING) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_its_bucket() {
        for exponent in 0..36 {
            for offset in [0, 1, 7, 1000] {
                let duration_ns = (1u64 << exponent) + offset;
                let index = bucket(duration_ns);
                assert!(lower_bound_ns(index) <= duration_ns, "{duration_ns}");
                assert!(duration_ns < lower_bound_ns(index + 1), "{duration_ns}");
            }
        }
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ns(0.5), 0);
        for us in 1..=1000 {
            histogram.record(1000 * us);
        }
        for (fraction, expected_ns) in [(0.5, 500e3), (0.99, 990e3), (0.999, 999e3)] {
            let found_ns = histogram.quantile_ns(fraction) as f64;
            assert!(found_ns >= expected_ns, "{fraction}: {found_ns}");
            assert!(
                found_ns <= expected_ns * 17.0 / 16.0,
                "{fraction}: {found_ns}"
            );
        }
        assert_eq!(histogram.quantile_ns(1.0), 1_000_000);
        assert_eq!((histogram.count(), histogram.max_ns()), (1000, 1_000_000));
        let total: u64 = histogram.buckets().map(|(_, _, count)| count).sum();
        assert_eq!(total, 1000);
    }

    #[test]
    fn durations_without_end_are_counted_in_the_last_bucket() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!(histogram.quantile_ns(0.5), u64::MAX);
    }
}
