//! Reads what an MJCF, the format of MuJoCo, says about bodies, joints and geoms. Cameras, sensors, tendons and contacts are skipped.

mod attributes;
mod geoms;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use nalgebra::{Isometry3, Vector3};
use roxmltree::{Document, Node};

use super::{
    report::Report,
    source::{Geometry, JointKind, Source, SourceJoint, SourceLink, SourceShape},
    xml::child,
};

/// `folder` is that of the file, where its meshes are looked for.
pub(super) fn read(document: &Document<'_>, folder: &Path, report: &mut Report) -> Source {
    let root = document.root_element();
    let mut reader = Reader::new(root, folder, report);
    let world = child(root, "worldbody");
    let bodies: Vec<_> = world
        .into_iter()
        .flat_map(|world| world.children())
        .filter(|n| n.has_tag_name("body"))
        .collect();
    if bodies.is_empty()
        && let Some(include) = root.descendants().find(|n| n.has_tag_name("include"))
    {
        let file = include.attribute("file").unwrap_or_default();
        reader.report.error(format!(
            "the robot is in the file that this one includes; import `{file}`"
        ));
    }
    for body in bodies {
        reader.body(body, None, "");
    }
    reader.limits_of_actuators(root);
    Source {
        name: root.attribute("model").unwrap_or_default().to_owned(),
        links: reader.links,
        joints: reader.joints,
    }
}

/// Attributes of an element by name.
type Attributes = BTreeMap<String, String>;

struct Reader<'r> {
    /// By class and element; those of a class include its parents'.
    defaults: BTreeMap<(String, String), Attributes>,
    meshes: BTreeMap<String, (String, PathBuf, Vector3<f64>)>,
    is_degrees: bool,
    sequence: String,
    links: Vec<SourceLink>,
    joints: Vec<SourceJoint>,
    report: &'r mut Report,
}

impl<'r> Reader<'r> {
    fn new(root: Node<'_, '_>, folder: &Path, report: &'r mut Report) -> Self {
        let setting = |name: &str| {
            let compilers = root.children().filter(|n| n.has_tag_name("compiler"));
            compilers
                .filter_map(|n| n.attribute(name))
                .next_back()
                .map(str::to_owned)
        };
        let mut reader = Self {
            defaults: BTreeMap::new(),
            meshes: BTreeMap::new(),
            is_degrees: setting("angle").as_deref() != Some("radian"),
            sequence: setting("eulerseq").unwrap_or_else(|| "xyz".to_owned()),
            links: Vec::new(),
            joints: Vec::new(),
            report,
        };
        for default in root.children().filter(|n| n.has_tag_name("default")) {
            reader.add_defaults(default, "");
        }
        let meshes = setting("meshdir")
            .or_else(|| setting("assetdir"))
            .unwrap_or_default();
        let assets = root.children().filter(|n| n.has_tag_name("asset"));
        for mesh in assets
            .flat_map(|asset| asset.children())
            .filter(|n| n.has_tag_name("mesh"))
        {
            let own = reader.attributes(mesh, "");
            let Some(file) = own.get("file").cloned() else {
                continue;
            };
            let stem = Path::new(&file)
                .file_stem()
                .map(|s| s.to_string_lossy().into_owned());
            let name = own.get("name").cloned().or(stem).unwrap_or_default();
            let scale = reader.vector(&own, "scale", [1.0; 3], &format!("mesh `{name}`"));
            let path = folder.join(&meshes).join(&file);
            reader.meshes.insert(name, (file, path, scale.into()));
        }
        reader
    }

    /// Adds a body and what hangs on it. `parent` is its link, with where the body's parent is in that link's frame.
    fn body(&mut self, node: Node<'_, '_>, parent: Option<(&str, Isometry3<f64>)>, class: &str) {
        let class = node.attribute("childclass").unwrap_or(class);
        let given = node.attribute("name").map(str::to_owned);
        let name = given.unwrap_or_else(|| format!("body{}", self.links.len()));
        let place = format!("body `{name}`");
        let own: Attributes = node
            .attributes()
            .map(|a| (a.name().to_owned(), a.value().to_owned()))
            .collect();
        let mut pose = self.pose(&own, &place);
        let mut parent = parent.map(|(link, at)| {
            pose = at * pose;
            link.to_owned()
        });
        // Where the body's frame is in that of its link, whose origin is its last joint.
        let mut in_link = Isometry3::identity();
        let joints = node
            .children()
            .filter(|n| n.has_tag_name("joint") || n.has_tag_name("freejoint"));
        let joints: Vec<_> = joints.collect();
        if let Some(above) = &mut parent {
            for (index, joint) in joints.iter().enumerate() {
                let is_last = index + 1 == joints.len();
                let link = if is_last {
                    name.clone()
                } else {
                    format!("{name}_{index}")
                };
                let at = self.joint(*joint, class, above, &link, &pose);
                in_link = Isometry3::from(-at);
                pose = in_link;
                if !is_last {
                    self.links.push(SourceLink {
                        name: link.clone(),
                        inertial: None,
                        shapes: Vec::new(),
                        visuals: Vec::new(),
                    });
                }
                *above = link;
            }
        }
        if joints.is_empty()
            && let Some(above) = parent
        {
            self.joints.push(SourceJoint {
                kind: JointKind::Fixed,
                pose,
                ..joint_named(&format!("{name}_fixed"), &above, &name)
            });
        }
        let inertial = self.inertial(node, class, &place, &in_link);
        let geoms = node.children().filter(|n| n.has_tag_name("geom"));
        let (mut shapes, mut visuals) = (Vec::new(), Vec::new());
        for geom in geoms.filter_map(|geom| self.geom(geom, class, &place)) {
            let shape = SourceShape {
                pose: in_link * geom.shape.pose,
                ..geom.shape
            };
            if geom.is_shown && matches!(shape.geometry, Geometry::Mesh { .. }) {
                visuals.push(shape.clone());
            }
            if geom.collides {
                shapes.push(shape);
            }
        }
        self.links.push(SourceLink {
            name: name.clone(),
            inertial,
            shapes,
            visuals,
        });
        for nested in node.children().filter(|n| n.has_tag_name("body")) {
            self.body(nested, Some((&name, in_link)), class);
        }
    }

