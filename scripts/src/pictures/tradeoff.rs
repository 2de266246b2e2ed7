//! Agility against safety, as in the paper's Figure 7.

use anyhow::Result;
use plotters::prelude::*;
use sim::eval::EvalReport;

use super::{
    FAINT, INK, Image, SERIES, draw_axes, draw_legend, draw_title, left, legend_height, round_up,
};

/// The paper's Table III: mean speed, m/s, and collision rate, %, in its simulator.
const PAPER: [(&str, f64, f64); 7] = [
    ("ABS-a", 2.15, 4.4),
    ("ABS-n", 2.08, 5.7),
    ("ABS-c", 1.87, 2.9),
    ("agile-a", 2.55, 26.1),
    ("agile-n", 2.39, 21.7),
    ("agile-c", 2.04, 15.5),
    ("LAG-n", 1.41, 9.1),
];

/// Collision rate over mean speed, one dot per evaluation with its 95% interval; with `paper`, the paper's results as
/// open rings. Good is to the right and low.
///
/// # Errors
/// When plotters cannot draw.
pub fn speed_against_collision(
    title: &str,
    evaluations: &[(String, EvalReport)],
    paper: bool,
) -> Result<Image> {
    let names: Vec<&str> = evaluations.iter().map(|(name, _)| name.as_str()).collect();
    let published = PAPER.iter().filter(|_| paper);
    let speeds = evaluations.iter().map(|(_, report)| report.mean_speed);
    let speeds = speeds.chain(published.clone().map(|(_, speed, _)| *speed));
    let fastest = round_up(1.1 * speeds.fold(0.5, f64::max));
    let rates = evaluations
        .iter()
        .map(|(_, report)| 100.0 * report.collision_ci95[1]);
    let rates = rates.chain(published.clone().map(|(_, _, rate)| *rate));
    let highest = round_up(1.1 * rates.fold(1.0, f64::max)).min(100.0);
    let size = [560, 420 + legend_height(&names)];
    Image::draw(size, 2, |area, scale| {
        draw_title(area, scale, title)?;
        draw_legend(area, scale, &names)?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(scale.px(40.0))
            .margin_right(scale.px(18.0))
            .margin_left(scale.px(12.0))
            .margin_bottom(scale.px(8.0 + f64::from(legend_height(&names))))
            .x_label_area_size(scale.px(38.0))
            .y_label_area_size(scale.px(52.0))
            .build_cartesian_2d(0.0..fastest, 0.0..highest)?;
        let axes = [
            "mean speed of episodes that reached / (m/s)",
            "collision rate / %",
        ];
        draw_axes(&mut chart, scale, axes, [8, 6])?;
        for (name, speed, rate) in published {
            let ring = Circle::new((*speed, *rate), scale.px(3.5), scale.line(1.0, FAINT));
            chart.draw_series([ring])?;
            let (x, y) = chart.backend_coord(&(*speed, *rate));
            let at = (x + scale.px(7.0), y);
            let text = format!("{name} (paper)");
            area.draw(&Text::new(text, at, left(scale.font(10.0, FAINT))))?;
        }
        for (index, (_, report)) in evaluations.iter().enumerate() {
            let color = SERIES[index % SERIES.len()];
            let at = (report.mean_speed, 100.0 * report.collision_rate);
            let [low, high] = report.collision_ci95.map(|rate| (at.0, 100.0 * rate));
            chart.draw_series([PathElement::new([low, high], scale.line(1.2, INK))])?;
            chart.draw_series([Circle::new(at, scale.px(5.0), color.filled())])?;
        }
        Ok(())
    })
}
