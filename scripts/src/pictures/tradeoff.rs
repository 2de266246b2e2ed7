//! Agility against safety, as in the paper's Figure 7.

use anyhow::Result;
use plotters::prelude::*;
use sim::eval::EvalReport;

use super::{
    FAINT, INK, Image, SERIES, draw_axes, draw_legend, draw_title, left, legend_height, round_up,
};

/// A row of the paper's Table III: 10,000 episodes, three seeds, in its simulator.
pub struct PaperResult {
    /// Method and variant.
    pub name: &'static str,
    /// Mean and standard deviation, %.
    pub reach: [f64; 2],
    /// Mean and standard deviation, %.
    pub collision: [f64; 2],
    /// %.
    pub time_out: f64,
    /// Over successful episodes.
    pub mean_mps: f64,
    /// Over successful episodes.
    pub peak_mps: f64,
}

/// The paper's Table III.
#[rustfmt::skip]
pub const PAPER: [PaperResult; 7] = [
    PaperResult { name: "ABS-a", reach: [78.9, 1.4], collision: [4.4, 0.5], time_out: 16.7, mean_mps: 2.15, peak_mps: 3.74 },
    PaperResult { name: "ABS-n", reach: [79.1, 4.4], collision: [5.7, 2.9], time_out: 15.2, mean_mps: 2.08, peak_mps: 3.48 },
    PaperResult { name: "ABS-c", reach: [85.8, 5.6], collision: [2.9, 0.7], time_out: 11.3, mean_mps: 1.87, peak_mps: 2.98 },
    PaperResult { name: "agile-a", reach: [73.3, 4.3], collision: [26.1, 4.4], time_out: 0.6, mean_mps: 2.55, peak_mps: 3.83 },
    PaperResult { name: "agile-n", reach: [77.3, 4.2], collision: [21.7, 3.9], time_out: 1.0, mean_mps: 2.39, peak_mps: 3.55 },
    PaperResult { name: "agile-c", reach: [83.2, 1.7], collision: [15.5, 2.0], time_out: 1.3, mean_mps: 2.04, peak_mps: 3.04 },
    PaperResult { name: "LAG-n", reach: [77.4, 11.5], collision: [9.1, 1.8], time_out: 13.5, mean_mps: 1.41, peak_mps: 2.45 },
];

/// Collision rate over mean speed, one dot per evaluation with its 95% interval; with `paper`, the paper's results as
/// open rings. Lower right is better.
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
    let speeds = speeds.chain(published.clone().map(|row| row.mean_mps));
    let fastest = round_up(1.1 * speeds.fold(0.5, f64::max));
    let rates = evaluations
        .iter()
        .map(|(_, report)| 100.0 * report.collision_ci95[1]);
    let rates = rates.chain(published.clone().map(|row| row.collision[0]));
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
        for row in published {
            let (name, at) = (row.name, (row.mean_mps, row.collision[0]));
            let ring = Circle::new(at, scale.px(3.5), scale.line(1.0, FAINT));
            chart.draw_series([ring])?;
            let (x, y) = chart.backend_coord(&at);
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
