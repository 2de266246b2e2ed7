//! Which chains of hinges are the legs, and which joints are held fixed.

use std::collections::BTreeSet;

use nalgebra::{Point3, Rotation3, UnitQuaternion, Vector3};

use super::{
    bodies::{Bodies, LinkTree},
    report::Report,
    source::{JointKind, Source},
};

/// A chain of bodies from the first that a hinge moves to the last, which carries the foot.
pub(super) struct Chain {
    /// FL, FR, RL or RR.
    pub name: &'static str,
    /// Indices of bodies.
    pub bodies: Vec<usize>,
}

/// How much the distances between the joints of two legs may differ: a part of the leg, and m.
const ALIKE: (f64, f64) = (0.1, 0.01);
/// A wheel's centre of mass is at most this far from its axis, m.
const ON_AXIS_M: f64 = 0.012;
/// What is fixed to it is at most this far away, m: a calf carries its foot farther.
const WHEEL_TIP_M: f64 = 0.05;

/// The bodies and four legs of a robot; `None` after an error, which is in the report.
pub(super) fn find<'a>(
    tree: &LinkTree<'a>,
    source: &'a Source,
    report: &mut Report,
) -> Option<(Bodies<'a>, Vec<Chain>)> {
    for joint in &source.joints {
        if let JointKind::Other(kind) = joint.kind {
            report.found(format!("joint `{}`: {kind}, held fixed", joint.name));
        }
    }
    let mut held = BTreeSet::new();
    let bodies = tree.bodies(&held, &UnitQuaternion::identity());
    for (joint, why) in branches(&bodies) {
        held.insert(joint);
        report.found(format!("joint `{joint}`: {why}, held fixed"));
    }
    let bodies = tree.bodies(&held, &UnitQuaternion::identity());
    let legs = four_alike(&bodies, report)?;
    for &limb in &bodies.all[0].children {
        let path = path(&bodies, limb);
        if !legs.contains(&path) {
            let joints = joint_names(&bodies, &path);
            report.found(format!(
                "joints {} belong to no leg: held fixed",
                joints.join(", ")
            ));
            held.extend(joints);
        }
    }
    for path in &legs {
        if let Some(joint) = wheel(&bodies, path) {
            report.found(format!(
                "joint `{joint}`: turns a wheel, held fixed; the wheel is the foot"
            ));
            held.insert(joint);
        }
    }
    let bodies = tree.bodies(&held, &UnitQuaternion::identity());
    let turn = upright(&bodies, report);
    let bodies = tree.bodies(&held, &turn);
    let paths: Vec<_> = bodies.all[0]
        .children
        .iter()
        .map(|&limb| path(&bodies, limb))
        .collect();
    let chains = named(&bodies, paths, report)?;
    Some((bodies, chains))
}

fn joint_names<'a>(bodies: &Bodies<'a>, path: &[usize]) -> Vec<&'a str> {
    let hinges = path
        .iter()
        .filter_map(|&body| bodies.all[body].hinge.as_ref());
    hinges.map(|hinge| hinge.joint.name.as_str()).collect()
}

/// The bodies of a limb without branches.
fn path(bodies: &Bodies<'_>, limb: usize) -> Vec<usize> {
    let mut path = vec![limb];
    while let Some(&next) = path
        .last()
        .and_then(|&last| bodies.all[last].children.first())
    {
        path.push(next);
    }
    path
}

/// Joints that hang beside the longest chain of each limb, and why.
fn branches<'a>(bodies: &Bodies<'a>) -> Vec<(&'a str, String)> {
    let mut found = Vec::new();
    let mut pending = bodies.all[0].children.clone();
    while let Some(body) = pending.pop() {
        let children = &bodies.all[body].children;
        let longest = children
            .iter()
            .copied()
            .max_by(|&a, &b| length(bodies, a).total_cmp(&length(bodies, b)));
        for &child in children {
            if Some(child) == longest {
                pending.push(child);
            } else {
                let mut below = vec![child];
                while let Some(body) = below.pop() {
                    below.extend(&bodies.all[body].children);
                    let names = joint_names(bodies, &[body]);
                    let parent =
                        bodies.all[bodies.all[child].hinge.as_ref().map_or(0, |h| h.parent)].name;
                    found.extend(
                        names
                            .into_iter()
                            .map(|name| (name, format!("branches off at `{parent}`"))),
                    );
                }
            }
        }
    }
    found
}

