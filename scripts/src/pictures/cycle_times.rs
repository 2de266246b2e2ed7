//! Compute time and wake-up lateness of the control thread.

use anyhow::Result;
use controller::deploy::{Histogram, LoopReport};
use plotters::prelude::*;

use super::{FAINT, GRID, INK, Image, draw_title, left, right, series, trimmed};

/// Histograms of compute time and wake-up lateness over logarithmic axes.
///
/// # Errors
/// When plotters cannot draw.
pub fn cycle_times(title: &str, report: &LoopReport) -> Result<Image> {
    let panels = [
        ("compute time", &report.compute, series(0)),
        ("wake-up lateness", &report.lateness, series(1)),
    ];
    let bounds = panels.iter().flat_map(|(_, histogram, _)| {
        let quantile = histogram.quantile_ns(0.001).max(100);
        [quantile, histogram.max_ns()]
    });
    // Whole powers of ten, at least from 1 us to 1 ms.
    let (low, high) = bounds.fold((3.0_f64, 6.0_f64), |(low, high), ns| {
        let power = (ns.max(1) as f64).log10();
        (low.min(power.floor()), high.max(power.ceil()))
    });
    Image::draw([640, 460], |area, scale| {
        draw_title(area, scale, title)?;
        let (_, body) = area.split_vertically(scale.px(34.0));
        for (panel, (name, histogram, color)) in body.split_evenly((2, 1)).iter().zip(&panels) {
            // Logarithmic counts, so that one late cycle in a hundred thousand shows.
            let top = (histogram.count().max(10) as f64).log10().ceil();
            let mut chart = ChartBuilder::on(panel)
                .margin_top(scale.px(8.0))
                .margin_right(scale.px(18.0))
                .margin_left(scale.px(12.0))
                .margin_bottom(scale.px(6.0))
                .x_label_area_size(scale.px(36.0))
                .y_label_area_size(scale.px(52.0))
                .build_cartesian_2d(low - 3.0..high - 3.0, 0.0..top + 0.7)?;
            let number = |power: &f64| trimmed(10_f64.powf(*power));
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(scale.line(0.75, GRID))
                .axis_style(scale.line(0.75, FAINT))
                .label_style(scale.font(11.0, INK))
                .axis_desc_style(scale.font(12.0, INK))
                .x_desc(format!("{name} / us"))
                .y_desc("cycles")
                .x_labels((high - low) as usize + 1)
                .y_labels(top as usize + 1)
                .x_label_formatter(&number)
                .y_label_formatter(&number)
                .set_all_tick_mark_size(scale.px(3.0))
                .draw()?;
            chart.draw_series(
                bars(histogram, low)
                    .map(|corners| Rectangle::new(corners, color.mix(0.75).filled())),
            )?;
            let quantiles = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "max")];
            let mut text = Vec::new();
            for (share, label) in quantiles {
                let us = histogram.quantile_ns(share) as f64 * 1e-3;
                text.push(format!("{label} {us:.0}"));
                if us > 0.0 {
                    let line = [(us.log10(), 0.0), (us.log10(), top)];
                    chart.draw_series(DashedLineSeries::new(
                        line,
                        scale.px(4.0) as u32,
                        scale.px(3.0) as u32,
                        scale.line(1.0, FAINT),
                    ))?;
                }
            }
            let (x, y) = chart.backend_coord(&(high - 3.0, top + 0.7));
            let at = (x - scale.px(4.0), y + scale.px(10.0));
            let text = format!("{} us", text.join(",  "));
            area.draw(&Text::new(text, at, right(scale.font(11.5, INK))))?;
        }
        let text = format!("{} cycles, {} overruns", report.cycles, report.overruns);
        let at = (scale.px(400.0), scale.px(19.0));
        area.draw(&Text::new(text, at, left(scale.font(11.5, FAINT))))?;
        Ok(())
    })
}

/// Corners of one bar per bucket, as log10 of us and of counts.
fn bars(histogram: &Histogram, low: f64) -> impl Iterator<Item = [(f64, f64); 2]> + '_ {
    histogram.buckets().map(move |(from_ns, to_ns, count)| {
        let power = |ns: u64| (ns.max(1) as f64).log10().max(low) - 3.0;
        // A single count has a visible height, too.
        let height = (count as f64).log10().max(0.08);
        [(power(from_ns), 0.0), (power(to_ns), height)]
    })
}
