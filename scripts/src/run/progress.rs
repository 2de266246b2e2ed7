//! Progress of a training: a bar with details on a terminal, else a few lines every ten seconds.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two reports where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Weight of the newest iteration in the mean rate.
const RATE_WEIGHT: f64 = 0.1;
/// Width of the lists of scalars, characters.
const WIDTH: usize = 100;

/// Shows the progress of one training on standard error.
pub struct Progress {
    unit: &'static str,
    total_steps: u64,
    bar: Option<ProgressBar>,
    steps_per_second: Option<f64>,
    last_line: Option<Instant>,
}

impl Progress {
    /// Progress over `total_steps` of some unit, of which `done_steps` are done.
    pub fn new(unit: &'static str, total_steps: u64, done_steps: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total_steps).with_position(done_steps);
            // The template is a constant; the default style is shown if it should be wrong.
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self {
            unit,
            total_steps,
            bar,
            steps_per_second: None,
            last_line: None,
        }
    }

    /// After an iteration: steps done in all, speed of this iteration, and named numbers to show.
    pub fn iteration(&mut self, policy_steps: u64, rate: f64, scalars: &[(String, f64)]) {
        let mean = self
            .steps_per_second
            .map_or(rate, |mean| mean + RATE_WEIGHT * (rate - mean));
        self.steps_per_second = Some(mean);

        let head = headline(self.unit, policy_steps, self.total_steps, mean);
        if let Some(bar) = &self.bar {
            bar.set_position(policy_steps);
            bar.set_message(format!("{head}\n{}", details(scalars)));
        } else if self.is_line_due(policy_steps) {
            let percent = (100 * policy_steps / self.total_steps.max(1)).min(100);
            eprintln!("{percent:>3}%  {head}\n{}", details(scalars));
        }
    }

    /// Leaves the last state of the bar on the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }

    fn is_line_due(&mut self, policy_steps: u64) -> bool {
        let due = self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
            || policy_steps >= self.total_steps;
        if due {
            self.last_line = Some(Instant::now());
        }
        due
    }
}

fn headline(unit: &str, policy_steps: u64, total_steps: u64, steps_per_second: f64) -> String {
    let remaining = total_steps.saturating_sub(policy_steps) as f64;
    format!(
        "{} of {} {unit}, {} {unit}/s, ETA {}",
        short(policy_steps as f64),
        short(total_steps as f64),
        short(steps_per_second),
        clock(remaining / steps_per_second.max(1e-9)),
    )
}

/// Scalars grouped by the prefix before the `/`, without those that are zero.
fn details(scalars: &[(String, f64)]) -> String {
    let mut text = String::new();
    let mut group = "";
    let mut column = 0;
    for (name, value) in scalars.iter().filter(|(_, value)| *value != 0.0) {
        let (scalar_group, name) = name.split_once('/').unwrap_or(("", name));
        let entry = format!("{name} {}", number(*value));
        if scalar_group != group || column + entry.len() > WIDTH || column == 0 {
            let label = if scalar_group == group && column > 0 {
                ""
            } else {
                scalar_group
            };
            let line_break = if column == 0 { "" } else { "\n" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{line_break}  {label:<10} {entry}");
            column = entry.len();
        } else {
            let _ = write!(text, ", {entry}");
            column += entry.len() + 2;
        }
        group = scalar_group;
    }
    text
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if !(1e-3..1e5).contains(&size) => format!("{value:.2e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A large number with k or M.
pub fn short(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.1}M", value / 1e6)
    } else if value >= 1e3 {
        format!("{:.1}k", value / 1e3)
    } else {
        format!("{value:.0}")
    }
}

/// Hours, minutes and seconds.
pub fn clock(seconds: f64) -> String {
    // Longer times are not worth telling apart.
    let seconds = seconds.clamp(0.0, 1e6) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(name: &str, value: f64) -> (String, f64) {
        (name.to_owned(), value)
    }

    #[test]
    fn the_headline_tells_steps_rate_and_remaining_time() {
        assert_eq!(
            headline("steps", 20_000_000, 80_000_000, 40_000.0),
            "20.0M of 80.0M steps, 40.0k steps/s, ETA 25:00"
        );
        assert_eq!(clock(3725.9), "1:02:05");
        assert_eq!(clock(f64::INFINITY), clock(1e6));
    }

    #[test]
    fn scalars_are_grouped_and_zeros_left_out() {
        let scalars = [
            scalar("reward/agile", 0.1234),
            scalar("reward/stall", 0.0),
            scalar("reward/tilt", -12.34),
            scalar("curriculum/level", 3.0),
        ];
        assert_eq!(
            details(&scalars),
            "  reward     agile 0.123, tilt -12.3\n  curriculum level 3.00"
        );
    }

    #[test]
    fn long_groups_are_broken() {
        let scalars: Vec<_> = (0..30)
            .map(|i| scalar(&format!("reward/term_{i:02}"), 1.0))
            .collect();
        let text = details(&scalars);
        assert!(text.lines().count() > 2);
        assert!(text.lines().all(|line| line.len() < WIDTH + 20));
        assert_eq!(text.matches("reward").count(), 1);
    }
}
