//! One episode as an animated GIF: from above, and from the side.

use std::{borrow::Cow, path::Path};

use anyhow::{Result, ensure};
use controller::Mode;
use nalgebra::{Point3, UnitQuaternion, Vector2, Vector3};
use plotters::prelude::*;
use policies::RaySpec;
use rayon::prelude::*;
use robots::Robot;
use sim::{
    eval::{EpisodeRecord, TraceStep},
    scene::{Obstacle, ObstacleShape},
};

use super::{
    Area, COLLISION, Chart, FAINT, GRID, INK, Image, REACH, RECOVERY, Scale, TIME_OUT, draw_title,
    heat, outcome_text_color,
    palette::{self, Palette},
    right,
    robot_view::draw_robot,
    switch_view::{draw_recovery, draw_twist, draw_value_strip},
    top_view::{View, draw_cross, draw_metre_grid, draw_path, draw_scene, to_chart, top_speed_mps},
    write_file,
};

const FRAMES_PER_SECOND: f32 = 25.0;
const HOLD_S: f32 = 1.5;
/// Frames drawn at the same time.
const BATCH: usize = 16;
const WIDTH: f64 = 860.0;
const MARGIN: f64 = 12.0;
const HEADER: f64 = 38.0;
const SIDE_HEIGHT: f64 = 236.0;
const STRIP_HEIGHT: f64 = 64.0;
const RAY: RGBColor = RGBColor(222, 120, 31);

/// One episode, to be drawn as an animation.
pub struct Film<'a> {
    /// Shown at the upper left.
    pub title: String,
    /// The robot in the episode.
    pub robot: &'a Robot,
    /// The traced episode.
    pub record: &'a EpisodeRecord,
    /// Where the rays point.
    pub rays: &'a RaySpec,
    /// Distance that counts as reached, m.
    pub reach_m: f64,
    /// Values below this are safe. `None` hides the panel of the switch.
    pub threshold: Option<f32>,
}

