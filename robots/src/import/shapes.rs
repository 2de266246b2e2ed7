//! Boxes, capsules and spheres for the collision shapes of a body.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use nalgebra::{Isometry3, Point3, Rotation3, UnitQuaternion, Vector3};

use super::{
    bodies::{Body, BodyShape},
    fit::{self, Fit},
    mesh::{self, Triangles},
    report::Report,
    source::Geometry,
};
use crate::{extent::reach_m, model::Shape};

/// A shape of a body in its frame.
#[derive(Clone)]
pub(super) struct Solid<'a> {
    /// The link that it belongs to.
    pub link: &'a str,
    pub pose: Isometry3<f64>,
    pub shape: Shape,
    /// What a ball in its place has, m: the radius of a wheel or a round foot.
    pub ball_radius: f64,
    /// What it was made of, for a comment.
    pub origin: String,
}

impl Solid<'_> {
    /// Farthest extent along a direction in the frame of the body, m.
    pub(super) fn reach_m(&self, direction: &Vector3<f64>) -> f64 {
        f64::from(reach_m(&self.shape, &self.pose.cast(), &direction.cast()))
    }

    /// The direction in which it lies from the body's origin; downward where it is in the origin.
    pub(super) fn along(&self) -> Vector3<f64> {
        let along = self.pose.translation.vector;
        along.try_normalize(1e-9).unwrap_or(-Vector3::z())
    }
}

/// Shapes of a body that are kept; every one costs time in every physics step.
const MOST_SHAPES: usize = 6;
/// Volume of a cube of 4 mm.
const SMALLEST_M3: f32 = 6.4e-8;
/// A mesh that is larger than the robot's legs by this factor is not in metres.
const NOT_METRES: f64 = 20.0;

/// Reads every mesh once.
pub(super) struct Meshes {
    read: BTreeMap<PathBuf, Result<Triangles, String>>,
    most_triangles: usize,
}

impl Meshes {
    /// Of at most so many triangles each.
    pub(super) fn new(most_triangles: usize) -> Self {
        Self {
            read: BTreeMap::new(),
            most_triangles,
        }
    }

    /// The mesh of a link as the description scales it, m. `leg_length_m` tells metres from millimetres.
    pub(super) fn scaled(
        &mut self,
        link: &str,
        (name, places, scale): (&str, &[PathBuf], &Vector3<f64>),
        leg_length_m: f64,
        report: &mut Report,
    ) -> Result<Triangles, String> {
        let short = short(name);
        let triangles = self
            .find(name, places)
            .map_err(|error| format!("`{short}` {error}"))?;
        let mut scaled: Triangles = triangles
            .iter()
            .map(|t| t.map(|p| Point3::from(p.coords.component_mul(scale))))
            .collect();
        let farthest = scaled
            .iter()
            .flatten()
            .map(|p| p.coords.norm())
            .fold(0.0, f64::max);
        if farthest > NOT_METRES * leg_length_m {
            report.guessed(format!(
                "link `{link}`: mesh `{short}` reaches {farthest:.0} m from its origin and is taken to be in mm"
            ));
            scaled.iter_mut().flatten().for_each(|p| *p *= 1e-3);
        }
        Ok(scaled)
    }

    fn find(&mut self, name: &str, places: &[PathBuf]) -> Result<&Triangles, String> {
        let Some(path) = places.iter().find(|path| path.is_file()) else {
            let first = places.first().map_or(Path::new(name), PathBuf::as_path);
            return Err(format!("is not there; put it at {}", first.display()));
        };
        if !self.read.contains_key(path) {
            let read = mesh::read(path, self.most_triangles);
            self.read.insert(path.clone(), read);
        }
        match self.read.get(path) {
            Some(Ok(triangles)) => Ok(triangles),
            Some(Err(error)) => Err(error.clone()),
            None => Err("cannot be read".to_owned()),
        }
    }
}

/// The file of a mesh without its folders.
fn short(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// The shapes of a body. `leg_length_m` tells metres from millimetres.
pub(super) fn solids<'a>(
    body: &Body<'a>,
    leg_length_m: f64,
    meshes: &mut Meshes,
    report: &mut Report,
) -> Vec<Solid<'a>> {
    let mut solids = Vec::new();
    let mut is_missing = false;
    for shape in &body.shapes {
        match solid(shape, leg_length_m, meshes, report) {
            Ok(solid) => solids.push(solid),
            Err(line) => {
                is_missing = true;
                report.guessed(format!("link `{}`: mesh {line}", shape.link));
            }
        }
    }
    if solids.is_empty() && is_missing {
        solids.extend(box_of_inertia(body, report));
    }
    without_hidden(body.name, solids, report)
}

