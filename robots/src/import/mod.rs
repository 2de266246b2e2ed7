//! From the description of a maker to a robot folder: `abs robot import`.
//!
//! A file is read as it is, its fixed links are merged, legs are found as chains of hinges that end in feet, meshes and cylinders
//! become boxes, capsules and spheres, visual meshes one STL per link, and what no description has (poses, gains, motors) is chosen from size and mass. All that
//! was found, guessed or wrong is one list.

mod bodies;
mod fit;
mod foot;
mod legs;
mod mesh;
mod mjcf;
mod motors;
mod pose;
mod report;
mod shapes;
mod source;
mod urdf;
mod visuals;
mod write;
mod xml;

use std::{collections::BTreeMap, path::Path};

use nalgebra::{Matrix3, Point3, Vector3};

use crate::{
    bounded_file,
    load::RobotFiles,
    model::{Control, Robot},
};
use bodies::{Bodies, Body, LinkTree};
use legs::Chain;
pub use motors::MotorOptions;
use pose::LegGeometry;
use report::Report;
pub use report::{Finding, Severity};
use shapes::Meshes;
use visuals::LinkMesh;
use write::{Output, OutputControl, OutputJoint, OutputLeg, OutputLink};

/// Most bytes of a description.
const MOST_BYTES: u64 = 32 << 20;
/// The heaviest robot, kg.
const HEAVIEST_KG: f64 = 500.0;

/// What the file does not say.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Name of the robot; that in the file without it.
    pub name: Option<String>,
    /// Limits where the file has none.
    pub motor: MotorOptions,
    /// Leaves the visual meshes out.
    pub no_meshes: bool,
    /// Poses, gains and action scale; guesses without it.
    pub control: Option<GivenControl>,
}

/// Numbers of `[control]` that are those of another robot, so that its policies fit.
#[derive(Clone, Debug)]
pub struct GivenControl {
    /// Whose they are.
    pub of: String,
    /// One entry per joint, in the order FL, FR, RL, RR and from the hip down.
    pub control: Control,
}

impl GivenControl {
    /// `None` after an error: it is of another number of joints.
    fn of_joints(&self, joints: usize, report: &mut Report) -> Option<&Self> {
        let (of, own) = (&self.of, self.control.stiffness.len());
        if own != joints {
            report.error(format!(
                "{of} has {own} joints, this robot {joints}: its poses and gains do not fit"
            ));
            return None;
        }
        report.found(format!("poses, gains and action scale are those of {of}"));
        Some(self)
    }
}

/// What an import has come to.
pub struct Import {
    /// All that was found, guessed or wrong, errors last.
    pub findings: Vec<Finding>,
    /// The robot and its files, unless there is an error.
    pub robot: Option<(Robot, RobotFiles)>,
}

/// Reads the description in `file`.
pub fn import(file: &Path, options: &ImportOptions) -> Import {
    let mut report = Report::default();
    let robot = read(file, options, &mut report).filter(|_| !report.has_errors());
    Import {
        findings: report.into_findings(),
        robot,
    }
}

fn read(file: &Path, options: &ImportOptions, report: &mut Report) -> Option<(Robot, RobotFiles)> {
    let place = file.display();
    let bytes = match bounded_file::read_bytes(file, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.error(format!("cannot read {place}: {error}"));
            return None;
        }
    };
    let text = xml::decode(&bytes, report);
    let parsed = xml::parse(&text).and_then(|document| {
        let kind = xml::kind(&document)?;
        Ok((document, kind))
    });
    let (document, kind) = match parsed {
        Ok(parsed) => parsed,
        Err(line) => {
            report.error(format!("{place} {line}"));
            return None;
        }
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let source = match kind {
        xml::Kind::Urdf => urdf::read(&document, folder, report),
        xml::Kind::Mjcf => mjcf::read(&document, folder, report),
    };
    let name = name(options, &source.name, file);
    if Robot::names().any(|built_in| built_in == name) {
        report.found(format!(
            "the name `{name}` is that of a robot that is built in; --name gives it another"
        ));
    }
    let tree = LinkTree::new(&source, report)?;
    let (bodies, chains) = legs::find(&tree, &source, report)?;
    let file_name = file
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let draft = Draft {
        name: &name,
        file: &file_name,
        bodies: &bodies,
        chains: &chains,
        options,
    };
    draft.robot(report)
}

