//! Episodes seen from above.

use std::f64::consts::TAU;

use anyhow::Result;
use nalgebra::{Point2, Vector2};
use plotters::prelude::*;
use sim::{
    eval::{EpisodeRecord, Outcome, TraceStep},
    scene::{Obstacle, ObstacleShape, TestScene},
};

use super::{
    Area, COLLISION, Chart, FAINT, GRID, INK, Image, REACH, RECOVERY, Scale, centred, draw_axes,
    draw_title, heat, left, outcome_color, outcome_text_color, right, round_up,
    switch_view::draw_recovery,
};

/// Part of the ground that is shown.
#[derive(Clone, Copy)]
pub struct View {
    /// World x, m.
    pub x_m: [f64; 2],
    /// World y, m.
    pub y_m: [f64; 2],
}

impl Default for View {
    fn default() -> Self {
        Self {
            x_m: [-1.0, 8.25],
            y_m: [-2.6, 2.6],
        }
    }
}

impl View {
    /// The area of the test, enlarged to hold all paths.
    pub fn around<'a>(records: impl IntoIterator<Item = &'a EpisodeRecord>) -> Self {
        let mut view = Self::default();
        for record in records {
            view.include_scene(&record.scene);
            for step in &record.trace {
                view.include(step.state.position_world.xy(), 0.4);
            }
        }
        view
    }

    /// Enlarges the view to hold a scene; moving obstacles may leave it.
    pub fn include_scene(&mut self, scene: &TestScene) {
        self.include(scene.goal.position_world, 0.8);
        let standing = (scene.obstacles.iter()).filter(|o| !o.moves());
        for corner in standing.flat_map(Obstacle::bounds) {
            self.include(corner.xy(), 0.1);
        }
    }

    fn include(&mut self, point: Point2<f32>, margin: f64) {
        let [x, y] = [f64::from(point.x), f64::from(point.y)];
        self.x_m = [self.x_m[0].min(x - margin), self.x_m[1].max(x + margin)];
        self.y_m = [self.y_m[0].min(y - margin), self.y_m[1].max(y + margin)];
    }

    fn width_m(&self) -> f64 {
        self.x_m[1] - self.x_m[0]
    }

    /// Distance from a point inside to the edge in a direction, m.
    pub fn distance_to_edge_m(&self, from: Point2<f32>, direction: Vector2<f32>) -> f32 {
        let along = |from: f32, [low, high]: [f64; 2], step: f32| match step {
            step if step > 0.0 => (high as f32 - from) / step,
            step if step < 0.0 => (low as f32 - from) / step,
            _ => f32::INFINITY,
        };
        let x = along(from.x, self.x_m, direction.x);
        x.min(along(from.y, self.y_m, direction.y)).max(0.0)
    }

    /// Height over width.
    pub fn aspect(&self) -> f64 {
        (self.y_m[1] - self.y_m[0]) / self.width_m()
    }
}

/// One episode with axes in metres.
///
/// # Errors
/// When plotters cannot draw.
pub fn top_view(title: &str, record: &EpisodeRecord, reach_m: f64) -> Result<Image> {
    let view = View::around([record]);
    let plot_width = 640.0;
    let plot_height = plot_width * view.aspect();
    let size = [plot_width as u32 + 142, plot_height as u32 + 88];
    let top_mps = top_speed_mps([record]);
    Image::draw(size, |area, scale| {
        draw_title(area, scale, title)?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(scale.px(40.0))
            .margin_bottom(scale.px(6.0))
            .margin_right(scale.px(82.0))
            .margin_left(scale.px(12.0))
            .x_label_area_size(scale.px(42.0))
            .y_label_area_size(scale.px(48.0))
            .build_cartesian_2d(view.x_m[0]..view.x_m[1], view.y_m[0]..view.y_m[1])?;
        draw_axes(&mut chart, scale, ["x / m", "y / m"], [10, 6])?;
        draw_episode(&mut chart, scale, record, [reach_m, top_mps, 3.2])?;
        if record.recovery_steps > 0 {
            let at = (
                area.dim_in_pixel().0 as i32 - scale.px(82.0),
                scale.px(19.0),
            );
            let style = right(scale.font(11.5, RECOVERY));
            area.draw(&Text::new("wide: recovery acts", at, style))?;
        }
        let x = area.dim_in_pixel().0 as i32 - scale.px(66.0);
        draw_color_bar(area, scale, x, [40.0, 40.0 + plot_height - 6.0], top_mps)
    })
}

