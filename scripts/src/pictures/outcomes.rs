//! Outcome rates with their 95% intervals.

use anyhow::Result;
use plotters::prelude::*;
use sim::eval::{EvalReport, Outcome};

use super::{
    GRID, INK, Image, SERIES, centred, draw_legend, draw_title, legend_height, outcome_color,
};

/// One bar per outcome, and per evaluation where there are several; whiskers are Wilson 95% intervals.
///
/// # Errors
/// When plotters cannot draw.
pub fn outcome_bars(title: &str, evaluations: &[(String, EvalReport)]) -> Result<Image> {
    let count = evaluations.len();
    let names: Vec<&str> = match count {
        1 => Vec::new(),
        _ => evaluations.iter().map(|(name, _)| name.as_str()).collect(),
    };
    let size = [300 + 100 * count as u32, 340 + legend_height(&names)];
    Image::draw(size, 2, |area, scale| {
        draw_title(area, scale, title)?;
        draw_legend(area, scale, &names)?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(scale.px(40.0))
            .margin_right(scale.px(16.0))
            .margin_left(scale.px(12.0))
            .margin_bottom(scale.px(8.0 + f64::from(legend_height(&names))))
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

        let slot = 0.76 / count as f64;
        let outcomes = [Outcome::Reach, Outcome::Collision, Outcome::Timeout];
        for (group, outcome) in outcomes.into_iter().enumerate() {
            for (series, (_, report)) in evaluations.iter().enumerate() {
                let (rate, ci95) = match outcome {
                    Outcome::Reach => (report.reach_rate, report.reach_ci95),
                    Outcome::Collision => (report.collision_rate, report.collision_ci95),
                    Outcome::Timeout => (report.time_out_rate, report.time_out_ci95),
                };
                let color = match count {
                    1 => outcome_color(outcome),
                    _ => SERIES[series % SERIES.len()],
                };
                let left = group as f64 + 0.12 + slot * series as f64;
                let middle = left + 0.5 * slot;
                let [percent, low, high] = [rate, ci95[0], ci95[1]].map(|share| 100.0 * share);
                chart.draw_series([Rectangle::new(
                    [(left + 0.06 * slot, 0.0), (left + 0.94 * slot, percent)],
                    color.mix(0.85).filled(),
                )])?;
                let whisker = 0.1 * slot;
                let line = scale.line(1.2, INK);
                chart.draw_series(
                    [
                        [(middle, low), (middle, high)],
                        [(middle - whisker, low), (middle + whisker, low)],
                        [(middle - whisker, high), (middle + whisker, high)],
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
                let text = format!("{percent:.1}");
                let style = centred(scale.font(11.5, INK));
                area.draw(&Text::new(text, (x, y + scale.px(offset)), style))?;
            }
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, 0.0));
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