/// Letters, digits, `-` and `_` of the name asked for, that in the file, or the file's own.
fn name(options: &ImportOptions, in_file: &str, file: &Path) -> String {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let candidates = [options.name.clone(), Some(in_file.to_owned()), stem];
    let clean = |name: String| -> String {
        let name = name.to_lowercase();
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        name.trim_matches('-').chars().take(40).collect()
    };
    let mut names = candidates
        .into_iter()
        .flatten()
        .map(clean)
        .filter(|name| !name.is_empty());
    names.next().unwrap_or_else(|| "robot".to_owned())
}

/// What is known once the legs are.
struct Draft<'a> {
    name: &'a str,
    file: &'a str,
    bodies: &'a Bodies<'a>,
    chains: &'a [Chain],
    options: &'a ImportOptions,
}

impl Draft<'_> {
    fn robot(&self, report: &mut Report) -> Option<(Robot, RobotFiles)> {
        let bodies = self.bodies;
        let mass_kg: f64 = bodies
            .all
            .iter()
            .map(|body| body.mass.centre().map_or(0.0, |(mass, _)| mass))
            .sum();
        if !(0.1..HEAVIEST_KG).contains(&mass_kg) {
            report.error(if mass_kg == 0.0 {
                "no link has a mass: the file describes what the robot looks like; import one with <inertial>, made for simulation".to_owned()
            } else {
                format!("all links together have {mass_kg:.4} kg; a robot of 0.1 to {HEAVIEST_KG} kg is expected")
            });
            return None;
        }
        let rough_leg_m = self
            .chains
            .iter()
            .map(|chain| rough_length(bodies, chain))
            .fold(0.0, f64::max);
        let mut meshes = Meshes::new(mesh::MOST_TRIANGLES);
        let mut solids: Vec<_> = bodies
            .all
            .iter()
            .map(|body| shapes::solids(body, rough_leg_m, &mut meshes, report))
            .collect();
        let mut feet = Vec::new();
        for chain in self.chains {
            let last = *chain.bodies.last()?;
            let ball = foot::find(chain.name, &bodies.all[last], &mut solids[last], report);
            if let Some(ball) = &ball {
                foot::clear(ball, &mut solids[last], report);
            }
            feet.extend(ball);
        }
        if feet.len() < self.chains.len() {
            return None;
        }
        let legs: Vec<_> = self
            .chains
            .iter()
            .zip(&feet)
            .map(|(chain, foot)| LegGeometry {
                bodies,
                chain,
                foot,
            })
            .collect();
        check_ranges(bodies, self.chains, report);
        let leg_length_m = pose::leg_length_m(&legs, report)?;
        let joints = self.chains.iter().flat_map(|chain| &chain.bodies);
        let hinges: Vec<_> = joints
            .filter_map(|&body| bodies.all[body].hinge.as_ref())
            .collect();
        let limits: Vec<_> = hinges
            .iter()
            .map(|hinge| {
                motors::limits(
                    hinge.joint,
                    mass_kg,
                    leg_length_m,
                    &self.options.motor,
                    report,
                )
            })
            .collect();
        let control = match &self.options.control {
            Some(given) => OutputControl::Given(given.of_joints(hinges.len(), report)?),
            None => {
                let poses = pose::find(&legs, leg_length_m, report)?;
                poses.report(report);
                OutputControl::Guessed(poses, motors::gains(mass_kg, leg_length_m, report))
            }
        };
        let motors = motors::motors(bodies, self.chains, mass_kg, leg_length_m, &limits, report);
        let mut looks = match self.options.no_meshes {
            true => BTreeMap::new(),
            false => visuals::find(bodies, rough_leg_m, report),
        };
        let mut meshes = Vec::new();
        let mut mesh_of = |body: usize| {
            let LinkMesh { file, stl } = looks.remove(&body)?;
            meshes.push((file.clone(), stl));
            Some(file)
        };
        let mut limits = limits.into_iter();
        let scale = leg_length_m;
        let mut output_legs = Vec::new();
        for (chain, foot) in self.chains.iter().zip(feet) {
            let mut joints = Vec::new();
            for &index in &chain.bodies {
                let body = &bodies.all[index];
                let (hinge, limits) = (body.hinge.as_ref()?, limits.next()?);
                joints.push(OutputJoint {
                    name: &hinge.joint.name,
                    pose: hinge.pose,
                    axis: hinge.axis,
                    range_rad: hinge.joint.range_rad,
                    limits,
                    link: OutputLink {
                        mesh: mesh_of(index),
                        ..output_link(
                            body,
                            std::mem::take(&mut solids[index]),
                            mass_kg,
                            scale,
                            report,
                        )
                    },
                });
            }
            output_legs.push(OutputLeg {
                name: chain.name,
                joints,
                foot,
            });
        }
        let output = Output {
            name: self.name,
            file: self.file,
            base: OutputLink {
                mesh: mesh_of(0),
                ..output_link(
                    &bodies.all[0],
                    std::mem::take(&mut solids[0]),
                    mass_kg,
                    scale,
                    report,
                )
            },
            legs: output_legs,
            motors: &motors,
            control,
        };
        let files = RobotFiles::new(self.name, output.toml(), output.urdf(), meshes);
        match files.robot() {
            Ok(robot) => Some((robot, files)),
            Err(error) => {
                report.error(format!("what was made of it does not load: {error}"));
                None
            }
        }
    }
}

