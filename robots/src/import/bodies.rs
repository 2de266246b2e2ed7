//! Bodies: links with all that is fixed to them, in a tree whose edges are hinges.

use std::collections::{BTreeMap, BTreeSet};

use nalgebra::{Isometry3, Point3, Unit, UnitQuaternion, Vector3};

use super::{
    report::Report,
    source::{Geometry, JointKind, Source, SourceJoint, SourceShape},
};
use crate::{mass::MassMoments, tree::MOST_LINKS};

/// The base is the first of them.
pub(super) struct Bodies<'a> {
    pub all: Vec<Body<'a>>,
}

pub(super) struct Body<'a> {
    /// Its first link; of the base, the heaviest one.
    pub name: &'a str,
    /// The hinge that moves it, with the frame of the joint in that of its parent; none of the base.
    pub hinge: Option<Hinge<'a>>,
    pub children: Vec<usize>,
    pub mass: MassMoments,
    pub shapes: Vec<BodyShape<'a>>,
    /// Meshes to look at.
    pub visuals: Vec<BodyShape<'a>>,
    /// Poses of its links in its frame, which is that of the first.
    pub links: Vec<(&'a str, Isometry3<f64>)>,
}

#[derive(Clone)]
pub(super) struct Hinge<'a> {
    pub parent: usize,
    pub joint: &'a SourceJoint,
    pub pose: Isometry3<f64>,
    pub axis: Unit<Vector3<f64>>,
}

#[derive(Clone)]
pub(super) struct BodyShape<'a> {
    pub link: &'a str,
    pub pose: Isometry3<f64>,
    pub geometry: &'a Geometry,
}

/// The links and joints of a description, known to form a tree.
pub(super) struct LinkTree<'a> {
    source: &'a Source,
    links: BTreeMap<&'a str, usize>,
    joints_of_parent: BTreeMap<&'a str, Vec<&'a SourceJoint>>,
    root: &'a str,
}

impl<'a> LinkTree<'a> {
    /// `None` after an error, which is in the report.
    pub(super) fn new(source: &'a Source, report: &mut Report) -> Option<Self> {
        if source.links.is_empty() {
            report.error("no <link>; a robot has a trunk and legs");
            return None;
        }
        if source.links.len() > MOST_LINKS {
            let count = source.links.len();
            report.error(format!("{count} links; at most {MOST_LINKS} are read"));
            return None;
        }
        let mut links = BTreeMap::new();
        for (index, link) in source.links.iter().enumerate() {
            if links.insert(link.name.as_str(), index).is_some() {
                report.error(format!(
                    "link `{}` appears twice; names must be unique",
                    link.name
                ));
            }
        }
        let mut names = BTreeSet::new();
        let mut joint_of_child: BTreeMap<&str, &SourceJoint> = BTreeMap::new();
        let mut joints_of_parent: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for joint in &source.joints {
            let name = &joint.name;
            if !names.insert(name) {
                report.error(format!(
                    "joint `{name}` appears twice; names must be unique"
                ));
            }
            for link in [&joint.parent, &joint.child] {
                if !links.contains_key(link.as_str()) {
                    report.error(format!("joint `{name}` connects link `{link}`, which does not exist; add it or correct the name"));
                }
            }
            if let Some(first) = joint_of_child.insert(&joint.child, joint) {
                let link = &joint.child;
                report.error(format!(
                    "link `{link}` hangs on joints `{}` and `{name}`, a loop; legs must be open chains, so remove one of them",
                    first.name
                ));
            }
            joints_of_parent
                .entry(joint.parent.as_str())
                .or_default()
                .push(joint);
        }
        if report.has_errors() {
            return None;
        }
        let mut tree = Self {
            source,
            links,
            joints_of_parent,
            root: "",
        };
        let roots = source.links.iter().map(|link| link.name.as_str());
        let roots: Vec<_> = roots
            .filter(|link| !joint_of_child.contains_key(link))
            .collect();
        let reached: usize = roots.iter().map(|root| tree.below(root).len()).sum();
        if reached < source.links.len() {
            report.error("some links hang on each other in a loop; legs must be open chains that hang on one base");
            return None;
        }
        // The largest tree is the robot; a lone link beside it is a remnant.
        let mut sizes: Vec<_> = roots
            .iter()
            .map(|root| (tree.below(root).len(), *root))
            .collect();
        sizes.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        for (size, root) in &sizes[1..] {
            if *size > 3 {
                report.error(format!(
                    "links `{}` and `{root}` both have no parent: two robots in one file; keep one",
                    sizes[0].1
                ));
            } else {
                report.found(format!("link `{root}` hangs on nothing and is left out"));
            }
        }
        tree.root = sizes[0].1;
        tree.skip_floating_root(report);
        Some(tree)
    }

