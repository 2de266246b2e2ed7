//! Outcome rates with their 95% intervals.

use anyhow::Result;
use plotters::prelude::*;
use sim::eval::{EvalReport, Outcome};

use super::{
    FAINT, GRID, INK, Image, axis::Axis, centred, darker, draw_title, left, outcome_color, right,
    series, style::style, trimmed,
};

const OUTCOMES: [Outcome; 3] = [Outcome::Reach, Outcome::Collision, Outcome::Timeout];

/// Rate and interval of an outcome, %.
fn percent(report: &EvalReport, outcome: Outcome) -> [f64; 3] {
    let (rate, [low, high]) = match outcome {
        Outcome::Reach => (report.reach_rate, report.reach_ci95),
        Outcome::Collision => (report.collision_rate, report.collision_ci95),
        Outcome::Timeout => (report.time_out_rate, report.time_out_ci95),
    };
    [rate, low, high].map(|share| 100.0 * share)
}

/// A bar for each outcome of one evaluation; whiskers are Wilson 95% intervals.
///
/// # Errors
/// When plotters cannot draw.
pub fn outcome_bars(title: &str, report: &EvalReport) -> Result<Image> {
    Image::draw([400, 340], |area, scale| {
        draw_title(area, scale, title)?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(scale.px(40.0))
            .margin_right(scale.px(16.0))
            .margin_left(scale.px(12.0))
            .margin_bottom(scale.px(8.0))
            .x_label_area_size(scale.px(26.0))
            .y_label_area_size(scale.px(52.0))
            .build_cartesian_2d(0.0..3.0, 0.0..100.0)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(scale.line(0.75, GRID))
            .axis_style(scale.line(0.75, INK))
            .label_style(scale.font(11.0, INK))
            .axis_desc_style(scale.font(12.0, INK))
            .y_desc("episodes / %")
            .y_labels(6)
            .y_label_formatter(&|percent| format!("{percent:.0}"))
            .set_all_tick_mark_size(scale.px(3.0))
            .draw()?;
        for (group, outcome) in OUTCOMES.into_iter().enumerate() {
            let [rate, low, high] = percent(report, outcome);
            let middle = group as f64 + 0.5;
            chart.draw_series([Rectangle::new(
                [(middle - 0.33, 0.0), (middle + 0.33, rate)],
                outcome_color(outcome).mix(0.85).filled(),
            )])?;
            let line = scale.line(1.2, INK);
            chart.draw_series(
                [
                    [(middle, low), (middle, high)],
                    [(middle - 0.08, low), (middle + 0.08, low)],
                    [(middle - 0.08, high), (middle + 0.08, high)],
                ]
                .map(|ends| PathElement::new(ends, line)),
            )?;
            // Above the whisker, or below it where there is no room.
            let (at, offset) = if high < 92.0 {
                (high, -9.0)
            } else {
                (low, 10.0)
            };
            let (x, y) = chart.backend_coord(&(middle, at));
            let style = centred(scale.font(11.5, INK));
            area.draw(&Text::new(
                format!("{rate:.1}"),
                (x, y + scale.px(offset)),
                style,
            ))?;
            let (x, y) = chart.backend_coord(&(middle, 0.0));
            let style = centred(scale.font(13.0, INK));
            area.draw(&Text::new(
                outcome.to_string(),
                (x, y + scale.px(14.0)),
                style,
            ))?;
        }
        Ok(())
    })
}

const HEAD: f64 = 66.0;
const ROW: f64 = 24.0;
const FOOT: f64 = 40.0;
const PANEL: f64 = 178.0;
const GAP: f64 = 16.0;
/// Room for the number at the right of a panel.
const NUMBER: f64 = 38.0;

/// A row for each evaluation and a panel for each outcome, with axes of their own: collisions of 1% are as readable as reach rates of 97%. Dots
/// with Wilson 95% intervals.
///
/// # Errors
/// When plotters cannot draw.
pub fn outcome_intervals(title: &str, evaluations: &[(String, EvalReport)]) -> Result<Image> {
    let longest = evaluations.iter().map(|(name, _)| name.chars().count());
    let names = 30.0 + 5.8 * style().text * longest.max().unwrap_or(0).min(60) as f64;
    let width = names + 3.0 * (PANEL + GAP) + 8.0;
    let bottom = HEAD + ROW * evaluations.len() as f64;
    Image::draw([width as u32, (bottom + FOOT) as u32], |area, scale| {
        draw_title(area, scale, title)?;
        let at = |x: f64, y: f64| (scale.px(x), scale.px(y));
        for (row, (name, _)) in evaluations.iter().enumerate() {
            let y = HEAD + ROW * (row as f64 + 0.5);
            if row % 2 == 0 {
                let band = [at(8.0, y - 0.5 * ROW), at(width - 8.0, y + 0.5 * ROW)];
                area.draw(&Rectangle::new(band, GRID.mix(0.35).filled()))?;
            }
            let style = left(scale.font(11.5, darker(series(row))));
            area.draw(&Text::new(name.clone(), at(16.0, y), style))?;
        }
        for (panel, outcome) in OUTCOMES.into_iter().enumerate() {
            let start = names + (PANEL + GAP) * panel as f64;
            let end = start + PANEL - NUMBER;
            let rates = evaluations
                .iter()
                .flat_map(|(_, report)| percent(report, outcome));
            let axis = match outcome {
                Outcome::Reach => Axis::linear(rates),
                _ => Axis::rates(rates),
            };
            let place = |percent: f64| start + axis.place(percent) * (end - start);
            for tick in axis.ticks.iter().filter(|tick| **tick <= 100.0) {
                let ends = [at(place(*tick), HEAD), at(place(*tick), bottom)];
                area.draw(&PathElement::new(ends, scale.line(0.75, GRID)))?;
                let style = centred(scale.font(10.0, FAINT));
                area.draw(&Text::new(
                    trimmed(*tick),
                    at(place(*tick), bottom + 9.0),
                    style,
                ))?;
            }
            let heading = at(0.5 * (start + end), HEAD - 14.0);
            let style = centred(scale.font(12.5, INK));
            area.draw(&Text::new(outcome.to_string(), heading, style))?;
            let unit = match axis.is_logarithmic() {
                true => "episodes / %, logarithmic",
                false => "episodes / %",
            };
            let style = centred(scale.font(10.0, FAINT));
            area.draw(&Text::new(
                unit,
                at(0.5 * (start + end), bottom + 26.0),
                style,
            ))?;
            for (row, (_, report)) in evaluations.iter().enumerate() {
                let y = HEAD + ROW * (row as f64 + 0.5);
                let [rate, low, high] = percent(report, outcome);
                let color = series(row);
                let ends = [at(place(low), y), at(place(high), y)];
                area.draw(&PathElement::new(ends, scale.line(1.4, color)))?;
                area.draw(&Circle::new(
                    at(place(rate), y),
                    scale.px(3.6),
                    color.filled(),
                ))?;
                let style = right(scale.font(11.0, INK));
                let number = at(start + PANEL - 4.0, y);
                area.draw(&Text::new(format!("{rate:.1}"), number, style))?;
            }
        }
        Ok(())
    })
}