fn solid<'a>(
    shape: &BodyShape<'a>,
    leg_length_m: f64,
    meshes: &mut Meshes,
    report: &mut Report,
) -> Result<Solid<'a>, String> {
    let BodyShape { link, pose, .. } = *shape;
    let simple = |shape: Shape, ball_radius: f64, origin: &str| Solid {
        link,
        pose,
        shape,
        ball_radius,
        origin: origin.to_owned(),
    };
    Ok(match shape.geometry {
        Geometry::Box(size) => {
            let half_extents: Vector3<f32> = (0.5 * size).cast();
            simple(Shape::Box { half_extents }, median(size) / 2.0, "box")
        }
        &Geometry::Sphere { radius } => {
            let radius_m = radius as f32;
            simple(Shape::Sphere { radius: radius_m }, radius, "sphere")
        }
        &Geometry::Capsule { radius, length } => {
            let shape = Shape::Capsule {
                half_length: (0.5 * length) as f32,
                radius: radius as f32,
            };
            simple(shape, radius, "capsule")
        }
        &Geometry::Cylinder { radius, length } => {
            let shape = fit::cylinder(radius, length);
            if let Shape::Box { .. } = shape {
                report.found(format!(
                    "link `{link}`: the disc of radius {:.0} mm and length {:.0} mm collides as a box of its volume",
                    1e3 * radius,
                    1e3 * length
                ));
            }
            simple(shape, radius, "cylinder")
        }
        Geometry::Mesh {
            name,
            places,
            scale,
        } => {
            let scaled = meshes.scaled(link, (name, places, scale), leg_length_m, report)?;
            let short = short(name);
            let Fit {
                pose: own,
                shape,
                error_m,
                volume_ratio,
            } = fit::fit(&scaled);
            let ratio = volume_ratio.map_or("mesh not closed".to_owned(), |ratio| {
                format!("volume x {ratio:.2}")
            });
            let word = word(&shape);
            let origin = format!(
                "{word} for mesh {short}: {:.1} mm off on average, {ratio}",
                1e3 * error_m
            );
            report.found(format!("link `{link}`: {origin}"));
            Solid {
                ball_radius: ball_radius(&shape),
                link,
                pose: pose * own,
                shape,
                origin,
            }
        }
    })
}

/// Its name.
pub(super) fn word(shape: &Shape) -> &'static str {
    match shape {
        Shape::Box { .. } => "box",
        Shape::Sphere { .. } => "sphere",
        Shape::Capsule { .. } => "capsule",
    }
}

fn ball_radius(shape: &Shape) -> f64 {
    match shape {
        Shape::Box { half_extents } => median(&half_extents.cast()),
        Shape::Sphere { radius } | Shape::Capsule { radius, .. } => f64::from(*radius),
    }
}

fn median(sizes: &Vector3<f64>) -> f64 {
    sizes.sum() - sizes.max() - sizes.min()
}

/// Where all meshes of a body are missing: the box of its mass and inertia.
fn box_of_inertia<'a>(body: &Body<'a>, report: &mut Report) -> Option<Solid<'a>> {
    let (mass, com, inertia) = body.mass.about_com(body.name).ok()?;
    let eigen = inertia.symmetric_eigen();
    let [x, y, z] = eigen.eigenvalues.into();
    let half =
        |a: f64, b: f64, c: f64| (1.5 * (a + b - c).max(0.0) / mass).sqrt().max(0.005) as f32;
    let mut axes = eigen.eigenvectors;
    if axes.determinant() < 0.0 {
        axes.column_mut(0).neg_mut();
    }
    let rotation = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(axes));
    let half_extents = Vector3::new(half(y, z, x), half(x, z, y), half(x, y, z));
    let origin = "box of the same mass and inertia, in place of its mesh".to_owned();
    report.guessed(format!("link `{}`: {origin}", body.name));
    Some(Solid {
        link: body.name,
        pose: Isometry3::from_parts(com.coords.into(), rotation),
        shape: Shape::Box { half_extents },
        ball_radius: f64::from(half_extents.min()),
        origin,
    })
}

/// Leaves out shapes that lie within others, and the smallest of very many.
fn without_hidden<'a>(
    body: &str,
    mut solids: Vec<Solid<'a>>,
    report: &mut Report,
) -> Vec<Solid<'a>> {
    // What marks a place is no body.
    solids.retain(|solid| solid.shape.volume_m3() > SMALLEST_M3);
    solids.sort_by(|a, b| b.shape.volume_m3().total_cmp(&a.shape.volume_m3()));
    let mut kept: Vec<Solid<'a>> = Vec::new();
    for solid in solids {
        // The foot may lie within a shape of its leg, and is looked for later.
        let is_hidden = !matches!(solid.shape, Shape::Sphere { .. })
            && kept.iter().any(|other| is_within(&solid, other));
        if !is_hidden {
            kept.push(solid);
        }
    }
    let spheres = kept
        .iter()
        .filter(|s| matches!(s.shape, Shape::Sphere { .. }))
        .count();
    if kept.len() > MOST_SHAPES && spheres < MOST_SHAPES {
        let dropped = kept.len() - MOST_SHAPES;
        report.found(format!("link `{body}`: its {MOST_SHAPES} largest shapes are kept, {dropped} smaller ones left out"));
        // The last sphere of a calf may be its foot.
        let foot = kept
            .iter()
            .rposition(|s| matches!(s.shape, Shape::Sphere { .. }));
        let foot = foot
            .filter(|&at| at >= MOST_SHAPES)
            .map(|at| kept.swap_remove(at));
        kept.truncate(MOST_SHAPES - usize::from(foot.is_some()));
        kept.extend(foot);
    }
    kept
}

fn is_within(inner: &Solid<'_>, outer: &Solid<'_>) -> bool {
    let to_outer: Isometry3<f32> = (outer.pose.inverse() * inner.pose).cast();
    let steps = [-1.0, 0.0, 1.0];
    let directions = steps.iter().flat_map(|&x| {
        steps
            .iter()
            .flat_map(move |&y| steps.map(|z| Vector3::new(x, y, z)))
    });
    let mut directions = directions.filter_map(|d: Vector3<f32>| d.try_normalize(0.1));
    directions.all(|d| reach_m(&inner.shape, &to_outer, &d) <= outer.shape.reach_m(&d) + 1e-3)
}