    /// Adds a joint to a body that is at this pose in the parent's link, and returns where it is in the body's frame.
    fn joint(
        &mut self,
        node: Node<'_, '_>,
        class: &str,
        parent: &str,
        link: &str,
        body: &Isometry3<f64>,
    ) -> Vector3<f64> {
        let own = self.attributes(node, class);
        let name = own
            .get("name")
            .cloned()
            .unwrap_or_else(|| format!("{link}_joint"));
        let place = format!("joint `{name}`");
        let kind = match own.get("type").map_or("hinge", String::as_str) {
            _ if node.has_tag_name("freejoint") => JointKind::Floating,
            "hinge" => JointKind::Hinge,
            "free" => JointKind::Floating,
            "slide" => JointKind::Other("a slide"),
            _ => JointKind::Other("a ball joint"),
        };
        let at = Vector3::from(self.vector(&own, "pos", [0.0; 3], &place));
        let [low, high] = self.vector(&own, "range", [0.0; 2], &place);
        let is_limited = own.get("limited").map_or("auto", String::as_str) != "false" && low < high;
        let force = self.vector(&own, "actuatorfrcrange", [0.0; 2], &place);
        let joint = SourceJoint {
            kind,
            pose: body * Isometry3::from(at),
            axis: Vector3::from(self.vector(&own, "axis", [0.0, 0.0, 1.0], &place)),
            range_rad: is_limited.then(|| [self.radians(low), self.radians(high)]),
            effort_limit_nm: force[1].abs(),
            damping_nms: self.number(&own, "damping", &place).max(0.0),
            friction_nm: self.number(&own, "frictionloss", &place).max(0.0),
            armature_kgm2: self.number(&own, "armature", &place).max(0.0),
            ..joint_named(&name, parent, link)
        };
        self.joints.push(joint);
        at
    }

    /// Effort limits from the actuators, where the joints have none.
    fn limits_of_actuators(&mut self, root: Node<'_, '_>) {
        let actuators = root.children().filter(|n| n.has_tag_name("actuator"));
        for actuator in actuators
            .flat_map(|n| n.children())
            .filter(Node::is_element)
        {
            let own = self.attributes(actuator, "");
            let place = format!(
                "actuator of joint `{}`",
                own.get("joint").map_or("", String::as_str)
            );
            let is_motor = actuator.has_tag_name("motor");
            let mut range = self.vector(&own, "forcerange", [0.0; 2], &place);
            if range == [0.0; 2] && is_motor {
                range = self.vector(&own, "ctrlrange", [0.0; 2], &place);
            }
            let gear = own
                .get("gear")
                .and_then(|gear| gear.split_whitespace().next()?.parse().ok())
                .unwrap_or(1.0);
            let joints = self
                .joints
                .iter_mut()
                .filter(|joint| own.get("joint") == Some(&joint.name));
            for joint in joints.filter(|joint| joint.effort_limit_nm == 0.0) {
                joint.effort_limit_nm = (range[1] * gear).abs();
            }
        }
    }
}

/// A joint of which nothing else is known.
fn joint_named(name: &str, parent: &str, child: &str) -> SourceJoint {
    SourceJoint {
        name: name.to_owned(),
        kind: JointKind::Fixed,
        parent: parent.to_owned(),
        child: child.to_owned(),
        pose: Isometry3::identity(),
        axis: Vector3::z(),
        range_rad: None,
        effort_limit_nm: 0.0,
        velocity_limit_radps: 0.0,
        damping_nms: 0.0,
        friction_nm: 0.0,
        armature_kgm2: 0.0,
    }
}
