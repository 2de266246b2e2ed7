//! What a robot looks like: the visual meshes of each body as one STL in its frame.

use std::collections::{BTreeMap, BTreeSet};

use nalgebra::{Point3, Vector3};

use super::{
    bodies::{Bodies, Body},
    mesh::Triangles,
    report::Report,
    shapes::Meshes,
    source::Geometry,
};

/// Most triangles of a robot: 10 MB.
const MOST_TRIANGLES: usize = 200_000;
/// Nothing of a robot is farther from the origin of its link, m.
const FARTHEST_M: f64 = 100.0;
/// Most characters of the name of a file.
const LONGEST_NAME: usize = 60;

/// A file of the robot's folder.
pub(super) struct LinkMesh {
    /// Path in the folder.
    pub file: String,
    /// Binary STL, m.
    pub stl: Vec<u8>,
}

/// The meshes of the bodies that have any, by the place of the body. A body with a mesh that cannot be had has none.
pub(super) fn find(
    bodies: &Bodies<'_>,
    leg_length_m: f64,
    report: &mut Report,
) -> BTreeMap<usize, LinkMesh> {
    let mut meshes = Meshes::new(MOST_TRIANGLES);
    let mut found: BTreeMap<usize, Triangles> = BTreeMap::new();
    // The largest go first, as soon as there are too many; legs of the same mesh stay alike.
    let mut too_large = usize::MAX;
    let mut counts = Vec::new();
    for (place, body) in bodies.all.iter().enumerate() {
        match triangles(body, leg_length_m, &mut meshes, report) {
            Ok(triangles) => {
                counts.push((place, triangles.len()));
                found.insert(place, triangles);
            }
            Err(line) => report.found(format!(
                "link `{}`: no visual mesh, since {line}; its collision shapes are shown",
                body.name
            )),
        }
        found.retain(|_, triangles| (1..too_large).contains(&triangles.len()));
        while found.values().map(Vec::len).sum::<usize>() > MOST_TRIANGLES {
            too_large = found.values().map(Vec::len).max().unwrap_or(0);
            found.retain(|_, triangles| triangles.len() < too_large);
        }
    }
    for (place, count) in counts {
        if count >= too_large {
            report.found(format!(
                "link `{}`: its visual mesh of {count} triangles is left out, since a robot keeps at most {MOST_TRIANGLES}; its collision shapes are shown",
                bodies.all[place].name
            ));
        }
    }
    let mut taken = BTreeSet::new();
    let mut file = |link: &str, place: usize| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let characters = link.chars().map(|c| if allowed(c) { c } else { '_' });
        let mut name: String = characters.take(LONGEST_NAME).collect();
        // Two links may have become the same, also to a file system that knows no capitals.
        if !taken.insert(name.to_ascii_lowercase()) {
            name = format!("{name}.{place}");
        }
        format!("meshes/{name}.stl")
    };
    let written = found.into_iter().map(|(place, triangles)| {
        let mesh = LinkMesh {
            file: file(bodies.all[place].name, place),
            stl: stl(&triangles),
        };
        (place, mesh)
    });
    written.collect()
}

/// All visual meshes of a body in its frame, m; fails with half a line.
fn triangles(
    body: &Body<'_>,
    leg_length_m: f64,
    meshes: &mut Meshes,
    report: &mut Report,
) -> Result<Triangles, String> {
    let mut all = Triangles::new();
    for visual in &body.visuals {
        let Geometry::Mesh {
            name,
            places,
            scale,
        } = visual.geometry
        else {
            continue;
        };
        let mesh = (name.as_str(), places.as_slice(), scale);
        let triangles = meshes.scaled(visual.link, mesh, leg_length_m, report)?;
        // A mirror image has its triangles inside out.
        let is_mirrored = scale.product() < 0.0;
        for [a, b, c] in triangles {
            let corners = if is_mirrored { [a, c, b] } else { [a, b, c] };
            all.push(corners.map(|corner| visual.pose * corner));
        }
        if all.len() > MOST_TRIANGLES {
            return Err(format!("it has more than {MOST_TRIANGLES} triangles"));
        }
    }
    let is_near = |t: &[Point3<f64>; 3]| t.iter().all(|p| p.coords.norm() < FARTHEST_M);
    match all.iter().all(is_near) {
        true => Ok(all),
        false => Err(format!("it reaches farther than {FARTHEST_M} m")),
    }
}

/// A binary STL.
fn stl(triangles: &Triangles) -> Vec<u8> {
    let mut bytes = b"visual mesh of a link, m".to_vec();
    bytes.resize(80, b' ');
    bytes.extend((triangles.len() as u32).to_le_bytes());
    for [a, b, c] in triangles {
        let normal = (b - a).cross(&(c - a));
        let normal = normal.try_normalize(1e-18).unwrap_or_else(Vector3::z);
        for vector in [normal, a.coords, b.coords, c.coords] {
            bytes.extend(vector.iter().flat_map(|x| (*x as f32).to_le_bytes()));
        }
        bytes.extend([0; 2]);
    }
    bytes
}