impl Film<'_> {
    /// Writes the animation at 25 frames per second.
    ///
    /// # Errors
    /// An episode without trace; a folder that cannot be written.
    pub fn save_gif(&self, path: &Path) -> Result<()> {
        ensure!(!self.record.trace.is_empty(), "the episode was not traced");
        let layout = Layout::new(self);
        let frames = self.frame_steps();
        let samples = [0, frames.len() / 3, 2 * frames.len() / 3, frames.len() - 1];
        let samples = samples
            .into_par_iter()
            .map(|frame| self.draw_frame(&layout, frames[frame]))
            .collect::<Result<Vec<_>>>()?;
        let palette = Palette::new(&exact_colors(), &samples);

        let mut bytes = Vec::new();
        let (width, height) = (layout.size[0] as u16, layout.size[1] as u16);
        let mut encoder = gif::Encoder::new(&mut bytes, width, height, &palette.table())?;
        encoder.set_repeat(gif::Repeat::Infinite)?;
        let mut shown: Vec<u8> = Vec::new();
        for (batch, steps) in frames.chunks(BATCH).enumerate() {
            let images = steps
                .par_iter()
                .map(|step| Ok(palette.indices(&self.draw_frame(&layout, *step)?)))
                .collect::<Result<Vec<_>>>()?;
            for (offset, image) in images.into_iter().enumerate() {
                let last = batch * BATCH + offset + 1 == frames.len();
                let seconds = if last {
                    HOLD_S
                } else {
                    1.0 / FRAMES_PER_SECOND
                };
                let mut frame = changed_part(&shown, &image, width, height);
                frame.delay = (100.0 * seconds).round() as u16;
                encoder.write_frame(&frame)?;
                shown = image;
            }
        }
        drop(encoder);
        write_file(path, &bytes)
    }

    #[cfg(test)]
    pub fn draw_last_frame(&self) -> Result<Image> {
        self.draw_frame(&Layout::new(self), self.record.trace.len() - 1)
    }

    /// The policy steps that are shown, evenly spaced in time.
    fn frame_steps(&self) -> Vec<usize> {
        let trace = &self.record.trace;
        let end_s = trace[trace.len() - 1].time_s;
        let frames = (end_s * FRAMES_PER_SECOND).floor() as usize;
        let mut steps: Vec<usize> = (0..=frames)
            .map(|frame| frame as f32 / FRAMES_PER_SECOND)
            .map(|time_s| trace.partition_point(|step| step.time_s < time_s - 1e-3))
            .collect();
        steps.push(trace.len() - 1);
        steps.dedup();
        steps
    }

    fn draw_frame(&self, layout: &Layout, step: usize) -> Result<Image> {
        Image::draw_pixels(layout.size, 1, |area, scale| {
            self.draw_header(area, scale, step)?;
            let box_of = |top: f64, height: f64| {
                let (x, y) = (scale.px(MARGIN), scale.px(top));
                let size = (scale.px(WIDTH - 2.0 * MARGIN), scale.px(height));
                area.clone().shrink((x, y), size)
            };
            self.draw_from_above(&box_of(HEADER, layout.top_height), scale, layout, step)?;
            let side_top = HEADER + layout.top_height + MARGIN;
            self.draw_from_the_side(&box_of(side_top, SIDE_HEIGHT), scale, layout, step)?;
            if let Some(threshold) = self.threshold {
                let strip = box_of(side_top + SIDE_HEIGHT + MARGIN, STRIP_HEIGHT);
                draw_value_strip(&strip, scale, &self.record.trace, step, threshold)?;
                draw_frame_line(&strip, scale)?;
            }
            Ok(())
        })
    }

    fn draw_header(&self, area: &Area<'_>, scale: Scale, step: usize) -> Result<()> {
        draw_title(area, scale, &self.title)?;
        let now = &self.record.trace[step];
        let (text, color) = if step + 1 == self.record.trace.len() {
            let outcome = match &self.record.collision {
                Some(collision) => format!("{} touched", collision.body),
                None => self.record.outcome.to_string(),
            };
            (outcome, outcome_text_color(self.record.outcome))
        } else {
            (format!("{:.1} m/s", now.speed_mps), INK)
        };
        // Fixed columns, so that the numbers do not jump.
        let columns = [
            (250.0, format!("{:.1} s", now.time_s), INK),
            (150.0, format!("{:.1} m to go", now.goal_distance_m), INK),
            (MARGIN, text, color),
        ];
        if self.threshold.is_some() {
            let (text, color) = match now.mode {
                Mode::Recovery => ("recovery", RECOVERY),
                Mode::Agile => ("agile", INK),
                Mode::Fallback => ("fallback", COLLISION),
            };
            let at = (scale.px(WIDTH - 330.0), scale.px(19.0));
            area.draw(&Text::new(text, at, right(scale.font(15.0, color))))?;
        }
        for (from_right, text, color) in columns {
            let at = (scale.px(WIDTH - from_right), scale.px(19.0));
            area.draw(&Text::new(text, at, right(scale.font(15.0, color))))?;
        }
        Ok(())
    }

    fn draw_from_above(
        &self,
        area: &Area<'_>,
        scale: Scale,
        layout: &Layout,
        step: usize,
    ) -> Result<()> {
        let View { x_m, y_m } = layout.view;
        let mut chart =
            ChartBuilder::on(area).build_cartesian_2d(x_m[0]..x_m[1], y_m[0]..y_m[1])?;
        draw_metre_grid(&mut chart, scale, layout.view)?;
        let now = &self.record.trace[step];
        draw_scene(
            &mut chart,
            scale,
            &self.record.scene,
            |_| now.time_s,
            self.reach_m,
        )?;
        self.draw_rays(&mut chart, scale, layout.view, now)?;
        let past = &self.record.trace[..=step];
        draw_recovery(&mut chart, scale, past, 6.2)?;
        draw_path(&mut chart, scale, past, layout.top_mps, 2.4)?;
        let is_far = |_: Point3<f32>| false;
        draw_robot(
            &mut chart,
            scale,
            self.robot,
            now,
            &|p| to_chart(p.xy()),
            &is_far,
        )?;
        draw_twist(&mut chart, scale, now)?;
        if let (Some(collision), true) =
            (&self.record.collision, step + 1 == self.record.trace.len())
        {
            draw_cross(&mut chart, scale, collision.position_world.xy(), 9.0)?;
        }
        draw_frame_line(area, scale)
    }

    fn draw_rays(
        &self,
        chart: &mut Chart<'_, '_>,
        scale: Scale,
        view: View,
        now: &TraceStep,
    ) -> Result<()> {
        let direction = |angle_rad: f32| Vector2::new(angle_rad.cos(), angle_rad.sin());
        let origin = now.state.position_world.xy() + direction(now.yaw_rad) * self.rays.origin_x_m;
        for (index, distance_m) in now.ray_distance_m.iter().enumerate() {
            let angle_rad = now.yaw_rad + self.rays.angle_rad(index);
            let shown_m = distance_m.min(view.distance_to_edge_m(origin, direction(angle_rad)));
            let end = origin + direction(angle_rad) * shown_m;
            let ends = [origin, end].map(to_chart);
            chart.draw_series([PathElement::new(ends, scale.line(0.8, RAY.mix(0.55)))])?;
            if *distance_m < self.rays.max_m && *distance_m == shown_m {
                let dot = Circle::new(ends[1], scale.px(2.2), RAY.filled());
                chart.draw_series([dot])?;
            }
        }
        Ok(())
    }

    fn draw_from_the_side(
        &self,
        area: &Area<'_>,
        scale: Scale,
        layout: &Layout,
        step: usize,
    ) -> Result<()> {
        let half_width_m = 1.6;
        let metres_per_point = 2.0 * half_width_m / (WIDTH - 2.0 * MARGIN);
        let ground_m = 0.1;
        let height_m = SIDE_HEIGHT * metres_per_point - ground_m;
        let mut chart = ChartBuilder::on(area)
            .build_cartesian_2d(-half_width_m..half_width_m, -ground_m..height_m)?;
        let now = &self.record.trace[step];
        let forward = Vector2::new(now.yaw_rad.cos(), now.yaw_rad.sin());
        let leftward = Vector2::new(-forward.y, forward.x);

        let draw_obstacles = |chart: &mut Chart<'_, '_>, behind: bool| -> Result<()> {
            for obstacle in &self.record.scene.obstacles {
                let centre = obstacle.position_at(now.time_s);
                let from_robot = centre.xy() - now.state.position_world.xy();
                let (ahead_m, left_m) = (from_robot.dot(&forward), from_robot.dot(&leftward));
                let ([half_m, half_across_m], z_m) = extent(obstacle, forward);
                let [low, high] = [-1.0, 1.0].map(|side| f64::from(ahead_m + side * half_m));
                let gap_m = (left_m.abs() - half_across_m).max(0.0);
                let shown = low < half_width_m && high > -half_width_m && gap_m < 1.1;
                if !shown || behind != (left_m > 0.0) {
                    continue;
                }
                let near = f64::from(1.0 - gap_m / 1.1);
                let fill = FAINT.mix(0.08 + 0.22 * near).filled();
                let [bottom, top] = z_m.map(|z| f64::from(z).clamp(0.0, height_m));
                let corners = [
                    (low.max(-half_width_m), bottom),
                    (high.min(half_width_m), top),
                ];
                chart.draw_series([Rectangle::new(corners, fill)])?;
            }
            Ok(())
        };
        draw_obstacles(&mut chart, true)?;
        chart.draw_series([Rectangle::new(
            [(-half_width_m, -ground_m), (half_width_m, 0.0)],
            GRID.filled(),
        )])?;
        // Marks on the ground, half a metre apart, show the motion.
        let passed_m = layout.passed_m[step];
        let first = ((passed_m - half_width_m) / 0.5).ceil() as i64;
        let last = ((passed_m + half_width_m) / 0.5).floor() as i64;
        for mark in first..=last {
            let x = mark as f64 * 0.5 - passed_m;
            let line = scale.line(1.0, FAINT.mix(0.6));
            chart.draw_series([PathElement::new([(x, -0.02), (x - 0.03, -0.07)], line)])?;
        }
        let ends = [(-half_width_m, 0.0), (half_width_m, 0.0)];
        chart.draw_series([PathElement::new(ends, scale.line(1.0, FAINT))])?;

        let project = |p: Point3<f32>| {
            let ahead_m = (p.xy() - now.state.position_world.xy()).dot(&forward);
            (f64::from(ahead_m), f64::from(p.z))
        };
        let is_far = |first_joint: Point3<f32>| first_joint.y > 0.0;
        draw_robot(&mut chart, scale, self.robot, now, &project, &is_far)?;
        draw_obstacles(&mut chart, false)?;
        draw_frame_line(area, scale)
    }
}

