//! How well the recovery policy follows its command.

use anyhow::Result;
use plotters::prelude::*;
use sim::eval::{CaseReport, RecoveryReport};

use super::{COLLISION, FAINT, Image, draw_axes, draw_title, round_up, series};

/// Commanded and mean value of one axis of a case that did not fall.
type Axis = fn(&CaseReport) -> Option<(f64, f64)>;

/// Mean velocity over commanded velocity, one panel for v_x, v_y and w_z, one dot per case; the line is exact tracking.
/// Cases with a fall are red.
///
/// # Errors
/// When plotters cannot draw.
pub fn twist_tracking(title: &str, report: &RecoveryReport) -> Result<Image> {
    let panels: [(&str, &str, Axis); 3] = [
        ("commanded v_x / (m/s)", "mean v_x / (m/s)", |case| {
            Some((case.command.vx_mps.into(), case.mean_vx_mps?))
        }),
        ("commanded v_y / (m/s)", "mean v_y / (m/s)", |case| {
            Some((case.command.vy_mps.into(), case.mean_vy_mps?))
        }),
        ("commanded w_z / (rad/s)", "mean w_z / (rad/s)", |case| {
            Some((
                case.command.yaw_rate_radps.into(),
                case.mean_yaw_rate_radps?,
            ))
        }),
    ];
    Image::draw([900, 360], |area, scale| {
        draw_title(area, scale, title)?;
        let (_, body) = area.split_vertically(scale.px(34.0));
        for (panel, (x_label, y_label, axis)) in body.split_evenly((1, 3)).iter().zip(panels) {
            let points: Vec<_> = (report.cases.iter())
                .filter_map(|case| Some((axis(case)?, case.falls > 0)))
                .collect();
            let largest = points.iter().map(|((x, y), _)| x.abs().max(y.abs()));
            let edge = round_up(1.05 * largest.fold(0.1, f64::max));
            let mut chart = ChartBuilder::on(panel)
                .margin_top(scale.px(8.0))
                .margin_right(scale.px(14.0))
                .margin_left(scale.px(10.0))
                .margin_bottom(scale.px(6.0))
                .x_label_area_size(scale.px(36.0))
                .y_label_area_size(scale.px(50.0))
                .build_cartesian_2d(-edge..edge, -edge..edge)?;
            draw_axes(&mut chart, scale, [x_label, y_label], [5, 5])?;
            let diagonal = [(-edge, -edge), (edge, edge)];
            chart.draw_series([PathElement::new(diagonal, scale.line(1.0, FAINT))])?;
            for (point, fell) in points {
                let color = if fell { COLLISION } else { series(0) };
                let dot = Circle::new(point, scale.px(3.0), color.mix(0.6).filled());
                chart.draw_series([dot])?;
            }
        }
        Ok(())
    })
}