/// From the first joint of a leg to the last and on to the farthest link fixed to it, m.
fn rough_length(bodies: &Bodies<'_>, chain: &Chain) -> f64 {
    let places = bodies.joint_places(&chain.bodies);
    places
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).norm())
        .sum::<f64>()
        .max(0.01)
}

fn check_ranges(bodies: &Bodies<'_>, chains: &[Chain], report: &mut Report) {
    for &body in chains.iter().flat_map(|chain| &chain.bodies) {
        let Some(hinge) = &bodies.all[body].hinge else {
            continue;
        };
        let joint = hinge.joint;
        if joint.axis.norm() < 1e-6 {
            report.error(format!(
                "joint `{}`: its axis has no length; give <axis xyz=...> a direction",
                joint.name
            ));
        }
        match joint.range_rad {
            Some([lower, upper]) if lower >= upper => report.error(format!(
                "joint `{}`: lower limit {lower} is not below upper limit {upper} rad; exchange them",
                joint.name
            )),
            Some([lower, upper]) if upper - lower > 20.0 => report.error(format!(
                "joint `{}`: limits {lower} to {upper} are no angles in rad; are they degrees?",
                joint.name
            )),
            None => report.found(format!("joint `{}`: no position limits", joint.name)),
            Some(_) => {}
        }
    }
}

/// A merged link; where mass or inertia are not those of a rigid body, those of a box around its largest shape.
fn output_link<'a>(
    body: &Body<'_>,
    solids: Vec<shapes::Solid<'a>>,
    robot_kg: f64,
    leg_length_m: f64,
    report: &mut Report,
) -> OutputLink<'a> {
    let name = body.name.to_owned();
    if let Ok((mass_kg, com, inertia_kgm2)) = body.mass.about_com(&name) {
        return OutputLink {
            name,
            mass_kg,
            com,
            inertia_kgm2,
            solids,
            mesh: None,
        };
    }
    let (mass, com) = body
        .mass
        .centre()
        .unwrap_or((1e-3 * robot_kg, Point3::origin()));
    let sides = solids
        .first()
        .map_or(Vector3::repeat(0.3 * leg_length_m), |solid| {
            let side = |axis: Vector3<f64>| solid.reach_m(&axis) + solid.reach_m(&-axis);
            Vector3::new(side(Vector3::x()), side(Vector3::y()), side(Vector3::z()))
        });
    let squares = sides.component_mul(&sides);
    let moments = mass / 12.0 * (Vector3::repeat(squares.sum()) - squares);
    report.guessed(format!("link `{name}`: no rigid body has its mass and inertia; those of {mass:.4} kg in a box of {:.0} x {:.0} x {:.0} mm instead", 1e3 * sides.x, 1e3 * sides.y, 1e3 * sides.z));
    OutputLink {
        name,
        mass_kg: mass,
        com,
        inertia_kgm2: Matrix3::from_diagonal(&moments),
        solids,
        mesh: None,
    }
}
