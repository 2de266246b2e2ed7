//! The URDF of primitives and the `robot.toml` of an imported robot.

use std::fmt::Write as _;

use nalgebra::{Isometry3, Matrix3, Point3, Unit, UnitQuaternion, Vector3};

use super::{
    GivenControl,
    foot::Ball,
    motors::{Gains, Limits, Motors},
    pose::Poses,
    shapes::Solid,
};
use crate::model::Shape;

/// All that is written.
pub(super) struct Output<'a> {
    pub name: &'a str,
    /// File that was imported.
    pub file: &'a str,
    pub base: OutputLink<'a>,
    pub legs: Vec<OutputLeg<'a>>,
    pub motors: &'a Motors,
    pub control: OutputControl<'a>,
}

/// Where `[control]` comes from.
pub(super) enum OutputControl<'a> {
    Given(&'a GivenControl),
    Guessed(Poses, Gains),
}

pub(super) struct OutputLink<'a> {
    pub name: String,
    pub mass_kg: f64,
    pub com: Point3<f64>,
    pub inertia_kgm2: Matrix3<f64>,
    pub solids: Vec<Solid<'a>>,
    /// Its visual mesh in the robot's folder.
    pub mesh: Option<String>,
}

pub(super) struct OutputLeg<'a> {
    pub name: &'static str,
    pub joints: Vec<OutputJoint<'a>>,
    pub foot: Ball,
}

pub(super) struct OutputJoint<'a> {
    pub name: &'a str,
    pub pose: Isometry3<f64>,
    pub axis: Unit<Vector3<f64>>,
    pub range_rad: Option<[f64; 2]>,
    pub limits: Limits,
    pub link: OutputLink<'a>,
}

