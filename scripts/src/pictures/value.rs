//! The reach-avoid value: its reliability, and a map of it from above.

use anyhow::Result;
use nalgebra::{Point2, Point3, Vector3};
use plotters::prelude::*;
use policies::{
    Goal, GoalYaw, Layout, ObservationInput, RayScan, RaySpec, Twist,
    reach_avoid::{ReachAvoidValue, ValueReport},
};
use robots::{Robot, RobotState};
use sim::{scene::Obstacle, sensors::RayCaster};

use super::{
    Area, COLLISION, Chart, FAINT, GRID, INK, Image, REACH, Scale, TIME_OUT, centred, draw_axes,
    draw_title, left, series,
    top_view::{draw_goal, draw_obstacle},
};

/// Predicted value against the outcome, on held-out states: above the fractions of the outcomes, below the mean value of the
/// recorded trajectories.
///
/// # Errors
/// When plotters cannot draw.
pub fn reliability(title: &str, report: &ValueReport) -> Result<Image> {
    Image::draw([620, 640], |area, scale| {
        draw_title(area, scale, title)?;
        let (_, body) = area.split_vertically(scale.px(34.0));
        let panels = body.split_evenly((2, 1));
        draw_shares(&panels[0], scale, report)?;
        draw_means(&panels[1], scale, report)
    })
}

fn axes<'a, 'b>(panel: &'a Area<'b>, scale: Scale, y: [f64; 2]) -> Result<Chart<'a, 'b>> {
    Ok(ChartBuilder::on(panel)
        .margin_top(scale.px(22.0))
        .margin_right(scale.px(18.0))
        .margin_left(scale.px(12.0))
        .margin_bottom(scale.px(6.0))
        .x_label_area_size(scale.px(36.0))
        .y_label_area_size(scale.px(52.0))
        .build_cartesian_2d(-1.0..1.0, y[0]..y[1])?)
}

fn draw_shares(panel: &Area<'_>, scale: Scale, report: &ValueReport) -> Result<()> {
    let mut chart = axes(panel, scale, [0.0, 100.0])?;
    draw_axes(
        &mut chart,
        scale,
        ["predicted value", "followed by / %"],
        [11, 6],
    )?;
    for bin in report.calibration.iter().filter(|bin| bin.states > 0) {
        let (from, to) = (f64::from(bin.from), f64::from(bin.to));
        let collision = 100.0 * bin.collision_fraction;
        let short_of_goal = collision + 100.0 * bin.timeout_fraction;
        for (low, high, color) in [
            (0.0, collision, COLLISION),
            (collision, short_of_goal, TIME_OUT),
            (short_of_goal, 100.0, REACH),
        ] {
            let corners = [(from, low), (to, high)];
            chart.draw_series([Rectangle::new(corners, color.mix(0.75).filled())])?;
        }
    }
    draw_threshold(&mut chart, scale, report.rates.threshold, [0.0, 100.0])?;
    let mut x = scale.px(70.0);
    for (name, color) in [
        ("collision", COLLISION),
        ("neither", TIME_OUT),
        ("goal", REACH),
    ] {
        draw_key(panel, scale, x, name, color)?;
        x += scale.px(92.0);
    }
    let threshold = format!("threshold {}", report.rates.threshold);
    draw_key(panel, scale, x, &threshold, INK)
}

fn draw_means(panel: &Area<'_>, scale: Scale, report: &ValueReport) -> Result<()> {
    let mut chart = axes(panel, scale, [-1.0, 1.0])?;
    draw_axes(
        &mut chart,
        scale,
        ["predicted value", "mean value of the trajectories"],
        [11, 11],
    )?;
    let all = report.states.max(1) as f64;
    let most = report.calibration.iter().map(|bin| bin.states).max();
    let most = most.unwrap_or(1).max(1) as f64;
    for bin in &report.calibration {
        let height = -1.0 + 0.6 * bin.states as f64 / most;
        let corners = [(f64::from(bin.from), -1.0), (f64::from(bin.to), height)];
        chart.draw_series([Rectangle::new(corners, GRID.filled())])?;
    }
    let diagonal = [(-1.0, -1.0), (1.0, 1.0)];
    chart.draw_series([PathElement::new(diagonal, scale.line(0.8, FAINT))])?;
    draw_threshold(&mut chart, scale, report.rates.threshold, [-1.0, 1.0])?;
    let bins = report.calibration.iter().filter(|bin| bin.states > 0);
    let points: Vec<_> = bins.map(|b| (b.mean_predicted, b.mean_course)).collect();
    let line = scale.line(1.2, series(0));
    chart.draw_series([PathElement::new(points.clone(), line)])?;
    for point in points {
        let dot = Circle::new(point, scale.px(3.2), series(0).filled());
        chart.draw_series([dot])?;
    }
    draw_key(panel, scale, scale.px(70.0), "mean value", series(0))?;
    let states = format!("{all} states, in proportion");
    draw_key(panel, scale, scale.px(162.0), &states, GRID)
}