/// Several episodes on one sheet, `columns` side by side, with one colour bar.
///
/// # Errors
/// When plotters cannot draw.
pub fn contact_sheet(
    title: &str,
    records: &[EpisodeRecord],
    columns: usize,
    reach_m: f64,
) -> Result<Image> {
    let view = View::around(records);
    let rows = records.len().div_ceil(columns).max(1);
    let (cell, gap, caption) = (250.0, 12.0, 18.0);
    let cell_height = cell * view.aspect() + caption;
    let width = 16.0 + columns as f64 * (cell + gap) + 70.0;
    let height = 40.0 + rows as f64 * (cell_height + gap);
    let top_mps = top_speed_mps(records);
    Image::draw([width as u32, height as u32], |area, scale| {
        draw_title(area, scale, title)?;
        for (index, record) in records.iter().enumerate() {
            let left_edge = 16.0 + (index % columns) as f64 * (cell + gap);
            let top = 36.0 + (index / columns) as f64 * (cell_height + gap);
            let color = outcome_text_color(record.outcome);
            let style = left(scale.font(11.0, color));
            let at = (scale.px(left_edge), scale.px(top + 8.0));
            area.draw(&Text::new(caption_of(record), at, style))?;
            let x = (scale.px(left_edge), scale.px(left_edge + cell));
            let y = (scale.px(top + caption), scale.px(top + cell_height));
            let frame = area.clone().shrink((x.0, y.0), (x.1 - x.0, y.1 - y.0));
            let mut chart = ChartBuilder::on(&frame)
                .build_cartesian_2d(view.x_m[0]..view.x_m[1], view.y_m[0]..view.y_m[1])?;
            draw_metre_grid(&mut chart, scale, view)?;
            draw_episode(&mut chart, scale, record, [reach_m, top_mps, 2.2])?;
            area.draw(&Rectangle::new(
                [(x.0, y.0), (x.1, y.1)],
                scale.line(0.75, FAINT),
            ))?;
        }
        let x = area.dim_in_pixel().0 as i32 - scale.px(54.0);
        let bottom = 36.0 + (rows as f64 * (cell_height + gap) - gap).min(300.0);
        draw_color_bar(area, scale, x, [36.0 + caption, bottom], top_mps)
    })
}

/// How the episode ended, in a few words.
pub fn caption_of(record: &EpisodeRecord) -> String {
    let index = record.scene.index;
    match (&record.outcome, &record.collision) {
        (Outcome::Collision, Some(collision)) => format!(
            "{index}: {} touched at {:.1} s",
            collision.body, collision.time_s
        ),
        (outcome, _) => {
            let arrival = record.arrival.map_or_else(String::new, |arrival| {
                format!(", at the goal after {:.1} s", arrival.time_s)
            });
            format!(
                "{index}: {outcome}{arrival}, {:.1} m/s mean",
                record.mean_speed_mps
            )
        }
    }
}

/// The top of a colour scale that fits all paths, m/s.
pub fn top_speed_mps<'a>(records: impl IntoIterator<Item = &'a EpisodeRecord>) -> f64 {
    let steps = records.into_iter().flat_map(|record| &record.trace);
    round_up(steps.fold(1.0, |top, step| f64::max(top, f64::from(step.speed_mps))))
}

/// Grid lines every metre, without labels.
pub fn draw_metre_grid(chart: &mut Chart<'_, '_>, scale: Scale, view: View) -> Result<()> {
    let metres = |[low, high]: [f64; 2]| (low.ceil() as i32..=high.floor() as i32).map(f64::from);
    let [x, y] = [view.x_m, view.y_m];
    let upright = metres(x).map(|x| [(x, y[0]), (x, y[1])]);
    let level = metres(y).map(|y| [(x[0], y), (x[1], y)]);
    let line = scale.line(0.5, GRID);
    chart.draw_series(
        upright
            .chain(level)
            .map(|ends| PathElement::new(ends, line)),
    )?;
    Ok(())
}