impl Output<'_> {
    /// The URDF.
    pub(super) fn urdf(&self) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\"?>\n<!-- Imported from {} by `abs robot import`: fixed links are merged, collision shapes are primitives.\n     \
             Lengths in m, masses in kg, inertia in kg m^2 about the centre of mass. The base frame has x forward, y left, z up.\n     \
             A cylinder stands for the capsule of the same total length. -->\n<robot name=\"{}\">\n",
            comment(self.file),
            escape(self.name)
        );
        link(&mut text, &self.base);
        for leg in &self.legs {
            let _ = writeln!(text, "\n  <!-- {} -->", leg.name);
            let mut parent = &self.base.name;
            for joint in &leg.joints {
                joint_element(&mut text, joint, parent);
                link(&mut text, &joint.link);
                parent = &joint.link.name;
            }
            let foot = &leg.foot;
            let name = escape(&foot.link);
            let _ = write!(
                text,
                "  <joint name=\"{name}_fixed\" type=\"fixed\">\n    <origin xyz=\"{}\"/>\n    <parent link=\"{}\"/>\n    \
                 <child link=\"{name}\"/>\n  </joint>\n  <link name=\"{name}\">\n    <collision>\n      \
                 <!-- {} -->\n      <geometry><sphere radius=\"{}\"/></geometry>\n    </collision>\n  </link>\n",
                numbers(&foot.centre.coords),
                escape(parent),
                comment(&foot.origin),
                number(foot.radius, 5)
            );
        }
        text += "</robot>\n";
        text
    }

    /// `robot.toml`.
    pub(super) fn toml(&self) -> String {
        let mut text = format!(
            "# Imported from {}. Masses, shapes and limits are in the URDF. What the file did not have is a guess and says so.\n\
             # Vectors have one entry per joint of a leg, the same for every leg, or one per joint of the robot.\n\
             name = {}\nurdf = {}\n\n# The order of legs and joints here is the order of every vector.\n",
            comment(self.file),
            quoted(self.name),
            quoted(&format!("{}.urdf", self.name)),
        );
        for leg in &self.legs {
            let joints = leg.joints.iter().map(|joint| quoted(joint.name));
            let _ = write!(
                text,
                "[[leg]]\nname = \"{}\"\njoints = [{}]\nfoot = {}\n\n",
                leg.name,
                joints.collect::<Vec<_>>().join(", "),
                quoted(&leg.foot.link)
            );
        }
        text += &self.control();
        let motors = self.motors;
        text += "\n[motor]\n";
        for ((key, values), is_from_file) in [
            ("armature_kgm2", &motors.armature_kgm2),
            ("damping_nms", &motors.damping_nms),
            ("friction_nm", &motors.friction_nm),
        ]
        .into_iter()
        .zip(motors.is_from_file)
        {
            let guess = if is_from_file {
                ""
            } else {
                " # a guess from the effort limits"
            };
            let _ = writeln!(text, "{key} = {}{guess}", list(values, 5));
        }
        text +=
            "\n# Which body a contact of a link counts for; the feet are named above.\n[contact]\n";
        // From the calf upwards, so that a leg of two joints has a thigh; what is before the thigh counts for the base.
        let from_end = |distance: usize| {
            let legs = self.legs.iter();
            let joints =
                legs.filter_map(|leg| leg.joints.get(leg.joints.len().checked_sub(distance)?));
            joints
                .map(|joint| quoted(&joint.link.name))
                .collect::<Vec<_>>()
        };
        let first = |legs: &OutputLeg<'_>| legs.joints.len().saturating_sub(2);
        let base = self.legs.iter().flat_map(|leg| &leg.joints[..first(leg)]);
        let base = base
            .filter(|joint| !joint.link.solids.is_empty())
            .map(|joint| quoted(&joint.link.name));
        let base: Vec<_> = std::iter::once(quoted(&self.base.name))
            .chain(base)
            .collect();
        let _ = writeln!(text, "base = [{}]", base.join(", "));
        let _ = writeln!(text, "thigh = [{}]", from_end(2).join(", "));
        let _ = writeln!(text, "calf = [{}]", from_end(1).join(", "));
        text
    }

    /// `[control]`.
    fn control(&self) -> String {
        let per_leg = self.motors.armature_kgm2.len();
        match &self.control {
            OutputControl::Given(given) => {
                // To the last digit: a bundle refuses others.
                let legs = |values: &[f32]| {
                    let mut legs = values.chunks(per_leg.max(1));
                    let first = legs.next().unwrap_or_default();
                    match legs.all(|leg| leg == first) {
                        true => format!("{first:?}"),
                        false => format!("{values:?}"),
                    }
                };
                let control = &given.control;
                format!(
                    "# Of {}.\n[control]\ndefault_position_rad = {}\nstanding_position_rad = {}\n\
                     stiffness = {}\ndamping = {}\naction_scale = {}\n",
                    comment(&given.of),
                    legs(&control.default_position_rad),
                    legs(&control.standing_position_rad),
                    legs(&control.stiffness),
                    legs(&control.damping),
                    control.action_scale,
                )
            }
            OutputControl::Guessed(poses, gains) => {
                let all = |value: f64| list(&vec![value; per_leg], 4);
                format!(
                    "[control]\n# A guess: every foot below its hip, at 0.6 to 0.9 of the leg's {:.3} m.\n\
                     default_position_rad = {}\nstanding_position_rad = {}\n\
                     # A guess from mass and leg length; the gains of the maker are better.\n\
                     stiffness = {}\ndamping = {}\naction_scale = {}\n",
                    poses.leg_length_m,
                    one_or_all(&poses.default_rad),
                    one_or_all(&poses.standing_rad),
                    all(gains.stiffness),
                    all(gains.damping),
                    gains.action_scale,
                )
            }
        }
    }
}

/// One leg if all are the same, else all.
fn one_or_all(legs_rad: &[Vec<f64>]) -> String {
    let alike = legs_rad.iter().all(|leg| {
        leg.iter()
            .zip(&legs_rad[0])
            .all(|(a, b)| (a - b).abs() < 1e-3)
    });
    match alike {
        true => list(&legs_rad[0], 3),
        false => {
            let legs: Vec<_> = legs_rad.iter().map(|leg| list(leg, 3)).collect();
            format!(
                "[\n    {},\n]",
                legs.iter()
                    .map(|leg| leg.trim_matches(['[', ']']))
                    .collect::<Vec<_>>()
                    .join(",\n    ")
            )
        }
    }
}

