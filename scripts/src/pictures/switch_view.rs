//! Decisions of the switch: where the recovery policy acted, the value over time, the twist that the search found.

use anyhow::Result;
use controller::Mode;
use nalgebra::{Point2, Vector2};
use plotters::prelude::*;
use policies::Twist;
use sim::eval::TraceStep;

use super::{Area, Chart, FAINT, GRID, INK, RECOVERY, Scale, left, right, top_view::to_chart};

/// A twist is drawn as the arc that the robot would follow in this time, s.
const TWIST_S: f32 = 0.8;

/// A band under the path where the recovery policy acted, `width` points wide.
pub fn draw_recovery(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    trace: &[TraceStep],
    width: f64,
) -> Result<()> {
    for pair in trace
        .windows(2)
        .filter(|pair| pair[0].mode == Mode::Recovery)
    {
        let ends = [&pair[0], &pair[1]].map(|step| to_chart(step.state.position_world.xy()));
        let color = RECOVERY.mix(0.9);
        chart.draw_series([PathElement::new(ends, scale.line(width, color))])?;
        let radius = scale.px(0.5 * width);
        chart.draw_series([Circle::new(ends[1], radius, color.filled())])?;
    }
    Ok(())
}

/// The arc that the robot would follow from here at the twist of the search, as an arrow.
pub fn draw_twist(chart: &mut Chart<'_, '_>, scale: Scale, now: &TraceStep) -> Result<()> {
    let Some(twist) = now.twist else {
        return Ok(());
    };
    let points = arc(now.state.position_world.xy(), now.yaw_rad, twist, TWIST_S);
    let line: Vec<_> = points.iter().copied().map(to_chart).collect();
    chart.draw_series([PathElement::new(line, scale.line(2.4, RECOVERY))])?;
    if let [.., before, end] = points[..] {
        let way = end - before;
        if way.norm() > 1e-4 {
            let forward = way.normalize();
            let aside = Vector2::new(-forward.y, forward.x);
            let head = [end + forward * 0.12, end + aside * 0.06, end - aside * 0.06];
            chart.draw_series([Polygon::new(head.map(to_chart).to_vec(), RECOVERY)])?;
        }
    }
    Ok(())
}

/// Positions along an arc at a constant twist in the base frame.
fn arc(from: Point2<f32>, yaw_rad: f32, twist: Twist, seconds: f32) -> Vec<Point2<f32>> {
    const STEPS: usize = 16;
    let step_s = seconds / STEPS as f32;
    let mut at = from;
    let mut points = vec![from];
    for step in 0..STEPS {
        let heading = yaw_rad + (step as f32 + 0.5) * step_s * twist.yaw_rate_radps;
        let (sin, cos) = heading.sin_cos();
        at += step_s
            * Vector2::new(
                cos * twist.vx_mps - sin * twist.vy_mps,
                sin * twist.vx_mps + cos * twist.vy_mps,
            );
        points.push(at);
    }
    points
}

/// The value until `step` over the time of the whole episode; the threshold as a line, recovery shaded.
pub fn draw_value_strip(
    area: &Area<'_>,
    scale: Scale,
    trace: &[TraceStep],
    step: usize,
    threshold: f32,
) -> Result<()> {
    let end_s = f64::from(trace[trace.len() - 1].time_s).max(0.1);
    let mut chart = ChartBuilder::on(area).build_cartesian_2d(0.0..end_s, -1.1..1.1)?;
    let shown = &trace[..=step];
    let time_s = |step: &TraceStep| f64::from(step.time_s);
    for pair in shown
        .windows(2)
        .filter(|pair| pair[0].mode == Mode::Recovery)
    {
        let corners = [(time_s(&pair[0]), -1.1), (time_s(&pair[1]), 1.1)];
        chart.draw_series([Rectangle::new(corners, RECOVERY.mix(0.25).filled())])?;
    }
    for (level, color) in [(0.0, GRID), (f64::from(threshold), FAINT)] {
        let ends = [(0.0, level), (end_s, level)];
        chart.draw_series([PathElement::new(ends, scale.line(0.9, color))])?;
    }
    let line = shown
        .iter()
        .filter_map(|step| Some((time_s(step), f64::from(step.value?))));
    chart.draw_series(LineSeries::new(line, scale.line(1.6, INK)))?;
    let (width, height) = area.dim_in_pixel();
    let at = (scale.px(8.0), scale.px(10.0));
    let label = "reach-avoid value: 1 danger, -1 safe";
    area.draw(&Text::new(label, at, left(scale.font(10.5, FAINT))))?;
    let at = (width as i32 - scale.px(8.0), height as i32 - scale.px(9.0));
    let label = format!("{end_s:.1} s");
    area.draw(&Text::new(label, at, right(scale.font(10.5, FAINT))))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, PI};

    use super::*;

    #[test]
    fn a_turning_twist_is_a_part_of_a_circle() {
        // 1 m/s at pi/2 rad/s for 2 s: half a circle of diameter 2 / (pi / 2) to the left.
        let twist = Twist {
            vx_mps: 1.0,
            vy_mps: 0.0,
            yaw_rate_radps: FRAC_PI_2,
        };
        let points = arc(Point2::new(1.0, 2.0), 0.0, twist, 2.0);
        let end = points[points.len() - 1];
        assert!((end.x - 1.0).abs() < 1e-4, "{end}");
        assert!((end.y - 2.0 - 4.0 / PI).abs() < 0.01, "{end}");
    }
}