/// A whole episode: scene, path, and a cross at the collision. A moving obstacle is drawn where it was nearest to the robot;
/// a dot on the path marks the robot at that time.
fn draw_episode(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    record: &EpisodeRecord,
    [reach_m, top_mps, width]: [f64; 3],
) -> Result<()> {
    let trace = &record.trace;
    let met_s = |obstacle: &Obstacle| closest_step(obstacle, trace).map_or(0.0, |step| step.time_s);
    draw_scene(chart, scale, &record.scene, met_s, reach_m)?;
    draw_recovery(chart, scale, trace, 2.6 * width)?;
    draw_path(chart, scale, trace, top_mps, width)?;
    let walking = (record.scene.obstacles.iter()).filter(|o| o.moves());
    for step in walking.filter_map(|obstacle| closest_step(obstacle, trace)) {
        let at = to_chart(step.state.position_world.xy());
        chart.draw_series([Circle::new(at, scale.px(width), COLLISION.filled())])?;
    }
    if let Some(collision) = &record.collision {
        draw_cross(chart, scale, collision.position_world.xy(), 2.0 * width)?;
    }
    Ok(())
}

/// The step at which the robot was nearest to an obstacle; none without a trace.
pub(super) fn closest_step<'a>(
    obstacle: &Obstacle,
    trace: &'a [TraceStep],
) -> Option<&'a TraceStep> {
    let distance_m = |step: &TraceStep| {
        let way = step.time_s * obstacle.velocity_world;
        obstacle.footprint_distance_m(&(step.state.position_world - way).xy())
    };
    (trace.iter()).min_by(|a, b| distance_m(a).total_cmp(&distance_m(b)))
}

/// Obstacles, each at a time of its own, goal and start.
pub fn draw_scene(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    scene: &TestScene,
    time_s: impl Fn(&Obstacle) -> f32,
    reach_m: f64,
) -> Result<()> {
    for obstacle in &scene.obstacles {
        draw_obstacle(chart, scale, obstacle, time_s(obstacle))?;
    }
    draw_goal(chart, scale, scene.goal.position_world, reach_m)?;

    // Half a robot's length, to show its heading.
    let forward = Vector2::new(scene.start_yaw_rad.cos(), scene.start_yaw_rad.sin());
    let aside = Vector2::new(-forward.y, forward.x);
    let corners = [
        scene.start_world + forward * 0.27,
        scene.start_world - forward * 0.2 + aside * 0.15,
        scene.start_world - forward * 0.1,
        scene.start_world - forward * 0.2 - aside * 0.15,
    ];
    chart.draw_series([Polygon::new(corners.map(to_chart).to_vec(), INK)])?;
    Ok(())
}

/// An obstacle at a time of the episode.
pub fn draw_obstacle(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    obstacle: &Obstacle,
    time_s: f32,
) -> Result<()> {
    let (x_m, y_m) = (chart.x_range(), chart.y_range());
    let within = |(x, y): (f64, f64)| (x.clamp(x_m.start, x_m.end), y.clamp(y_m.start, y_m.end));
    let outline: Vec<_> = footprint(obstacle, time_s)
        .into_iter()
        .map(within)
        .collect();
    chart.draw_series([Polygon::new(outline.clone(), RGBColor(176, 182, 191))])?;
    let closed: Vec<_> = outline.iter().chain(outline.first()).copied().collect();
    chart.draw_series([PathElement::new(closed, scale.line(0.8, FAINT))])?;
    if obstacle.moves() {
        // Where it will be half a second later.
        let ends = [time_s, time_s + 0.5].map(|time_s| to_chart(obstacle.position_at(time_s).xy()));
        let line = scale.line(1.6, COLLISION);
        chart.draw_series([PathElement::new(ends.map(within), line)])?;
        if within(ends[0]) == ends[0] {
            chart.draw_series([Circle::new(ends[0], scale.px(2.4), COLLISION.filled())])?;
        }
    }
    Ok(())
}

/// A goal, and where it counts as reached.
pub fn draw_goal(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    goal: Point2<f32>,
    reach_m: f64,
) -> Result<()> {
    chart.draw_series([Polygon::new(circle(goal, reach_m), REACH.mix(0.16))])?;
    let mut ring = circle(goal, reach_m);
    ring.extend(ring.first().copied());
    chart.draw_series([PathElement::new(ring, scale.line(0.9, REACH))])?;
    chart.draw_series([Polygon::new(star(goal, 0.2), REACH)])?;
    Ok(())
}