    /// All links at and below one.
    fn below(&self, link: &'a str) -> Vec<&'a str> {
        let mut found = vec![link];
        let mut next = 0;
        while let Some(&link) = found.get(next) {
            let joints = self.joints_of_parent.get(link).into_iter().flatten();
            found.extend(joints.map(|joint| joint.child.as_str()));
            next += 1;
        }
        found
    }

    /// A world or dummy root that carries the robot by a floating joint is no part of it.
    fn skip_floating_root(&mut self, report: &mut Report) {
        while let Some([joint]) = self.joints_of_parent.get(self.root).map(Vec::as_slice) {
            let is_free =
                joint.kind == JointKind::Floating || joint.kind == JointKind::Other("planar");
            if !is_free {
                return;
            }
            report.found(format!(
                "base `{}` moves freely already: floating joint `{}` is left out",
                joint.child, joint.name
            ));
            self.root = &joint.child;
        }
    }

    /// Merges what is fixed, or held fixed by its joint's name in `held`. The frame of the base is that of its heaviest link,
    /// turned.
    pub(super) fn bodies(&self, held: &BTreeSet<&str>, turn: &UnitQuaternion<f64>) -> Bodies<'a> {
        let (base, hinges) = self.body(self.root, None, held);
        let (name, frame) = self.heaviest(&base);
        let to_frame = turn * frame.inverse();
        let mut base = self.moved(base, &to_frame);
        base.name = name;
        let mut all = vec![base];
        let moved = hinges
            .into_iter()
            .map(|(joint, pose)| (0, joint, to_frame * pose));
        let mut pending: Vec<_> = moved.collect();
        let mut next = 0;
        while let Some((parent, joint, pose)) = pending.get(next).cloned() {
            next += 1;
            let hinge = Hinge {
                parent,
                joint,
                pose,
                axis: Unit::try_new(joint.axis, 1e-6).unwrap_or(Vector3::x_axis()),
            };
            let index = all.len();
            let (body, hinges) = self.body(&joint.child, Some(hinge), held);
            all.push(body);
            all[parent].children.push(index);
            pending.extend(hinges.into_iter().map(|(joint, pose)| (index, joint, pose)));
        }
        Bodies { all }
    }

    fn heaviest(&self, base: &Body<'a>) -> (&'a str, Isometry3<f64>) {
        let mass = |link: &str| {
            let link = self.links.get(link).map(|&index| &self.source.links[index]);
            link.and_then(|link| link.inertial.as_ref())
                .map_or(0.0, |inertial| inertial.mass)
        };
        let mut best = (base.name, Isometry3::identity());
        for &(link, pose) in &base.links {
            if mass(link) > mass(best.0) {
                best = (link, pose);
            }
        }
        best
    }

    fn moved(&self, mut body: Body<'a>, by: &Isometry3<f64>) -> Body<'a> {
        body.mass = MassMoments::zero();
        for (link, pose) in &mut body.links {
            *pose = by * *pose;
            self.add_mass(&mut body.mass, link, pose);
        }
        for shape in body.shapes.iter_mut().chain(&mut body.visuals) {
            shape.pose = by * shape.pose;
        }
        body
    }

    fn add_mass(&self, mass: &mut MassMoments, link: &str, pose: &Isometry3<f64>) {
        let link = self.links.get(link).map(|&index| &self.source.links[index]);
        if let Some(inertial) = link.and_then(|link| link.inertial.as_ref()) {
            mass.add(inertial.mass, &inertial.inertia, &(pose * inertial.pose));
        }
    }

    /// A link with what is fixed to it, and the hinges that hang on it.
    fn body(
        &self,
        name: &'a str,
        hinge: Option<Hinge<'a>>,
        held: &BTreeSet<&str>,
    ) -> (Body<'a>, Vec<(&'a SourceJoint, Isometry3<f64>)>) {
        let mut body = Body {
            name,
            hinge,
            children: Vec::new(),
            mass: MassMoments::zero(),
            shapes: Vec::new(),
            visuals: Vec::new(),
            links: Vec::new(),
        };
        let mut hinges = Vec::new();
        let mut pending = vec![(name, Isometry3::identity())];
        while let Some((name, pose)) = pending.pop() {
            let Some(&index) = self.links.get(name) else {
                continue;
            };
            body.links.push((name, pose));
            self.add_mass(&mut body.mass, name, &pose);
            let link = &self.source.links[index];
            let attached = |shape: &'a SourceShape| BodyShape {
                link: name,
                pose: pose * shape.pose,
                geometry: &shape.geometry,
            };
            body.shapes.extend(link.shapes.iter().map(attached));
            body.visuals.extend(link.visuals.iter().map(attached));
            for joint in self.joints_of_parent.get(name).into_iter().flatten() {
                let pose = pose * joint.pose;
                if joint.kind == JointKind::Hinge && !held.contains(joint.name.as_str()) {
                    hinges.push((*joint, pose));
                } else {
                    pending.push((&joint.child, pose));
                }
            }
        }
        (body, hinges)
    }
}

impl Bodies<'_> {
    /// Poses of the bodies of a chain of hinges in the frame of the base, all joints at these positions, rad.
    pub(super) fn poses(&self, chain: &[usize], position_rad: &[f64]) -> Vec<Isometry3<f64>> {
        let mut pose = Isometry3::identity();
        let positions = position_rad.iter().chain(std::iter::repeat(&0.0));
        chain
            .iter()
            .zip(positions)
            .map(|(&body, &position)| {
                if let Some(hinge) = &self.all[body].hinge {
                    let turn = UnitQuaternion::from_axis_angle(&hinge.axis, position);
                    pose *= hinge.pose * Isometry3::from_parts(Default::default(), turn);
                }
                pose
            })
            .collect()
    }

    /// Where the joints of a chain are with all joints at zero, in the frame of the base.
    pub(super) fn joint_places(&self, chain: &[usize]) -> Vec<Point3<f64>> {
        let poses = self.poses(chain, &[]);
        poses
            .iter()
            .map(|pose| Point3::from(pose.translation.vector))
            .collect()
    }
}