/// Hinges below a body count most, then lengths.
fn length(bodies: &Bodies<'_>, body: usize) -> f64 {
    let own = bodies.all[body]
        .hinge
        .as_ref()
        .map_or(0.0, |h| h.pose.translation.vector.norm());
    let below = bodies.all[body]
        .children
        .iter()
        .map(|&child| length(bodies, child));
    10.0 + own + below.fold(tip_distance(bodies, body), f64::max)
}

/// How far the links fixed to a body are from its joint, m.
fn tip_distance(bodies: &Bodies<'_>, body: usize) -> f64 {
    let links = bodies.all[body].links.iter();
    links
        .map(|(_, pose)| pose.translation.vector.norm())
        .fold(0.0, f64::max)
}

/// Distances between the joints of a limb.
fn segments(bodies: &Bodies<'_>, path: &[usize]) -> Vec<f64> {
    let hinges = path
        .iter()
        .skip(1)
        .filter_map(|&body| bodies.all[body].hinge.as_ref());
    hinges
        .map(|hinge| hinge.pose.translation.vector.norm())
        .collect()
}

/// Four limbs of the same joints and lengths, or two pairs of them.
fn four_alike(bodies: &Bodies<'_>, report: &mut Report) -> Option<Vec<Vec<usize>>> {
    let mut groups: Vec<Vec<Vec<usize>>> = Vec::new();
    for &limb in &bodies.all[0].children {
        let path = path(bodies, limb);
        let own = segments(bodies, &path);
        let total: f64 = own.iter().sum();
        let alike = |other: &Vec<Vec<usize>>| {
            let other = segments(bodies, &other[0]);
            own.len() == other.len()
                && own
                    .iter()
                    .zip(&other)
                    .all(|(a, b)| (a - b).abs() <= ALIKE.1 + ALIKE.0 * total)
        };
        match groups.iter_mut().find(|group| alike(group)) {
            Some(group) => group.push(path),
            None => groups.push(vec![path]),
        }
    }
    // A head, an arm or a wheel alone is no leg, nor is a chain of a single hinge.
    groups.retain(|group| group.len() >= 2 && group[0].len() >= 2);
    if let Some(legs) = groups.iter().find(|group| group.len() == 4) {
        return Some(legs.clone());
    }
    let pairs: Vec<_> = groups.iter().filter(|group| group.len() == 2).collect();
    if let [front, rear] = pairs.as_slice() {
        return Some([front.as_slice(), rear.as_slice()].concat());
    }
    let count: usize = groups.iter().map(Vec::len).sum();
    let limbs: Vec<_> = groups
        .iter()
        .flatten()
        .flat_map(|path| joint_names(bodies, &path[..1]))
        .collect();
    report.error(match count {
        0 => "no legs found: no two chains of hinges on the base have the same lengths".to_owned(),
        2 => format!(
            "two legs ({}): a biped; this is for robots of four legs",
            limbs.join(", ")
        ),
        count => format!(
            "{count} limbs that could be legs ({}); four of the same joints and lengths are needed",
            limbs.join(", ")
        ),
    });
    None
}

/// The last joint of a leg, if what it turns is a wheel: a fourth hinge, or one that turns without end, about the middle of a body.
fn wheel<'a>(bodies: &Bodies<'a>, path: &[usize]) -> Option<&'a str> {
    let last = &bodies.all[*path.last()?];
    let hinge = last.hinge.as_ref()?;
    let turns = hinge
        .joint
        .range_rad
        .is_none_or(|[low, high]| high - low > 7.0);
    let (_, com, _) = last.mass.about_com(last.name).ok()?;
    let off_axis = com.coords - com.coords.dot(&hinge.axis) * hinge.axis.into_inner();
    let is_short = tip_distance(bodies, *path.last()?) < WHEEL_TIP_M;
    let is_wheel = path.len() >= 3 && turns && off_axis.norm() < ON_AXIS_M && is_short;
    is_wheel.then_some(hinge.joint.name.as_str())
}

