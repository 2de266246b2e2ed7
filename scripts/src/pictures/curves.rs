//! Learning curves: one small panel per scalar, all runs in each.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use plotters::prelude::*;

use super::{INK, Image, draw_axes, draw_legend, draw_title, left, legend_height, series, trimmed};

/// Scalars of a run over its course.
pub struct Curves {
    /// Name of the run.
    pub name: String,
    /// For each scalar, (policy steps, value).
    pub scalars: BTreeMap<String, Vec<(f64, f64)>>,
}

const COLUMNS: usize = 4;
const PANEL: [f64; 2] = [258.0, 168.0];

/// Draws every scalar of any of the runs: progress first, then rewards, then the rest. The strong line is a running mean
/// where there are many points.
///
/// # Errors
/// No scalar at all.
pub fn learning_curves(title: &str, runs: &[Curves]) -> Result<Image> {
    let mut names: Vec<&str> = runs
        .iter()
        .flat_map(|run| run.scalars.keys())
        .map(|n| &**n)
        .collect();
    names.sort_by_key(|name| (rank(name), *name));
    names.dedup();
    ensure!(!names.is_empty(), "there is nothing to plot");
    let run_names: Vec<&str> = match runs.len() {
        1 => Vec::new(),
        _ => runs.iter().map(|run| run.name.as_str()).collect(),
    };
    let rows = names.len().div_ceil(COLUMNS);
    let columns = names.len().min(COLUMNS);
    let width = (columns as f64 * PANEL[0]) as u32 + 16;
    let height = (rows as f64 * PANEL[1]) as u32 + 44 + legend_height(&run_names);
    let ends = runs
        .iter()
        .flat_map(|run| run.scalars.values())
        .filter_map(|points| points.last());
    let last_step = ends.fold(1.0_f64, |last, (step, _)| last.max(*step));
    Image::draw([width, height], |area, scale| {
        draw_title(area, scale, title)?;
        draw_legend(area, scale, &run_names)?;
        for (index, name) in names.iter().enumerate() {
            let x = (index % COLUMNS) as f64 * PANEL[0] + 8.0;
            let y = (index / COLUMNS) as f64 * PANEL[1] + 36.0;
            let corner = (scale.px(x), scale.px(y));
            let panel = area
                .clone()
                .shrink(corner, (scale.px(PANEL[0]), scale.px(PANEL[1])));
            let heading = (scale.px(46.0), scale.px(9.0));
            panel.draw(&Text::new(
                (*name).to_owned(),
                heading,
                left(scale.font(11.5, INK)),
            ))?;
            let curves: Vec<_> = runs.iter().map(|run| run.scalars.get(*name)).collect();
            let [low, high] = value_range(curves.iter().flatten().flat_map(|points| points.iter()));
            let mut chart = ChartBuilder::on(&panel)
                .margin_top(scale.px(18.0))
                .margin_right(scale.px(14.0))
                .x_label_area_size(scale.px(24.0))
                .y_label_area_size(scale.px(44.0))
                .build_cartesian_2d(0.0..last_step, low..high)?;
            draw_axes(&mut chart, scale, ["", ""], [4, 4])?;
            for (run, points) in curves.iter().enumerate() {
                let Some(points) = points else { continue };
                let color = series(run);
                let shown = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
                    let finite = points.iter().filter(|(_, value)| value.is_finite());
                    finite
                        .map(|(step, value)| (*step, value.clamp(low, high)))
                        .collect()
                };
                let mut strong = shown(points);
                if points.len() > 40 {
                    let faint = scale.line(0.7, color.mix(0.28));
                    // Segment by segment: the mitred joints of a polyline reach far out of the panel at sharp turns.
                    let pieces = strong.windows(2).map(<[_]>::to_vec);
                    chart.draw_series(pieces.map(|piece| PathElement::new(piece, faint)))?;
                    strong = shown(&running_mean(points, points.len() / 30));
                }
                chart.draw_series([PathElement::new(strong, scale.line(1.4, color))])?;
            }
        }
        let foot = format!("over {} policy steps", trimmed(last_step));
        let at = (
            area.dim_in_pixel().0 as i32 - scale.px(16.0),
            scale.px(19.0),
        );
        area.draw(&Text::new(
            foot,
            at,
            super::right(scale.font(11.5, super::FAINT)),
        ))?;
        Ok(())
    })
}

/// Groups of scalars in reading order.
fn rank(name: &str) -> usize {
    let groups = [
        "eval/",
        "test/",
        "episode/",
        "curriculum/",
        "env/",
        "reward/",
        "learner/",
    ];
    let place = groups.iter().position(|group| name.starts_with(group));
    place.unwrap_or(groups.len())
}

/// Range of the axis: all but the most extreme half per cent on either side.
fn value_range<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> [f64; 2] {
    let mut values: Vec<f64> = points
        .map(|(_, value)| *value)
        .filter(|v| v.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
        return [0.0, 1.0];
    };
    if first == 0.0 && last == 0.0 {
        return [0.0, 1.0];
    }
    let cut = if values.len() >= 200 {
        values.len() / 200
    } else {
        0
    };
    let [low, high] = [values[cut], values[values.len() - 1 - cut]];
    let [low, high] = if low < high {
        [low, high]
    } else {
        [first, last]
    };
    // Start at zero if that costs little space, so that proportions can be read.
    let [low, high] = match (low, high) {
        (low, high) if low > 0.0 && low < 0.5 * high => [0.0, high],
        (low, high) if high < 0.0 && high > 0.5 * low => [low, 0.0],
        range => range.into(),
    };
    let margin = if low < high {
        0.06 * (high - low)
    } else {
        0.5 * low.abs()
    };
    let low = if low == 0.0 { low } else { low - margin };
    [low, high + margin]
}

/// Mean over a window of `half` points on either side.
fn running_mean(points: &[(f64, f64)], half: usize) -> Vec<(f64, f64)> {
    let window =
        |index: usize| &points[index.saturating_sub(half)..(index + half + 1).min(points.len())];
    let mean = |index: usize| {
        let finite = window(index)
            .iter()
            .map(|(_, value)| *value)
            .filter(|v| v.is_finite());
        let (sum, count) = finite.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
        sum / f64::from(count.max(1))
    };
    (0..points.len())
        .map(|index| (points[index].0, mean(index)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_mean_is_cut_off_at_the_ends() {
        let points = [(0.0, 0.0), (1.0, 3.0), (2.0, 6.0), (3.0, f64::NAN)];
        let means: Vec<f64> = running_mean(&points, 1).iter().map(|p| p.1).collect();
        assert_eq!(means, [1.5, 3.0, 4.5, 6.0]);
    }

    #[test]
    fn the_axis_shows_zero_where_that_costs_little() {
        assert_eq!(value_range([(0.0, 0.1), (0.0, 1.0)].iter()), [0.0, 1.06]);
        let [low, high] = value_range([(0.0, 9.0), (0.0, 10.0)].iter());
        assert!(low > 8.0 && high < 11.0, "[{low}, {high}]");
        assert_eq!(value_range([].iter()), [0.0, 1.0]);
    }
}
