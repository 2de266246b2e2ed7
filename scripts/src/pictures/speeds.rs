//! Histograms of speed.

use anyhow::Result;
use plotters::prelude::*;

use super::{FAINT, INK, Image, draw_axes, draw_title, left, round_up, series};

/// The axis ends here at the latest, m/s.
const MOST_MPS: f32 = 20.0;

/// Horizontal speeds while on the way to the goal, one per reached episode, m/s.
pub struct Speeds {
    /// Name of the evaluation; not shown if it is the only one.
    pub name: String,
    /// Mean over an episode.
    pub mean_mps: Vec<f32>,
    /// Largest in an episode.
    pub peak_mps: Vec<f32>,
}

/// Histograms of mean and peak speed over the reached episodes, one panel per evaluation.
///
/// # Errors
/// When plotters cannot draw.
pub fn speed_histograms(title: &str, evaluations: &[Speeds]) -> Result<Image> {
    let fastest = (evaluations.iter()).flat_map(|speeds| &speeds.peak_mps);
    let fastest_mps = fastest.fold(1.0_f32, |a, b| a.max(*b)).min(MOST_MPS);
    let top_mps = round_up(f64::from(fastest_mps) * 1.02);
    let bin_mps = if top_mps > 2.0 { 0.1 } else { 0.05 };
    let panels = evaluations.len();
    let size = [560, 40 + 260 * panels as u32];
    Image::draw(size, |area, scale| {
        draw_title(area, scale, title)?;
        let (_, body) = area.split_vertically(scale.px(34.0));
        for (panel, speeds) in body.split_evenly((panels, 1)).iter().zip(evaluations) {
            let count = speeds.peak_mps.len();
            let series = [
                ("mean", &speeds.mean_mps, series(0)),
                ("peak", &speeds.peak_mps, series(1)),
            ]
            .map(|(name, values, color)| (name, values, shares(values, bin_mps, top_mps), color));
            let bars = series.iter().flat_map(|(_, _, shares, _)| shares);
            let tallest = bars.fold(1.0_f64, |a, b| a.max(*b));
            let mut chart = ChartBuilder::on(panel)
                .margin_top(scale.px(8.0))
                .margin_right(scale.px(18.0))
                .margin_left(scale.px(12.0))
                .margin_bottom(scale.px(6.0))
                .x_label_area_size(scale.px(36.0))
                .y_label_area_size(scale.px(52.0))
                .build_cartesian_2d(0.0..top_mps, 0.0..tallest * 1.25)?;
            let axes = ["horizontal speed / (m/s)", "reached episodes / %"];
            draw_axes(&mut chart, scale, axes, [10, 5])?;
            for (_, _, shares, color) in &series {
                chart.draw_series([Polygon::new(steps(shares, bin_mps), color.mix(0.55))])?;
            }
            let (x0, y0) = chart.backend_coord(&(0.0, tallest * 1.25));
            let mut text_x = x0 + scale.px(10.0);
            for (name, values, _, color) in &series {
                let mean_mps = mean(values).min(top_mps);
                if count > 0 {
                    let line = [(mean_mps, 0.0), (mean_mps, tallest * 1.12)];
                    chart.draw_series(DashedLineSeries::new(
                        line,
                        scale.px(4.0) as u32,
                        scale.px(3.0) as u32,
                        scale.line(1.4, *color),
                    ))?;
                }
                let half = scale.px(5.0);
                let y = y0 + scale.px(10.0);
                area.draw(&Rectangle::new(
                    [(text_x, y - half), (text_x + 2 * half, y + half)],
                    color.mix(0.7).filled(),
                ))?;
                let text = match count {
                    0 => name.to_string(),
                    _ => format!("{name}: {mean_mps:.2} m/s"),
                };
                let style = left(scale.font(11.5, INK));
                area.draw(&Text::new(text, (text_x + scale.px(15.0), y), style))?;
                text_x += scale.px(122.0);
            }
            let text = match panels {
                1 => format!("{count} reached episodes"),
                _ => format!("{} ({count} reached episodes)", speeds.name),
            };
            let at = (text_x + scale.px(10.0), y0 + scale.px(10.0));
            area.draw(&Text::new(text, at, left(scale.font(11.5, FAINT))))?;
        }
        Ok(())
    })
}

fn mean(values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    sum / values.len().max(1) as f64
}

/// Share of the values in each bin from 0 to `top`, %.
fn shares(values: &[f32], bin: f64, top: f64) -> Vec<f64> {
    let bins = (top / bin).ceil() as usize;
    let mut shares = vec![0.0; bins];
    for value in values {
        let index = ((f64::from(*value) / bin) as usize).min(bins - 1);
        shares[index] += 100.0 / values.len() as f64;
    }
    shares
}

/// Outline of a histogram.
fn steps(shares: &[f64], bin: f64) -> Vec<(f64, f64)> {
    let edge = |index: usize| index as f64 * bin;
    let tops = shares
        .iter()
        .enumerate()
        .flat_map(|(index, share)| [(edge(index), *share), (edge(index + 1), *share)]);
    [(0.0, 0.0)]
        .into_iter()
        .chain(tops)
        .chain([(edge(shares.len()), 0.0)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_its_bin() {
        assert_eq!(
            shares(&[0.05, 0.15, 0.19, 0.3], 0.1, 0.3),
            [25.0, 50.0, 25.0]
        );
        assert_eq!(shares(&[], 0.1, 0.2), [0.0, 0.0]);
    }
}