/// The turn from the file's base frame to one with x forward and z up.
fn upright(bodies: &Bodies<'_>, report: &mut Report) -> UnitQuaternion<f64> {
    let mut hips = Vec::new();
    let mut down = Vector3::zeros();
    for &limb in &bodies.all[0].children {
        let path = path(bodies, limb);
        let joints = bodies.joint_places(&path);
        let poses = bodies.poses(&path, &[]);
        let (Some(first), Some(last), Some(pose)) =
            (joints.get(path.len().min(2) - 1), path.last(), poses.last())
        else {
            continue;
        };
        let links = bodies.all[*last].links.iter();
        let tip = links
            .map(|(_, link)| Point3::from((pose * link).translation.vector))
            .max_by(|a, b| (a - first).norm().total_cmp(&(b - first).norm()));
        let to_tip = tip.unwrap_or(*first) - first;
        down += to_tip.try_normalize(1e-9).unwrap_or_default();
        hips.push((
            joint_names(bodies, &path)
                .first()
                .copied()
                .unwrap_or_default(),
            joints[0],
        ));
    }
    // Hips lie in a plane, and are farther apart along the body than across it; names decide between front and rear.
    let mean =
        hips.iter().map(|(_, at)| at.coords).sum::<Vector3<f64>>() / hips.len().max(1) as f64;
    let spread = |axis: &Vector3<f64>| -> f64 {
        hips.iter()
            .map(|(_, at)| (at.coords - mean).dot(axis).abs())
            .sum()
    };
    // The plane of the hips is across z, unless another axis is clearly so.
    let mut up = Vector3::z();
    for axis in [Vector3::x(), Vector3::y()] {
        if spread(&axis) + 0.01 < 0.5 * spread(&up) {
            up = axis;
        }
    }
    if down.dot(&up) > 0.5 * down.norm() {
        up = -up;
    }
    let horizontal = [Vector3::x(), Vector3::y(), Vector3::z()]
        .into_iter()
        .filter(|axis| axis.dot(&up).abs() < 0.5);
    let mut forward = horizontal
        .reduce(|a, b| if spread(&b) > 1.05 * spread(&a) { b } else { a })
        .unwrap_or(Vector3::x());
    let ahead: f64 = hips
        .iter()
        .filter_map(|(name, at)| {
            let along = (at.coords - mean).dot(&forward);
            is_front(name).map(|is_front| if is_front { along } else { -along })
        })
        .sum();
    if ahead < -0.01 {
        forward = -forward;
    }
    let left = up.cross(&forward);
    let to_file = nalgebra::Matrix3::from_columns(&[forward, left, up]);
    let turn =
        UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(to_file)).inverse();
    if turn.angle() > 1e-6 {
        let name = |axis: &Vector3<f64>| {
            let axes = ["x", "y", "z"];
            let index = axis.iamax();
            format!(
                "{}{}",
                if axis[index] < 0.0 { "-" } else { "" },
                axes[index]
            )
        };
        report.found(format!(
            "the base frame has {} forward and {} up: turned to x forward and z up",
            name(&forward),
            name(&up)
        ));
        return turn;
    }
    UnitQuaternion::identity()
}

/// Whether a name says front or rear.
fn is_front(name: &str) -> Option<bool> {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphabetic()).collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
    if name.contains("front") || has(&["fl", "fr", "lf", "rf"]) {
        Some(true)
    } else if ["rear", "hind", "back"]
        .iter()
        .any(|word| name.contains(word))
        || has(&["rl", "rr", "hl", "hr", "lh", "rh", "bl", "br"])
    {
        Some(false)
    } else {
        None
    }
}

/// Names the legs by where their hips are.
fn named(bodies: &Bodies<'_>, paths: Vec<Vec<usize>>, report: &mut Report) -> Option<Vec<Chain>> {
    let place = |path: &Vec<usize>| {
        // The second joint is farther out.
        let joints = bodies.joint_places(path);
        joints[path.len().min(2) - 1]
    };
    let mean = paths.iter().map(|path| place(path).x).sum::<f64>() / paths.len().max(1) as f64;
    let mut chains = Vec::new();
    for name in ["FL", "FR", "RL", "RR"] {
        let fits = |path: &&Vec<usize>| {
            let at = place(path);
            (at.x > mean) == name.starts_with('F') && (at.y > 0.0) == name.ends_with('L')
        };
        let mut found = paths.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(path), None) => chains.push(Chain {
                name,
                bodies: path.clone(),
            }),
            _ => {
                report.error("the four legs are not one at each corner of the base; is its frame x forward, y left, z up?");
                return None;
            }
        }
    }
    for chain in &chains {
        let joints = joint_names(bodies, &chain.bodies);
        report.found(format!("leg {}: {}", chain.name, joints.join(", ")));
    }
    Some(chains)
}