fn draw_threshold(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    threshold: f32,
    [low, high]: [f64; 2],
) -> Result<()> {
    let x = f64::from(threshold);
    chart.draw_series(DashedLineSeries::new(
        [(x, low), (x, high)],
        scale.px(4.0) as u32,
        scale.px(3.0) as u32,
        scale.line(1.2, INK),
    ))?;
    Ok(())
}

/// A colour and its name over a panel.
fn draw_key(panel: &Area<'_>, scale: Scale, x: i32, name: &str, color: RGBColor) -> Result<()> {
    let (y, half) = (scale.px(11.0), scale.px(5.0));
    let corners = [(x, y - half), (x + 2 * half, y + half)];
    panel.draw(&Rectangle::new(corners, color.mix(0.8).filled()))?;
    let at = (x + scale.px(15.0), y);
    panel.draw(&Text::new(name.to_owned(), at, left(scale.font(11.5, INK))))?;
    Ok(())
}

/// A value function, to be drawn from above.
pub struct ValuePlane<'a> {
    /// The value.
    pub value: ReachAvoidValue,
    /// What it observes.
    pub layout: Layout,
    /// The robot.
    pub robot: &'a Robot,
    /// Its rays.
    pub rays: &'a RaySpec,
    /// Values below this are safe.
    pub threshold: f32,
}

const SPEEDS_MPS: [f32; 3] = [1.0, 2.5, 4.0];
const X_M: [f64; 2] = [-1.5, 5.5];
const Y_M: [f64; 2] = [-2.0, 2.0];
const CELL_M: f64 = 0.05;
const GOAL: [f32; 2] = [5.0, 0.0];
const OBSTACLES: [[f32; 2]; 3] = [[1.5, 0.9], [2.2, -0.8], [3.6, 0.3]];

/// Figure 4 of the paper: the value at every position, for a robot that moves along x at 1, 2.5 and 4 m/s.
///
/// # Errors
/// When plotters cannot draw.
pub fn value_planes(title: &str, plane: &mut ValuePlane<'_>) -> Result<Image> {
    let aspect = (Y_M[1] - Y_M[0]) / (X_M[1] - X_M[0]);
    let width = 560.0;
    let height = width * aspect;
    let panel_height = height + 50.0;
    let size = [width as u32 + 140, 40 + 3 * panel_height as u32];
    Image::draw(size, |area, scale| {
        draw_title(area, scale, title)?;
        let (_, body) = area.split_vertically(scale.px(34.0));
        for (panel, speed_mps) in body.split_evenly((3, 1)).iter().zip(SPEEDS_MPS) {
            let mut chart = ChartBuilder::on(panel)
                .margin_top(scale.px(16.0))
                .margin_right(scale.px(80.0))
                .margin_left(scale.px(10.0))
                .x_label_area_size(scale.px(34.0))
                .y_label_area_size(scale.px(46.0))
                .build_cartesian_2d(X_M[0]..X_M[1], Y_M[0]..Y_M[1])?;
            draw_axes(&mut chart, scale, ["x / m", "y / m"], [8, 5])?;
            plane.draw(&mut chart, scale, speed_mps)?;
            let at = (scale.px(58.0), scale.px(7.0));
            let text = format!("{speed_mps} m/s along x");
            panel.draw(&Text::new(text, at, left(scale.font(11.5, INK))))?;
        }
        let x = area.dim_in_pixel().0 as i32 - scale.px(62.0);
        draw_color_bar(
            area,
            scale,
            x,
            [60.0, 40.0 + panel_height - 40.0],
            plane.threshold,
        )
    })
}

