//! The ball at the end of a leg, and the calf that must end before it.

use nalgebra::{Isometry3, Point3, Vector3};

use super::{
    bodies::Body,
    report::Report,
    shapes::{Solid, word},
};
use crate::{extent::calf_clearance_m, model::Shape};

/// A ball in the frame of the leg's last body.
#[derive(Clone)]
pub(super) struct Ball {
    /// The URDF link of the foot.
    pub link: String,
    pub centre: Point3<f64>,
    pub radius: f64,
    /// What it was made of, for a comment.
    pub origin: String,
}

/// Radius of a foot of which the file says nothing, as a part of the calf's length.
const GUESSED_RADIUS: f64 = 0.09;

/// Finds the foot among the links and shapes of a leg's last body, and takes its shapes out of `solids`.
pub(super) fn find(
    leg: &str,
    body: &Body<'_>,
    solids: &mut Vec<Solid<'_>>,
    report: &mut Report,
) -> Option<Ball> {
    let reach = |solid: &Solid<'_>| solid.reach_m(&solid.along());
    let end = solids.iter().map(&reach).fold(0.0, f64::max);
    // A link fixed to the end of the calf is its foot, whatever it is called; a named one wins.
    let mut links: Vec<(f64, &str, Isometry3<f64>)> = body
        .links
        .iter()
        .filter(|(link, _)| *link != body.name)
        .map(|(link, pose)| {
            let own = solids.iter().filter(|solid| solid.link == *link);
            let distance = own
                .map(&reach)
                .fold(pose.translation.vector.norm(), f64::max);
            (distance, *link, *pose)
        })
        .filter(|(distance, ..)| *distance > 0.6 * end && *distance > 1e-3)
        .collect();
    links.sort_by(|a, b| {
        (is_foot_name(b.1))
            .cmp(&is_foot_name(a.1))
            .then(b.0.total_cmp(&a.0))
    });
    if let Some((_, link, pose)) = links.first() {
        if let Some(ball) = of_link(link, solids, report) {
            return Some(ball);
        }
        return Some(at_frame(leg, link, pose, solids, report));
    }
    // Else the outermost ball of the calf itself.
    let spheres = solids
        .iter()
        .enumerate()
        .filter(|(_, s)| matches!(s.shape, Shape::Sphere { .. }));
    let outermost = spheres.max_by(|a, b| reach(a.1).total_cmp(&reach(b.1)));
    let found = outermost
        .filter(|(_, sphere)| reach(sphere) > 0.8 * end)
        .map(|(index, _)| index);
    let link = format!("{leg}_foot");
    if let Some(index) = found {
        let sphere = solids.remove(index);
        report.found(format!(
            "leg {leg}: the foot is the sphere at the end of `{}`",
            sphere.link
        ));
        return Some(Ball {
            link,
            centre: Point3::from(sphere.pose.translation.vector),
            radius: sphere.ball_radius,
            origin: sphere.origin,
        });
    }
    // Else a ball in the end of the outermost shape.
    let Some(outermost) = solids.iter().max_by(|a, b| reach(a).total_cmp(&reach(b))) else {
        report.error(format!(
            "leg {leg}: no foot found: `{}` has neither collision shapes nor a link fixed to its end; add a foot link with a sphere",
            body.name
        ));
        return None;
    };
    let along = outermost.along();
    let length = outermost.reach_m(&along);
    let radius = outermost.ball_radius.clamp(0.04 * length, 0.15 * length);
    report.guessed(format!(
        "leg {leg}: the foot is a ball of radius {:.0} mm in the end of `{}`, which has no foot link",
        1e3 * radius,
        outermost.link
    ));
    Some(Ball {
        link,
        centre: Point3::from(along * (length - radius)),
        radius,
        origin: "a ball in the end of the calf's shape".to_owned(),
    })
}

fn is_foot_name(link: &str) -> bool {
    let link = link.to_ascii_lowercase();
    ["foot", "toe", "wheel", "feet"]
        .iter()
        .any(|word| link.contains(word))
}

