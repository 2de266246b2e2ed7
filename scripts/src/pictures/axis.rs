//! Axes that use their room.

/// Rates are logarithmic if the largest is this many times the smallest.
const WIDE: f64 = 8.0;

/// An axis with its labelled ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    /// Values of the ticks.
    pub ticks: Vec<f64>,
    logarithmic: bool,
}

impl Axis {
    /// From a little below the least to a little above the largest value, with round ticks.
    pub fn linear(values: impl Iterator<Item = f64>) -> Self {
        let [low, high] = extremes(values).unwrap_or([0.0, 1.0]);
        // One value alone gets some room, too.
        let spread = (high - low).max(0.05 * high.abs()).max(1e-6);
        let (low, high) = (low - 0.08 * spread, high + 0.08 * spread);
        let step = tick_step((high - low) / 5.0);
        let ticks = ticks(low, high, step);
        Self {
            low,
            high,
            ticks,
            logarithmic: false,
        }
    }

    /// For rates in %: logarithmic if they differ by much, from zero if they do not. On a logarithmic axis a rate of zero lies at its lower end.
    pub fn rates(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let [low, high] =
            extremes(values.iter().copied().filter(|v| *v > 0.0)).unwrap_or([0.1, 1.0]);
        if high < WIDE * low {
            let top = 1.06 * high;
            let step = tick_step(top / 5.0);
            return Self {
                low: 0.0,
                high: top,
                ticks: ticks(0.0, top, step),
                logarithmic: false,
            };
        }
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let (low, high) = (0.75 * low, (1.25 * high).min(120.0));
        let ticks = decades
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
            .filter(|tick| (low..=high.min(100.0)).contains(tick))
            .collect();
        Self {
            low,
            high,
            ticks,
            logarithmic: true,
        }
    }

    /// Whether steps of equal length are equal factors.
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Where a value lies between the ends of the axis, 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        let on = |value: f64| match self.logarithmic {
            true => value.max(1e-9).log10(),
            false => value,
        };
        let share = (on(value) - on(self.low)) / (on(self.high) - on(self.low));
        share.clamp(0.0, 1.0)
    }
}

fn extremes(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(None, |ends, value| match ends {
        None => Some([value, value]),
        Some([low, high]) => Some([value.min(low), value.max(high)]),
    })
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `least`.
fn tick_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|step| step * power >= least * (1.0 - 1e-9));
    power * step.unwrap_or(10.0)
}

fn ticks(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_fill_their_axis_and_have_round_ticks() {
        let axis = Axis::linear([1.4, 2.55].into_iter());
        let ticks: Vec<String> = axis.ticks.iter().map(|t| format!("{t:.1}")).collect();
        assert_eq!(ticks, ["1.5", "2.0", "2.5"]);
        assert!((axis.place(1.4) - 0.08 / 1.16).abs() < 1e-9);
        assert!((axis.place(1.975) - 0.5).abs() < 1e-9);
        assert!(Axis::linear([2.0].into_iter()).ticks.contains(&2.0));
        assert!(!Axis::linear(std::iter::empty()).ticks.is_empty());
    }

    #[test]
    fn rates_that_differ_by_much_are_on_a_logarithmic_axis() {
        let axis = Axis::rates([0.5, 0.0, 26.0].into_iter());
        assert!(axis.is_logarithmic());
        assert_eq!(axis.ticks, [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        // Equal factors, equal steps; nothing below zero.
        let step = axis.place(2.0) - axis.place(1.0);
        assert!((axis.place(20.0) - axis.place(10.0) - step).abs() < 1e-9);
        assert_eq!(axis.place(0.0), 0.0);
        let linear = Axis::rates([2.0, 4.0].into_iter());
        assert_eq!((linear.is_logarithmic(), linear.place(0.0)), (false, 0.0));
        assert_eq!(linear.ticks, [0.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