impl ValuePlane<'_> {
    fn draw(&mut self, chart: &mut Chart<'_, '_>, scale: Scale, speed_mps: f32) -> Result<()> {
        let obstacles = OBSTACLES.map(|[x, y]| Obstacle::cylinder(x, y, 0.4, 1.0));
        let columns = ((X_M[1] - X_M[0]) / CELL_M).round() as usize;
        let rows = ((Y_M[1] - Y_M[0]) / CELL_M).round() as usize;
        let corner = |column: usize, row: usize| {
            (
                X_M[0] + CELL_M * column as f64,
                Y_M[0] + CELL_M * row as f64,
            )
        };
        let mut values = vec![0.0; columns * rows];
        for row in 0..rows {
            for column in 0..columns {
                let (x, y) = corner(column, row);
                let place = [x + 0.5 * CELL_M, y + 0.5 * CELL_M].map(|x| x as f32);
                let value = self.at(place, speed_mps, &obstacles);
                values[row * columns + column] = value;
                let corners = [corner(column, row), corner(column + 1, row + 1)];
                let color = signed_color(value, self.threshold);
                chart.draw_series([Rectangle::new(corners, color.filled())])?;
            }
        }
        // Where safe meets unsafe.
        let is_safe = |column: usize, row: usize| values[row * columns + column] < self.threshold;
        let line = scale.line(1.0, INK);
        for row in 0..rows {
            for column in 0..columns {
                let safe = is_safe(column, row);
                if column + 1 < columns && safe != is_safe(column + 1, row) {
                    let ends = [corner(column + 1, row), corner(column + 1, row + 1)];
                    chart.draw_series([PathElement::new(ends, line)])?;
                }
                if row + 1 < rows && safe != is_safe(column, row + 1) {
                    let ends = [corner(column, row + 1), corner(column + 1, row + 1)];
                    chart.draw_series([PathElement::new(ends, line)])?;
                }
            }
        }
        for obstacle in &obstacles {
            draw_obstacle(chart, scale, obstacle, 0.0)?;
        }
        draw_goal(chart, scale, Point2::from(GOAL), 0.5)
    }

    /// The value of a robot at a position, heading and moving along x.
    fn at(&mut self, [x, y]: [f32; 2], speed_mps: f32, obstacles: &[Obstacle]) -> f32 {
        let height_m = self.robot.control.standing_height_m;
        let state = RobotState {
            position_world: Point3::new(x, y, height_m),
            linear_velocity_base: Vector3::new(speed_mps, 0.0, 0.0),
            ..RobotState::zero(self.robot.num_joints(), self.robot.num_feet())
        };
        let goal = Goal {
            position_world: GOAL.into(),
            heading_rad: 0.0,
        };
        let mut scan = RayScan::clear(self.rays);
        RayCaster::new(self.rays).cast(&state, obstacles, 0.0, &mut scan);
        let mut observation = vec![0.0; self.layout.dim()];
        self.layout.write(
            &ObservationInput {
                state: &state,
                foot_contact: &[],
                goal: GoalYaw::new(&state, &goal),
                time_left_s: 0.0,
                twist: Twist::default(),
                previous_action: &[],
                ray_distance_m: &scan.distance_m,
                previous_ray_distance_m: &scan.distance_m,
                reality: &[],
            },
            &mut observation,
        );
        self.value.value(&observation)
    }
}

/// Blue below the threshold, red above, white at it.
fn signed_color(value: f32, threshold: f32) -> RGBColor {
    const SAFE: [f64; 3] = [33.0, 102.0, 172.0];
    const UNSAFE: [f64; 3] = [178.0, 24.0, 43.0];
    let (end, share) = if value < threshold {
        (SAFE, (threshold - value) / (threshold + 1.0))
    } else {
        (UNSAFE, (value - threshold) / (1.0 - threshold))
    };
    let share = f64::from(share.clamp(0.0, 1.0)).powf(0.8);
    let [r, g, b] = end.map(|end| (255.0 + share * (end - 255.0)).round() as u8);
    RGBColor(r, g, b)
}

fn draw_color_bar(
    area: &Area<'_>,
    scale: Scale,
    x: i32,
    [top, bottom]: [f64; 2],
    threshold: f32,
) -> Result<()> {
    let (top, bottom) = (scale.px(top), scale.px(bottom));
    let width = scale.px(12.0);
    for y in top..bottom {
        let share = (bottom - y) as f32 / (bottom - top) as f32;
        let color = signed_color(2.0 * share - 1.0, threshold);
        area.draw(&Rectangle::new(
            [(x, y), (x + width, y + 1)],
            color.filled(),
        ))?;
    }
    let heading = (x + scale.px(10.0), top - scale.px(12.0));
    area.draw(&Text::new("value", heading, centred(scale.font(10.5, INK))))?;
    for tick in [-1.0, -0.5, 0.0, 0.5, 1.0] {
        let y = bottom - ((tick + 1.0) / 2.0 * f64::from(bottom - top)) as i32;
        let at = (x + width + scale.px(5.0), y);
        area.draw(&Text::new(
            tick.to_string(),
            at,
            left(scale.font(10.5, INK)),
        ))?;
    }
    Ok(())
}
