//! Triangles of STL, OBJ and DAE files.
//!
//! STL and OBJ are read here: many CAD programs begin a binary STL with `solid`, which other readers take for text.

use std::path::Path;

use nalgebra::{Matrix4, Point3};
use roxmltree::{Document, Node};

use super::xml;
use crate::bounded_file;

/// Most triangles of a collision mesh; most have a few thousand.
pub(super) const MOST_TRIANGLES: usize = 2_000_000;
/// Most bytes of a file.
const MOST_BYTES: u64 = 128 << 20;

/// Corners of every triangle, m.
pub(super) type Triangles = Vec<[Point3<f64>; 3]>;

/// Reads a mesh of at most so many triangles; fails with half a line that says what is wrong.
pub(super) fn read(path: &Path, most: usize) -> Result<Triangles, String> {
    let bytes = bounded_file::read_bytes(path, MOST_BYTES).map_err(|error| error.to_string())?;
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let triangles = match extension.to_ascii_lowercase().as_str() {
        "stl" | "stla" | "stlb" => stl(&bytes, most)?,
        "obj" => obj(&String::from_utf8_lossy(&bytes), most)?,
        "dae" => dae(&String::from_utf8_lossy(&bytes), most)?,
        other => return Err(format!("is a .{other} file; STL, OBJ and DAE are read")),
    };
    if triangles.is_empty() {
        return Err("has no triangles".to_owned());
    }
    let is_finite = |t: &[Point3<f64>; 3]| t.iter().all(|p| p.iter().all(|x| x.is_finite()));
    match triangles.iter().all(is_finite) {
        true => Ok(triangles),
        false => Err("has coordinates that are no finite numbers".to_owned()),
    }
}

fn too_many(count: usize, most: usize) -> String {
    format!(
        "has {count} triangles, and at most {most} are read; simplify it, e.g. to its convex hull"
    )
}

fn stl(bytes: &[u8], most: usize) -> Result<Triangles, String> {
    const HEADER: usize = 84;
    const TRIANGLE: usize = 50;
    let count = bytes
        .get(80..HEADER)
        .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    // A text that happens to say its own length in bytes 80 to 83 does not exist.
    if bytes.starts_with(b"solid") && bytes.len() != HEADER + count.saturating_mul(TRIANGLE) {
        return stl_text(&String::from_utf8_lossy(bytes), most);
    }
    if count > most {
        return Err(too_many(count, most));
    }
    let body = bytes.get(HEADER..).unwrap_or_default();
    if body.len() < count * TRIANGLE {
        return Err(format!(
            "ends early: {count} triangles take {} bytes, and it has {}",
            HEADER + count * TRIANGLE,
            bytes.len()
        ));
    }
    let corner = |bytes: &[u8]| {
        let x = |i: usize| {
            f64::from(f32::from_le_bytes([
                bytes[4 * i],
                bytes[4 * i + 1],
                bytes[4 * i + 2],
                bytes[4 * i + 3],
            ]))
        };
        Point3::new(x(0), x(1), x(2))
    };
    let triangle = |t: &[u8]| [corner(&t[12..24]), corner(&t[24..36]), corner(&t[36..48])];
    Ok(body
        .chunks_exact(TRIANGLE)
        .take(count)
        .map(triangle)
        .collect())
}

fn stl_text(text: &str, most: usize) -> Result<Triangles, String> {
    let mut corners = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.trim_start().strip_prefix("vertex") {
            corners.push(point(rest).ok_or_else(|| {
                format!("has a vertex that is not three numbers: `{}`", line.trim())
            })?);
        }
    }
    if corners.len() / 3 > most {
        return Err(too_many(corners.len() / 3, most));
    }
    Ok(corners
        .chunks_exact(3)
        .map(|c| [c[0], c[1], c[2]])
        .collect())
}

fn obj(text: &str, most: usize) -> Result<Triangles, String> {
    let (mut corners, mut triangles) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let wrong = || {
            format!(
                "has a line that cannot be read: `{}`",
                line.chars().take(60).collect::<String>()
            )
        };
        if let Some(rest) = line.strip_prefix("v ") {
            corners.push(point(rest).ok_or_else(wrong)?);
        } else if let Some(rest) = line.strip_prefix("f ") {
            let corner = |word: &str| {
                let index: i64 = word.split('/').next()?.parse().ok()?;
                let from_end = corners.len() as i64 + index;
                let index = if index < 0 { from_end } else { index - 1 };
                corners.get(usize::try_from(index).ok()?).copied()
            };
            let face: Option<Vec<_>> = rest.split_whitespace().map(corner).collect();
            let face = face.ok_or_else(wrong)?;
            triangles.extend((2..face.len()).map(|i| [face[0], face[i - 1], face[i]]));
            if triangles.len() > most {
                return Err(too_many(triangles.len(), most));
            }
        }
    }
    Ok(triangles)
}

fn point(words: &str) -> Option<Point3<f64>> {
    let mut numbers = words.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Point3::new(next()?, next()?, next()?))
}

/// COLLADA: the instances of the scene, in metres. ROS ignores `<up_axis>`, and so do the files made for it.
fn dae(text: &str, most: usize) -> Result<Triangles, String> {
    let document = xml::parse(text)?;
    let root = document.root_element();
    let asset = xml::child(root, "asset");
    let unit = asset
        .and_then(|a| xml::child(a, "unit"))
        .and_then(|u| u.attribute("meter"));
    let metres: f64 = unit.and_then(|meter| meter.parse().ok()).unwrap_or(1.0);
    let mut collada = Collada {
        document: &document,
        triangles: Vec::new(),
        most,
    };
    let scale = Matrix4::new_scaling(metres);
    let scenes = root
        .descendants()
        .filter(|n| n.has_tag_name("visual_scene"));
    for node in scenes.flat_map(|scene| scene.children()) {
        collada.node(node, &scale)?;
    }
    if collada.triangles.is_empty() {
        // Without a scene, the geometries as they are.
        for geometry in root.descendants().filter(|n| n.has_tag_name("geometry")) {
            collada.geometry(geometry, &scale)?;
        }
    }
    Ok(collada.triangles)
}

