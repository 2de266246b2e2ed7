//! A robot from the side, from the front and from above, with the axes of its joints.

use anyhow::Result;
use nalgebra::{Isometry3, Point3, Vector3};
use plotters::prelude::*;
use robots::{Robot, Shape};

use super::{
    COLLISION, Chart, FAINT, GRID, INK, Image, Scale, draw_title, left,
    robot_view::{TRUNK, hull},
};

/// Width of a view, points.
const VIEW: f64 = 300.0;
const GAP: f64 = 14.0;
const TITLE: f64 = 36.0;
const CAPTION: f64 = 18.0;
/// Half of the length of an axis in the picture, m.
const AXIS_M: f32 = 0.05;

/// To the right and up in a view, from the base frame.
struct View {
    name: &'static str,
    right: Vector3<f32>,
    up: Vector3<f32>,
}

/// The robot in its standing pose.
///
/// # Errors
/// When plotters cannot draw.
pub fn robot_sheet(robot: &Robot) -> Result<Image> {
    let (x, y, z) = (Vector3::x(), Vector3::y(), Vector3::z());
    let views = [
        View {
            name: "from the right: x to the right",
            right: x,
            up: z,
        },
        View {
            name: "from the front: y to the right",
            right: y,
            up: z,
        },
        View {
            name: "from above: x to the right",
            right: x,
            up: y,
        },
    ];
    let bodies = bodies(robot);
    let corners = bodies.iter().flat_map(|body| body.outline_points());
    let half_m = corners.map(|p| p.coords.amax()).fold(0.1, f32::max) * 1.1;
    let size = [3.0 * (VIEW + GAP) + GAP, TITLE + VIEW + CAPTION];
    Image::draw(size.map(|side| side as u32), |area, scale| {
        let title = format!(
            "{}: {:.1} kg, standing {:.3} m high; joint axes in red",
            robot.name,
            robot.mass_kg(),
            robot.control.standing_height_m
        );
        draw_title(area, scale, &title)?;
        for (column, view) in views.iter().enumerate() {
            let at_x = scale.px(GAP + column as f64 * (VIEW + GAP));
            let at_y = scale.px(TITLE);
            let side = scale.px(VIEW);
            let part = area.clone().shrink((at_x, at_y), (side, side));
            let limit = f64::from(half_m);
            let mut chart =
                ChartBuilder::on(&part).build_cartesian_2d(-limit..limit, -limit..limit)?;
            draw_view(&mut chart, scale, robot, &bodies, view, half_m)?;
            area.draw(&Rectangle::new(
                [(at_x, at_y), (at_x + side, at_y + side)],
                scale.line(0.75, FAINT),
            ))?;
            let at = (at_x, at_y + side + scale.px(0.5 * CAPTION));
            area.draw(&Text::new(view.name, at, left(scale.font(11.0, INK))))?;
        }
        Ok(())
    })
}

/// A shape in the base frame, and whether it is a leg's.
struct Body {
    shape: Shape,
    pose: Isometry3<f32>,
    is_leg: bool,
}

impl Body {
    /// Points whose hull is its outline, nearly.
    fn outline_points(&self) -> Vec<Point3<f32>> {
        let (core, radius) = match self.shape {
            Shape::Box { half_extents } => (half_extents, 0.0),
            Shape::Sphere { radius } => (Vector3::zeros(), radius),
            Shape::Capsule {
                half_length,
                radius,
            } => (Vector3::z() * half_length, radius),
        };
        let mut points = Vec::new();
        for corner in 0..8 {
            let sign = |bit: u8| if corner & bit == 0 { 1.0 } else { -1.0 };
            let corner = Point3::new(sign(1) * core.x, sign(2) * core.y, sign(4) * core.z);
            match radius {
                0.0 => points.push(self.pose * corner),
                radius => points.extend(ball(corner, radius).map(|p| self.pose * p)),
            }
        }
        points
    }
}

/// Points of a ball's surface.
fn ball(centre: Point3<f32>, radius: f32) -> impl Iterator<Item = Point3<f32>> {
    let angles = move |steps: u16| {
        (0..steps).map(move |i| std::f32::consts::TAU * f32::from(i) / f32::from(steps))
    };
    angles(12).flat_map(move |a| {
        angles(12).map(move |b| {
            centre + radius * Vector3::new(a.cos() * b.cos(), a.sin() * b.cos(), b.sin())
        })
    })
}

fn bodies(robot: &Robot) -> Vec<Body> {
    let base = robot.base.link.shapes.iter().map(|shape| Body {
        shape: shape.shape,
        pose: shape.origin,
        is_leg: false,
    });
    let mut bodies: Vec<_> = base.collect();
    for (leg, range) in robot.legs_with_joint_range() {
        let poses = leg.link_poses_base(&robot.control.standing_position_rad[range]);
        for (joint, pose) in leg.joints.iter().zip(poses) {
            bodies.extend(joint.link.shapes.iter().map(|shape| Body {
                shape: shape.shape,
                pose: pose * shape.origin,
                is_leg: true,
            }));
        }
    }
    bodies
}

fn draw_view(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    robot: &Robot,
    bodies: &[Body],
    view: &View,
    half_m: f32,
) -> Result<()> {
    let project = |p: &Point3<f32>| {
        (
            f64::from(p.coords.dot(&view.right)),
            f64::from(p.coords.dot(&view.up)),
        )
    };
    let limit = f64::from(half_m);
    for decimetre in -20..=20 {
        let at = 0.1 * f64::from(decimetre);
        if at.abs() < limit {
            let style = scale.line(0.5, GRID);
            chart.draw_series([
                PathElement::new([(at, -limit), (at, limit)], style),
                PathElement::new([(-limit, at), (limit, at)], style),
            ])?;
        }
    }
    for body in bodies {
        let points: Vec<_> = body.outline_points().iter().map(&project).collect();
        let outline = hull(points);
        let closed: Vec<_> = outline.iter().chain(outline.first()).copied().collect();
        let shade = if body.is_leg {
            FAINT.mix(0.6)
        } else {
            TRUNK.mix(0.6)
        };
        chart.draw_series([Polygon::new(outline, shade)])?;
        chart.draw_series([PathElement::new(closed, scale.line(0.75, INK))])?;
    }
    for (leg, range) in robot.legs_with_joint_range() {
        let poses = leg.link_poses_base(&robot.control.standing_position_rad[range]);
        for (joint, pose) in leg.joints.iter().zip(poses) {
            let at = Point3::from(pose.translation.vector);
            let along = pose.rotation * joint.axis.into_inner() * AXIS_M;
            let (from, to) = (project(&(at - along)), project(&(at + along)));
            let style = scale.line(1.5, COLLISION);
            chart.draw_series([PathElement::new([from, to], style)])?;
            // The dot is where it points to.
            chart.draw_series([Circle::new(to, scale.px(2.0), COLLISION.filled())])?;
        }
    }
    Ok(())
}