fn joint_element(text: &mut String, joint: &OutputJoint<'_>, parent: &str) {
    let kind = if joint.range_rad.is_some() {
        "revolute"
    } else {
        "continuous"
    };
    let range = joint.range_rad.map_or_else(String::new, |[lower, upper]| {
        format!(
            "lower=\"{}\" upper=\"{}\" ",
            number(lower, 5),
            number(upper, 5)
        )
    });
    let guess = if joint.limits.is_guessed {
        " <!-- effort or velocity is a guess -->"
    } else {
        ""
    };
    let _ = write!(
        text,
        "  <joint name=\"{}\" type=\"{kind}\">\n    {}\n    <parent link=\"{}\"/>\n    <child link=\"{}\"/>\n    \
         <axis xyz=\"{}\"/>\n    <limit {range}effort=\"{}\" velocity=\"{}\"/>{guess}\n  </joint>\n",
        escape(joint.name),
        origin(&joint.pose),
        escape(parent),
        escape(&joint.link.name),
        numbers(&joint.axis.into_inner()),
        number(joint.limits.effort_nm, 4),
        number(joint.limits.velocity_radps, 4),
    );
}

fn link(text: &mut String, link: &OutputLink<'_>) {
    let i = &link.inertia_kgm2;
    // Small links have small moments: as many digits as it takes.
    let moment = |row, column| {
        format!("{:.4e}", i[(row, column)])
            .parse::<f64>()
            .unwrap_or(0.0)
    };
    let _ = write!(
        text,
        "  <link name=\"{}\">\n    <inertial>\n      <origin xyz=\"{}\"/>\n      <mass value=\"{}\"/>\n      \
         <inertia ixx=\"{}\" ixy=\"{}\" ixz=\"{}\" iyy=\"{}\" iyz=\"{}\" izz=\"{}\"/>\n    </inertial>\n",
        escape(&link.name),
        numbers(&link.com.coords),
        number(link.mass_kg, 5),
        moment(0, 0),
        moment(0, 1),
        moment(0, 2),
        moment(1, 1),
        moment(1, 2),
        moment(2, 2),
    );
    if let Some(mesh) = &link.mesh {
        let _ = writeln!(
            text,
            "    <visual>\n      <geometry><mesh filename=\"{}\"/></geometry>\n    </visual>",
            escape(mesh)
        );
    }
    for solid in &link.solids {
        let _ = writeln!(
            text,
            "    <collision>\n      <!-- {} -->\n      {}\n      <geometry>{}</geometry>\n    </collision>",
            comment(&solid.origin),
            origin(&solid.pose),
            geometry(&solid.shape)
        );
    }
    text.push_str("  </link>\n");
}

fn geometry(shape: &Shape) -> String {
    match *shape {
        Shape::Box { half_extents } => {
            format!("<box size=\"{}\"/>", numbers(&(2.0 * half_extents).cast()))
        }
        Shape::Sphere { radius } => format!("<sphere radius=\"{}\"/>", number(radius.into(), 5)),
        Shape::Capsule {
            half_length,
            radius,
        } => {
            let radius = format!("{:.5}", radius).parse().unwrap_or(radius);
            // Rounded up, so that it stays longer than its ends.
            let length = f64::from(2.0 * (half_length.max(1e-4) + radius)) + 1e-5;
            format!(
                "<cylinder radius=\"{}\" length=\"{}\"/>",
                number(radius.into(), 5),
                number(length, 5)
            )
        }
    }
}

fn origin(pose: &Isometry3<f64>) -> String {
    let (roll, pitch, yaw) = UnitQuaternion::euler_angles(&pose.rotation);
    let rpy = Vector3::new(roll, pitch, yaw);
    let at = numbers(&pose.translation.vector);
    if rpy.norm() < 1e-6 {
        format!("<origin xyz=\"{at}\"/>")
    } else {
        format!("<origin xyz=\"{at}\" rpy=\"{}\"/>", numbers(&rpy))
    }
}

fn numbers(vector: &Vector3<f64>) -> String {
    let words: Vec<_> = vector.iter().map(|&x| number(x, 6)).collect();
    words.join(" ")
}

/// Without trailing zeros.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// An array of floats for TOML.
fn list(values: &[f64], digits: usize) -> String {
    let words = values.iter().map(|&value| {
        let text = number(value, digits);
        if text.contains('.') {
            text
        } else {
            text + ".0"
        }
    });
    format!("[{}]", words.collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Text that may stand in a comment of XML or TOML.
fn comment(text: &str) -> String {
    let text = text.replace("--", "-");
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