/// The ball for the shapes of a foot link; they are taken out.
fn of_link(link: &str, solids: &mut Vec<Solid<'_>>, report: &mut Report) -> Option<Ball> {
    let own = solids.iter().filter(|solid| solid.link == link);
    let is_sphere = |solid: &Solid<'_>| matches!(solid.shape, Shape::Sphere { .. });
    let best = own.max_by(|a, b| {
        let rank = |s: &Solid<'_>| (is_sphere(s), s.pose.translation.vector.norm());
        rank(a)
            .partial_cmp(&rank(b))
            .unwrap_or(std::cmp::Ordering::Equal)
    })?;
    let along = best.along();
    let radius = best.ball_radius;
    // In the end of a long shape, in the middle of a round one.
    let (axis, half) = match best.shape {
        Shape::Box { half_extents } => {
            let longest = half_extents.imax();
            (longest, f64::from(half_extents[longest]) - radius)
        }
        Shape::Capsule { half_length, .. } => (2, f64::from(half_length)),
        Shape::Sphere { .. } => (2, 0.0),
    };
    let axis = best.pose.rotation * Vector3::ith(axis, 1.0);
    let slope = axis.dot(&along);
    let beyond = if slope.abs() > 0.7 {
        half.max(0.0) * slope.signum()
    } else {
        0.0
    };
    let ball = Ball {
        link: link.to_owned(),
        centre: Point3::from(best.pose.translation.vector + beyond * axis),
        radius,
        origin: best.origin.clone(),
    };
    if !is_sphere(best) || best.origin != "sphere" {
        report.found(format!(
            "foot `{link}`: a ball of radius {:.0} mm for its {}",
            1e3 * radius,
            word(&best.shape)
        ));
    }
    solids.retain(|solid| solid.link != link);
    Some(ball)
}

/// The ball around the frame of a foot link that has no shape.
fn at_frame(
    leg: &str,
    link: &str,
    pose: &Isometry3<f64>,
    solids: &mut Vec<Solid<'_>>,
    report: &mut Report,
) -> Ball {
    let centre = Point3::from(pose.translation.vector);
    let length = centre.coords.norm();
    let along = centre.coords.normalize();
    // A ball of the calf around that frame is the foot; else the calf's end says how far the foot reaches beyond it.
    let near = |s: &Solid<'_>| {
        matches!(s.shape, Shape::Sphere { .. })
            && (s.pose.translation.vector - centre.coords).norm() < 0.1 * length
    };
    if let Some(index) = solids.iter().position(near) {
        let sphere = solids.remove(index);
        report.found(format!(
            "foot `{link}`: the sphere at the end of `{}`",
            sphere.link
        ));
        return Ball {
            link: link.to_owned(),
            centre: Point3::from(sphere.pose.translation.vector),
            radius: sphere.ball_radius,
            origin: sphere.origin,
        };
    }
    let end = solids
        .iter()
        .map(|solid| solid.reach_m(&along) - length)
        .fold(f64::NEG_INFINITY, f64::max);
    let (radius, reason) = if (0.03 * length..0.2 * length).contains(&end) {
        (end, "which reaches as far as the calf's shape")
    } else {
        (GUESSED_RADIUS * length, "the file has no shape for it")
    };
    report.guessed(format!(
        "leg {leg}: foot `{link}` is a ball of radius {:.0} mm; {reason}",
        1e3 * radius
    ));
    Ball {
        link: link.to_owned(),
        centre,
        radius,
        origin: "a ball around the frame of the foot".to_owned(),
    }
}

/// Shortens or drops what would touch the ground before the foot does.
pub(super) fn clear(ball: &Ball, solids: &mut Vec<Solid<'_>>, report: &mut Report) {
    let along = ball
        .centre
        .coords
        .try_normalize(1e-9)
        .unwrap_or(-Vector3::z());
    let clearance = f64::from(calf_clearance_m(ball.radius as f32));
    // Beyond what the loader asks for, as far as the ball's upper end where that is near.
    let clearance = clearance.max((2.0 * ball.radius).min(0.05)) + 1e-3;
    let end = ball.centre.coords.norm() + ball.radius - clearance;
    solids.retain_mut(|solid| {
        let beyond = solid.reach_m(&along) - end;
        if beyond <= 0.0 {
            return true;
        }
        let kept = shorten(solid, &along, beyond);
        let what = format!("link `{}`: its {}", solid.link, word(&solid.shape));
        report.found(if kept {
            format!(
                "{what} is shortened by {:.0} mm, so that the foot touches the ground before it",
                1e3 * beyond
            )
        } else {
            format!("{what} is left out, so that the foot touches the ground before it")
        });
        kept
    });
}

/// Moves the far end of a shape back; false if too little is left of it.
fn shorten(solid: &mut Solid<'_>, along: &Vector3<f64>, by: f64) -> bool {
    let own = solid.pose.rotation.inverse_transform_vector(along);
    let axis = own.iamax();
    let slope = own[axis].abs();
    let (half, least) = match &mut solid.shape {
        Shape::Capsule { half_length, .. } if axis == 2 && slope > 0.7 => (half_length, 0.0),
        Shape::Box { half_extents } if slope > 0.7 => {
            let least = 0.2 * half_extents[axis];
            (&mut half_extents[axis], least)
        }
        _ => return false,
    };
    let back = (0.5 * by / slope) as f32;
    if *half - back <= least {
        return false;
    }
    *half -= back;
    let shift = Vector3::ith(axis, -own[axis].signum() * f64::from(back));
    solid.pose.translation.vector += solid.pose.rotation * shift;
    true
}