/// The path, coloured by speed.
pub fn draw_path(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    trace: &[TraceStep],
    top_mps: f64,
    width: f64,
) -> Result<()> {
    for pair in trace.windows(2) {
        let color = heat(f64::from(pair[1].speed_mps) / top_mps);
        let ends = [&pair[0], &pair[1]].map(|step| to_chart(step.state.position_world.xy()));
        chart.draw_series([PathElement::new(ends, scale.line(width, color))])?;
        // Round joints.
        let radius = scale.px(0.5 * width);
        chart.draw_series([Circle::new(ends[1], radius, color.filled())])?;
    }
    Ok(())
}

/// Marks a collision.
pub fn draw_cross(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    at: Point2<f32>,
    half: f64,
) -> Result<()> {
    let h = scale.px(half);
    for (width, color) in [(3.6, WHITE), (2.0, outcome_color(Outcome::Collision))] {
        let line = scale.line(width, color);
        chart.draw_series([EmptyElement::at(to_chart(at))
            + PathElement::new([(-h, -h), (h, h)], line)
            + PathElement::new([(-h, h), (h, -h)], line)])?;
    }
    Ok(())
}

fn draw_color_bar(
    area: &Area<'_>,
    scale: Scale,
    x: i32,
    [top, bottom]: [f64; 2],
    top_mps: f64,
) -> Result<()> {
    let (top, bottom) = (scale.px(top + 22.0), scale.px(bottom));
    let width = scale.px(12.0);
    for y in top..bottom {
        let share = f64::from(bottom - y) / f64::from(bottom - top);
        let row = [(x, y), (x + width, y + 1)];
        area.draw(&Rectangle::new(row, heat(share).filled()))?;
    }
    let heading = (x + scale.px(10.0), top - scale.px(14.0));
    area.draw(&Text::new(
        "speed / (m/s)",
        heading,
        centred(scale.font(10.5, INK)),
    ))?;
    let step_mps = if top_mps > 2.0 { 1.0 } else { 0.5 };
    for tick in 0..=(top_mps / step_mps) as i32 {
        let speed_mps = f64::from(tick) * step_mps;
        let y = bottom - (speed_mps / top_mps * f64::from(bottom - top)) as i32;
        let label = super::trimmed(speed_mps);
        let at = (x + width + scale.px(5.0), y);
        area.draw(&Text::new(label, at, left(scale.font(10.5, INK))))?;
    }
    Ok(())
}

/// Outline of an obstacle on the ground at a time of the episode.
pub fn footprint(obstacle: &Obstacle, time_s: f32) -> Vec<(f64, f64)> {
    let centre = obstacle.position_at(time_s);
    match &obstacle.shape {
        ObstacleShape::Cylinder { radius_m, .. }
        | ObstacleShape::Cone { radius_m, .. }
        | ObstacleShape::Ball { radius_m } => circle(centre.xy(), f64::from(*radius_m)),
        ObstacleShape::Box { half_extents_m: h } => {
            [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)]
                .map(|(x, y)| obstacle.orientation * nalgebra::Vector3::new(x * h.x, y * h.y, 0.0))
                .map(|corner| to_chart((centre + corner).xy()))
                .to_vec()
        }
    }
}

fn circle(centre: Point2<f32>, radius: f64) -> Vec<(f64, f64)> {
    let (x, y) = to_chart(centre);
    let angles = (0..72).map(|i| TAU * f64::from(i) / 72.0);
    angles
        .map(|a| (x + radius * a.cos(), y + radius * a.sin()))
        .collect()
}

fn star(centre: Point2<f32>, radius: f64) -> Vec<(f64, f64)> {
    let (x, y) = to_chart(centre);
    let corner = |i: u32| {
        let angle = TAU * (0.25 + f64::from(i) / 10.0);
        let radius = if i.is_multiple_of(2) {
            radius
        } else {
            0.42 * radius
        };
        (x + radius * angle.cos(), y + radius * angle.sin())
    };
    (0..10).map(corner).collect()
}

/// A point on the ground in chart coordinates.
pub fn to_chart(point: Point2<f32>) -> (f64, f64) {
    (f64::from(point.x), f64::from(point.y))
}
