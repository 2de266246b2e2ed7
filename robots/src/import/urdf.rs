//! Reads what a URDF says about links and joints. Materials, transmissions and sensors are skipped, and visuals that are no meshes.

use std::path::{Path, PathBuf};

use nalgebra::{Isometry3, Matrix3, Translation3, UnitQuaternion, Vector3};
use roxmltree::{Document, Node};

use super::{
    report::Report,
    source::{Geometry, Inertial, JointKind, Source, SourceJoint, SourceLink, SourceShape},
    xml::{child, numbers},
};

/// How far above the file's folder a package is looked for.
const MOST_FOLDERS_UP: usize = 6;

/// `folder` is that of the file, where its meshes are looked for.
pub(super) fn read(document: &Document<'_>, folder: &Path, report: &mut Report) -> Source {
    let root = document.root_element();
    let elements = |name: &'static str| root.children().filter(move |n| n.has_tag_name(name));
    Source {
        name: root.attribute("name").unwrap_or_default().to_owned(),
        links: elements("link")
            .map(|node| link(node, folder, report))
            .collect(),
        joints: elements("joint")
            // In <transmission> and <gazebo> there are joints of other kinds, but not directly below <robot>.
            .filter_map(|node| joint(node, report))
            .collect(),
    }
}

fn link(node: Node<'_, '_>, folder: &Path, report: &mut Report) -> SourceLink {
    let name = node.attribute("name").unwrap_or_default().to_owned();
    let place = format!("link `{name}`");
    let inertial = child(node, "inertial").and_then(|node| inertial(node, &place, report));
    let collisions = node.children().filter(|n| n.has_tag_name("collision"));
    let shapes = collisions
        .filter_map(|node| {
            let pose = pose(node, &place, report);
            let geometry = child(node, "geometry")?;
            let geometry = geometry.children().find(Node::is_element)?;
            let geometry = shape(geometry, folder, &place, report)?;
            Some(SourceShape { pose, geometry })
        })
        .collect();
    let visuals = node.children().filter(|n| n.has_tag_name("visual"));
    let visuals = visuals.filter_map(|node| visual(node, folder, &place, report));
    SourceLink {
        visuals: visuals.collect(),
        name,
        inertial,
        shapes,
    }
}

/// A visual mesh; a faulty one is no reason to refuse a robot.
fn visual(
    node: Node<'_, '_>,
    folder: &Path,
    place: &str,
    report: &mut Report,
) -> Option<SourceShape> {
    let mesh = child(child(node, "geometry")?, "mesh")?;
    let mut faults = Report::default();
    let pose = pose(node, place, &mut faults);
    let geometry = shape(mesh, folder, place, &mut faults)?;
    if faults.has_errors() {
        report.found(format!(
            "{place}: a visual mesh whose origin or scale are no numbers is left out"
        ));
        return None;
    }
    Some(SourceShape { pose, geometry })
}

fn inertial(node: Node<'_, '_>, place: &str, report: &mut Report) -> Option<Inertial> {
    let pose = pose(node, place, report);
    let mass = child(node, "mass").map_or(0.0, |mass| number(mass, "value", 0.0, place, report));
    let inertia = child(node, "inertia").map_or_else(Matrix3::zeros, |inertia| {
        let mut entry = |name| number(inertia, name, 0.0, place, report);
        let (xx, xy, xz) = (entry("ixx"), entry("ixy"), entry("ixz"));
        let (yy, yz, zz) = (entry("iyy"), entry("iyz"), entry("izz"));
        Matrix3::new(xx, xy, xz, xy, yy, yz, xz, yz, zz)
    });
    if mass < 0.0 {
        report.error(format!(
            "{place}: mass is {mass} kg; it must be zero or more"
        ));
        return None;
    }
    Some(Inertial {
        mass,
        pose,
        inertia,
    })
}

fn shape(node: Node<'_, '_>, folder: &Path, place: &str, report: &mut Report) -> Option<Geometry> {
    let mut length = |name| number(node, name, 0.0, place, report);
    let geometry = match node.tag_name().name() {
        "box" => Geometry::Box(numbers(node, "size", [0.0; 3], place, report).into()),
        "sphere" => Geometry::Sphere {
            radius: length("radius"),
        },
        "cylinder" => Geometry::Cylinder {
            radius: length("radius"),
            length: length("length"),
        },
        "capsule" => Geometry::Capsule {
            radius: length("radius"),
            length: length("length"),
        },
        "mesh" => {
            let name = node.attribute("filename").unwrap_or_default().to_owned();
            let scale = numbers(node, "scale", [1.0; 3], place, report);
            Geometry::Mesh {
                places: mesh_places(&name, folder),
                name,
                scale: scale.into(),
            }
        }
        other => {
            report.found(format!(
                "{place}: collision shape <{other}> is left out; it is none of URDF"
            ));
            return None;
        }
    };
    let is_sound = match &geometry {
        Geometry::Box(size) => size.iter().all(|s| *s > 0.0),
        Geometry::Sphere { radius } => *radius > 0.0,
        Geometry::Cylinder { radius, length } | Geometry::Capsule { radius, length } => {
            *radius > 0.0 && *length > 0.0
        }
        Geometry::Mesh { .. } => true,
    };
    if !is_sound {
        report.found(format!(
            "{place}: a collision shape without size is left out"
        ));
    }
    is_sound.then_some(geometry)
}