/// What all frames share.
struct Layout {
    view: View,
    top_height: f64,
    size: [u32; 2],
    top_mps: f64,
    /// Distance travelled along the robot's own forward direction until each policy step, m.
    passed_m: Vec<f64>,
}

impl Layout {
    fn new(film: &Film<'_>) -> Self {
        let view = View::around([film.record]);
        let top_height = ((WIDTH - 2.0 * MARGIN) * view.aspect()).round();
        let strip = film.threshold.map_or(0.0, |_| STRIP_HEIGHT + MARGIN);
        let height = HEADER + top_height + MARGIN + SIDE_HEIGHT + MARGIN + strip;
        let mut passed_m = vec![0.0];
        for pair in film.record.trace.windows(2) {
            let moved = pair[1].state.position_world.xy() - pair[0].state.position_world.xy();
            let forward = Vector2::new(pair[1].yaw_rad.cos(), pair[1].yaw_rad.sin());
            passed_m.push(passed_m[passed_m.len() - 1] + f64::from(moved.dot(&forward)));
        }
        Self {
            view,
            top_height,
            size: [WIDTH as u32, height as u32],
            top_mps: top_speed_mps([film.record]),
            passed_m,
        }
    }
}

/// Half sides along and across a direction, and lowest and highest point of an obstacle, m.
fn extent(obstacle: &Obstacle, forward: Vector2<f32>) -> ([f32; 2], [f32; 2]) {
    let turn = match obstacle.shape {
        ObstacleShape::Box { .. } => {
            UnitQuaternion::from_axis_angle(&Vector3::z_axis(), -forward.y.atan2(forward.x))
        }
        // The same width from every side.
        _ => UnitQuaternion::identity(),
    };
    let seen = Obstacle {
        orientation: turn * obstacle.orientation,
        ..obstacle.clone()
    };
    let [low, high] = seen.bounds();
    let half = 0.5 * (high - low);
    ([half.x, half.y], [low.z, high.z])
}

