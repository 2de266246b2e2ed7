//! Where time went.

use serde::{Deserialize, Serialize};

/// Named durations, s, in the order in which they were first added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times(Vec<(String, f64)>);

impl Times {
    /// Adds `time_s` to the duration of this name.
    pub fn add(&mut self, name: &str, time_s: f64) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, sum_s)) => *sum_s += time_s,
            None => self.0.push((name.to_owned(), time_s)),
        }
    }

    /// Adds all durations of `others`.
    pub fn add_all(&mut self, others: &Self) {
        for (name, time_s) in &others.0 {
            self.add(name, *time_s);
        }
    }

    /// Sum of all durations, s.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.0.iter().map(|(_, time_s)| time_s).sum()
    }

    /// Names, and fractions of the total.
    pub fn fractions(&self) -> impl Iterator<Item = (&str, f64)> {
        let total_s = self.total_s().max(f64::MIN_POSITIVE);
        let times = self.0.iter();
        times.map(move |(name, time_s)| (name.as_str(), time_s / total_s))
    }

    /// Fraction of the total that has this name; 0 where nothing has.
    #[must_use]
    pub fn fraction(&self, name: &str) -> f64 {
        let mut fractions = self.fractions();
        fractions
            .find(|(own, _)| *own == name)
            .map_or(0.0, |(_, fraction)| fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_one_name_are_added_and_divided_by_the_total() {
        let mut times = Times::default();
        times.add("step", 1.0);
        times.add("update", 3.0);
        let mut other = Times::default();
        other.add("update", 1.0);
        other.add("step", 2.0);
        other.add("rest", 1.0);
        times.add_all(&other);
        let fractions: Vec<_> = times.fractions().collect();
        assert_eq!(
            fractions,
            [("step", 0.375), ("update", 0.5), ("rest", 0.125)]
        );
        assert_eq!((times.total_s(), times.fraction("nothing")), (8.0, 0.0));
    }
}
