//! The robot as its base and legs, seen from any side.

use std::f64::consts::TAU;

use anyhow::Result;
use nalgebra::{Isometry3, Point3, Translation3, Vector3};
use plotters::prelude::*;
use robots::{Leg, Link, Robot, Shape};
use sim::eval::TraceStep;

use super::{Chart, INK, Scale};

pub(super) const TRUNK: RGBColor = RGBColor(66, 79, 99);
const NEAR_LEG: RGBColor = RGBColor(36, 43, 54);
const FAR_LEG: RGBColor = RGBColor(150, 159, 173);

/// Draws a robot. `project` maps world points to chart coordinates, in metres; legs for which `is_far` holds, given
/// their first joint in the base frame, are lighter and behind the base.
pub fn draw_robot(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    robot: &Robot,
    step: &TraceStep,
    project: &dyn Fn(Point3<f32>) -> (f64, f64),
    is_far: &dyn Fn(Point3<f32>) -> bool,
) -> Result<()> {
    let base = Isometry3::from_parts(
        Translation3::from(step.state.position_world),
        step.state.orientation,
    );
    let (far, near): (Vec<_>, Vec<_>) = robot
        .legs_with_joint_range()
        .map(|(leg, range)| {
            (
                leg,
                leg_points_base(leg, &step.state.joint_position_rad[range]),
            )
        })
        .partition(|(_, points)| is_far(points[0]));
    for (leg, points) in far {
        draw_leg(chart, leg, &points, &|p| project(base * p), FAR_LEG)?;
    }
    let outline = link_outline(&robot.base.link, &|p| project(base * p));
    let closed: Vec<_> = outline.iter().chain(outline.first()).copied().collect();
    chart.draw_series([Polygon::new(outline, TRUNK)])?;
    chart.draw_series([PathElement::new(closed, scale.line(1.0, INK))])?;
    for (leg, points) in near {
        draw_leg(chart, leg, &points, &|p| project(base * p), NEAR_LEG)?;
    }
    Ok(())
}

/// Joints and foot of a leg.
fn leg_points_base(leg: &Leg, joint_position_rad: &[f32]) -> Vec<Point3<f32>> {
    leg.link_poses_base(joint_position_rad)
        .map(|pose| Point3::from(pose.translation.vector))
        .chain([leg.foot_position_base(joint_position_rad)])
        .collect()
}

fn draw_leg(
    chart: &mut Chart<'_, '_>,
    leg: &Leg,
    points_base: &[Point3<f32>],
    project: &dyn Fn(Point3<f32>) -> (f64, f64),
    color: RGBColor,
) -> Result<()> {
    let points: Vec<_> = points_base.iter().map(|p| project(*p)).collect();
    let last = points.len() - 1;
    for (bone, ends) in points.windows(2).enumerate() {
        let half_width_m = if bone + 1 == last { 0.012 } else { 0.022 };
        let outline = hull(
            [ends[0], ends[1]]
                .map(|end| disc(end, half_width_m))
                .concat(),
        );
        chart.draw_series([Polygon::new(outline, color)])?;
    }
    let foot = disc(points[last], f64::from(leg.foot.radius) * 1.1);
    chart.draw_series([Polygon::new(foot, color)])?;
    Ok(())
}

/// Outline of all shapes of a link together.
fn link_outline(link: &Link, project: &dyn Fn(Point3<f32>) -> (f64, f64)) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for shape in &link.shapes {
        let (corner, round_m) = match shape.shape {
            Shape::Box { half_extents } => (half_extents, 0.0),
            Shape::Sphere { radius } => (Vector3::zeros(), radius),
            Shape::Capsule {
                half_length,
                radius,
            } => (Vector3::z() * half_length, radius),
        };
        for i in 0..8 {
            let sign = |bit: u8| if i & bit == 0 { 1.0 } else { -1.0 };
            let corner = Vector3::new(sign(1) * corner.x, sign(2) * corner.y, sign(4) * corner.z);
            let at = project(shape.origin * Point3::from(corner));
            match round_m {
                0.0 => points.push(at),
                radius => points.extend(disc(at, f64::from(radius))),
            }
        }
    }
    hull(points)
}

fn disc((x, y): (f64, f64), radius: f64) -> Vec<(f64, f64)> {
    let angles = (0..20).map(|i| TAU * f64::from(i) / 20.0);
    angles
        .map(|a| (x + radius * a.cos(), y + radius * a.sin()))
        .collect()
}

/// Convex hull by Andrew's monotone chain.
pub(super) fn hull(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let turns_right = |a: (f64, f64), b: (f64, f64), c: (f64, f64)| {
        (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0) <= 0.0
    };
    let chain = |points: &mut dyn Iterator<Item = (f64, f64)>| {
        let mut chain: Vec<(f64, f64)> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && turns_right(a, b, point)
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut outline = chain(&mut points.iter().copied());
    outline.extend(chain(&mut points.iter().rev().copied()));
    outline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hull_of_a_square_and_points_inside_it_is_the_square() {
        let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
        let mut points = corners.to_vec();
        points.extend([(0.5, 0.5), (0.2, 0.7), (1.0, 0.5)]);
        assert_eq!(hull(points), corners);
    }
}