/// A mesh is named relative to the file, to a ROS package, or by its full path. Of a package that lies elsewhere than on the
/// machine of its author, the folders above the file are tried.
fn mesh_places(name: &str, folder: &Path) -> Vec<PathBuf> {
    let plain = name.strip_prefix("file://").unwrap_or(name);
    let packaged = ["package://", "model://"]
        .iter()
        .find_map(|p| name.strip_prefix(p));
    let packaged = packaged.or_else(|| plain.strip_prefix("$(find "));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let above = folder.ancestors().take(MOST_FOLDERS_UP);
    match packaged {
        Some(rest) => {
            let rest = rest.replacen(')', "", 1);
            let inside = rest
                .split_once('/')
                .map_or(rest.as_str(), |(_, inside)| inside)
                .to_owned();
            above
                .flat_map(|up| [up.join(&rest), up.join(&inside)])
                .collect()
        }
        None if Path::new(plain).is_absolute() => vec![plain.into()],
        None => above.map(|up| up.join(plain)).collect(),
    }
}

fn joint(node: Node<'_, '_>, report: &mut Report) -> Option<SourceJoint> {
    let name = node.attribute("name").unwrap_or_default().to_owned();
    let place = format!("joint `{name}`");
    let mut end = |which: &str| match child(node, which).and_then(|n| n.attribute("link")) {
        Some(link) => Some(link.to_owned()),
        None => {
            report.error(format!("{place} has no <{which} link=...>; add it"));
            None
        }
    };
    let (parent, child_link) = (end("parent"), end("child"));
    let (parent, child_link) = (parent?, child_link?);
    let kind = match node.attribute("type").unwrap_or_default() {
        _ if child(node, "mimic").is_some() => JointKind::Other("a mimic joint"),
        "fixed" => JointKind::Fixed,
        "revolute" | "continuous" => JointKind::Hinge,
        "floating" => JointKind::Floating,
        "prismatic" => JointKind::Other("prismatic"),
        "planar" => JointKind::Other("planar"),
        other => {
            report.error(format!(
                "{place} is of type `{other}`; it must be revolute, continuous or fixed"
            ));
            JointKind::Other("of an unknown type")
        }
    };
    let mut of = |element: &str, attribute: &str| {
        child(node, element).map_or(0.0, |n| number(n, attribute, 0.0, &place, report))
    };
    let (lower, upper) = (of("limit", "lower"), of("limit", "upper"));
    let (effort, velocity) = (of("limit", "effort"), of("limit", "velocity"));
    let (damping, friction) = (of("dynamics", "damping"), of("dynamics", "friction"));
    let axis = child(node, "axis").map_or([1.0, 0.0, 0.0], |n| {
        numbers(n, "xyz", [1.0, 0.0, 0.0], &place, report)
    });
    let is_continuous = node.attribute("type") == Some("continuous");
    Some(SourceJoint {
        kind,
        parent,
        child: child_link,
        pose: pose(node, &place, report),
        axis: Vector3::from(axis),
        // Without <limit>, and with both left out, a revolute joint is one that was not finished.
        range_rad: (!is_continuous && (lower, upper) != (0.0, 0.0)).then_some([lower, upper]),
        effort_limit_nm: effort,
        velocity_limit_radps: velocity,
        damping_nms: damping.max(0.0),
        friction_nm: friction.max(0.0),
        armature_kgm2: 0.0,
        name,
    })
}

fn number(
    node: Node<'_, '_>,
    attribute: &str,
    default: f64,
    place: &str,
    report: &mut Report,
) -> f64 {
    let [value] = numbers(node, attribute, [default], place, report);
    value
}

/// The pose in `<origin>`; roll, pitch and yaw are about the fixed axes x, y and z, as nalgebra's.
fn pose(node: Node<'_, '_>, place: &str, report: &mut Report) -> Isometry3<f64> {
    child(node, "origin").map_or_else(Isometry3::identity, |origin| {
        let at = numbers(origin, "xyz", [0.0; 3], place, report);
        let [roll, pitch, yaw] = numbers(origin, "rpy", [0.0; 3], place, report);
        let rotation = UnitQuaternion::from_euler_angles(roll, pitch, yaw);
        Isometry3::from_parts(Translation3::from(at), rotation)
    })
}