struct Collada<'a, 'input> {
    document: &'a Document<'input>,
    triangles: Triangles,
    most: usize,
}

impl<'a, 'input> Collada<'a, 'input> {
    fn by_id(&self, reference: &str) -> Option<Node<'a, 'input>> {
        let id = reference.strip_prefix('#')?;
        let root = self.document.root_element();
        root.descendants()
            .find(|node| node.attribute("id") == Some(id))
    }

    fn node(&mut self, node: Node<'a, 'input>, parent: &Matrix4<f64>) -> Result<(), String> {
        if !node.has_tag_name("node") {
            return Ok(());
        }
        let mut pose = *parent;
        for child in node.children().filter(Node::is_element) {
            pose *= transform(child);
        }
        for child in node.children() {
            if child.has_tag_name("node") {
                self.node(child, &pose)?;
            } else if child.has_tag_name("instance_geometry") {
                let geometry = child.attribute("url").and_then(|url| self.by_id(url));
                if let Some(geometry) = geometry {
                    self.geometry(geometry, &pose)?;
                }
            }
        }
        Ok(())
    }

    fn geometry(&mut self, geometry: Node<'a, 'input>, pose: &Matrix4<f64>) -> Result<(), String> {
        let kinds = ["triangles", "polylist", "polygons"];
        let parts = geometry
            .descendants()
            .filter(|n| kinds.contains(&n.tag_name().name()));
        for part in parts {
            let inputs: Vec<_> = part
                .children()
                .filter(|n| n.has_tag_name("input"))
                .collect();
            let offset = |input: &Node<'_, '_>| {
                input
                    .attribute("offset")
                    .and_then(|o| o.parse::<usize>().ok())
                    .unwrap_or(0)
            };
            let stride = inputs.iter().map(offset).max().unwrap_or(0).min(64) + 1;
            let Some(input) = inputs
                .iter()
                .find(|input| input.attribute("semantic") == Some("VERTEX"))
            else {
                continue;
            };
            let corners = self.positions(input.attribute("source").unwrap_or_default())?;
            let corners: Vec<_> = corners.iter().map(|p| pose.transform_point(p)).collect();
            let counts = xml::child(part, "vcount")
                .map(|vcount| integers(vcount.text().unwrap_or_default()));
            for list in part.children().filter(|n| n.has_tag_name("p")) {
                let indices = integers(list.text().unwrap_or_default());
                let corner = |i: usize| {
                    let index = indices.get(i * stride + offset(input))?;
                    corners.get(*index).copied()
                };
                let total = indices.len() / stride;
                let sizes = match (&counts, part.tag_name().name()) {
                    (Some(counts), _) => counts.clone(),
                    (None, "polygons") => vec![total],
                    _ => vec![3; total / 3],
                };
                let mut start = 0;
                for size in sizes {
                    for i in 2..size.min(total) {
                        let face = [corner(start), corner(start + i - 1), corner(start + i)];
                        if let [Some(a), Some(b), Some(c)] = face {
                            self.triangles.push([a, b, c]);
                        }
                    }
                    // Counts beyond the list are none.
                    start = start.saturating_add(size).min(total);
                    if self.triangles.len() > self.most {
                        return Err(too_many(self.triangles.len(), self.most));
                    }
                }
            }
        }
        Ok(())
    }

    /// The positions behind `<vertices>`.
    fn positions(&self, vertices: &str) -> Result<Vec<Point3<f64>>, String> {
        let inputs = self.by_id(vertices);
        let input = inputs.and_then(|n| {
            n.children()
                .find(|n| n.attribute("semantic") == Some("POSITION"))
        });
        let source = input.and_then(|n| self.by_id(n.attribute("source")?));
        let array = source.and_then(|n| xml::child(n, "float_array"));
        let text = array
            .and_then(|n| n.text())
            .ok_or("names positions that it does not have")?;
        let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        let numbers = numbers.map_err(|_| "has positions that are no numbers")?;
        Ok(numbers
            .chunks_exact(3)
            .map(|c| Point3::new(c[0], c[1], c[2]))
            .collect())
    }
}

fn integers(text: &str) -> Vec<usize> {
    text.split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect()
}

/// What an element of a node does to its children; nothing, if it is no transformation.
fn transform(element: Node<'_, '_>) -> Matrix4<f64> {
    let text = element.text().unwrap_or_default();
    let n: Vec<f64> = text
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    match (element.tag_name().name(), n.as_slice()) {
        ("matrix", n) if n.len() == 16 => Matrix4::from_row_slice(n),
        ("translate", &[x, y, z]) => Matrix4::new_translation(&[x, y, z].into()),
        ("scale", &[x, y, z]) => Matrix4::new_nonuniform_scaling(&[x, y, z].into()),
        ("rotate", &[x, y, z, degrees]) => {
            let axis = nalgebra::Vector3::new(x, y, z);
            match nalgebra::Unit::try_new(axis, 1e-9) {
                Some(axis) => Matrix4::from_axis_angle(&axis, degrees.to_radians()),
                None => Matrix4::identity(),
            }
        }
        _ => Matrix4::identity(),
    }
}