fn draw_frame_line(area: &Area<'_>, scale: Scale) -> Result<()> {
    let (width, height) = area.dim_in_pixel();
    let corner = (width as i32 - 1, height as i32 - 1);
    area.draw(&Rectangle::new([(0, 0), corner], scale.line(0.75, FAINT)))?;
    Ok(())
}

/// The smallest rectangle that differs from the previous frame, with unchanged pixels transparent.
fn changed_part(shown: &[u8], image: &[u8], width: u16, height: u16) -> gif::Frame<'static> {
    let columns = usize::from(width);
    let is_new = |at: usize| shown.get(at) != Some(&image[at]);
    let changed: Vec<usize> = (0..image.len()).filter(|at| is_new(*at)).collect();
    let bounds = |of: fn(usize, usize) -> usize, all: u16| {
        let places = || changed.iter().map(|at| of(*at, columns));
        let low = places().min().unwrap_or(0);
        (
            low,
            places()
                .max()
                .map_or(1, |high| high + 1 - low)
                .min(usize::from(all)),
        )
    };
    let (left, wide) = bounds(|at, columns| at % columns, width);
    let (top, tall) = bounds(|at, columns| at / columns, height);
    let rows = (top..top + tall).map(|row| row * columns + left);
    let pixels = rows
        .flat_map(|start| start..start + wide)
        .map(|at| {
            if is_new(at) {
                image[at]
            } else {
                palette::TRANSPARENT
            }
        })
        .collect::<Vec<u8>>();
    gif::Frame {
        left: left as u16,
        top: top as u16,
        width: wide as u16,
        height: tall as u16,
        transparent: Some(palette::TRANSPARENT),
        dispose: gif::DisposalMethod::Keep,
        buffer: Cow::Owned(pixels),
        ..gif::Frame::default()
    }
}

/// Colours of thin lines, which cover too few pixels to be sampled.
fn exact_colors() -> Vec<[u8; 3]> {
    let named = [
        WHITE, INK, FAINT, GRID, REACH, COLLISION, TIME_OUT, RAY, RECOVERY,
    ];
    let heats = (0..=32).map(|i| heat(f64::from(i) / 32.0));
    named
        .into_iter()
        .chain(heats)
        .map(|c| [c.0, c.1, c.2])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_changed_rectangle_is_stored() {
        let shown = vec![0; 12];
        let mut image = shown.clone();
        image[5] = 7; // row 1, column 1 of 4 x 3
        image[10] = 8; // row 2, column 2
        let frame = changed_part(&shown, &image, 4, 3);
        assert_eq!(
            [frame.left, frame.top, frame.width, frame.height],
            [1, 1, 2, 2]
        );
        let t = palette::TRANSPARENT;
        assert_eq!(frame.buffer[..], [7, t, t, 8]);
        let first = changed_part(&[], &image, 4, 3);
        assert_eq!([first.width, first.height], [4, 3]);
        let same = changed_part(&image, &image, 4, 3);
        assert_eq!(
            same.buffer[..],
            [t],
            "a frame without change still has its time"
        );
    }
}
