//! Puts `robot.toml` and URDF together to a robot.

use std::{collections::BTreeSet, path::Path};

use nalgebra::{Isometry3, Translation3, UnitQuaternion};
use urdf_rs::JointType;

use crate::{
    description::{Bound, CameraDescription, Description, require},
    error::{Problem, RobotError},
    kinematics::height_over_feet_m,
    model::{Base, Camera, Control, Leg, Robot},
    tree::Tree,
};

/// Builds the robot and checks it. `folder` is that of the URDF, if it is on disk; the two file names are for the messages.
pub(crate) fn assemble(
    description: &Description,
    urdf: &urdf_rs::Robot,
    folder: Option<&Path>,
    toml_file: &str,
    urdf_file: &str,
) -> Result<Robot, RobotError> {
    let in_toml = |problem: Problem| problem.in_file(toml_file);
    let in_urdf = |problem: Problem| problem.in_file(urdf_file);

    check_names(description, urdf).map_err(in_toml)?;
    let tree = Tree::new(description, urdf, folder).map_err(in_urdf)?;
    let base = tree.base().map_err(in_urdf)?;
    let mut legs = description
        .legs
        .iter()
        .map(|leg| tree.leg(leg, &base).map_err(in_urdf))
        .collect::<Result<Vec<_>, _>>()?;
    check_all_joints_used(description, urdf).map_err(in_urdf)?;

    set_motors(description, &mut legs).map_err(in_toml)?;
    check_limits(&legs).map_err(in_urdf)?;
    let control = control(description, &legs).map_err(in_toml)?;
    let camera = description.camera.as_ref().map(camera).transpose();

    Ok(Robot {
        name: description.name.clone(),
        base: Base {
            link: base.link().map_err(in_urdf)?,
        },
        legs,
        control,
        camera: camera.map_err(in_toml)?,
    })
}

/// Largest effort limit, N·m, and velocity limit, rad/s: larger ones limit nothing.
const EFFORT: Bound = (1000.0, "at most 1000");
const VELOCITY: Bound = (200.0, "at most 200");

fn set_motors(description: &Description, legs: &mut [Leg]) -> Result<(), Problem> {
    let motor = &description.motor;
    let vector = |bound, key: &str, values: &[f32]| description.per_joint_up_to(bound, key, values);
    let armature = vector(
        (10.0, "at most 10"),
        "motor.armature_kgm2",
        &motor.armature_kgm2,
    )?;
    let damping = vector(
        (100.0, "at most 100"),
        "motor.damping_nms",
        &motor.damping_nms,
    )?;
    let friction = vector(
        (100.0, "at most 100"),
        "motor.friction_nm",
        &motor.friction_nm,
    )?;
    let effort = motor.effort_limit_nm.as_deref();
    let effort = effort
        .map(|v| vector(EFFORT, "motor.effort_limit_nm", v))
        .transpose()?;
    let velocity = motor.velocity_limit_radps.as_deref();
    let velocity = velocity
        .map(|v| vector(VELOCITY, "motor.velocity_limit_radps", v))
        .transpose()?;

    for (index, joint) in legs.iter_mut().flat_map(|leg| &mut leg.joints).enumerate() {
        joint.armature_kgm2 = armature[index];
        joint.damping_nms = damping[index];
        joint.friction_nm = friction[index];
        if let Some(effort) = &effort {
            joint.effort_limit_nm = effort[index];
        }
        if let Some(velocity) = &velocity {
            joint.velocity_limit_radps = velocity[index];
        }
    }
    Ok(())
}

/// Effort and velocity limits may come from either file.
fn check_limits(legs: &[Leg]) -> Result<(), Problem> {
    for joint in legs.iter().flat_map(|leg| &leg.joints) {
        for (limit, value, (most, expected)) in [
            ("effort", joint.effort_limit_nm, EFFORT),
            ("velocity", joint.velocity_limit_radps, VELOCITY),
        ] {
            let what = format!("{limit} limit of joint `{}`", joint.name);
            require(value > 0.0, &what, value, "positive")?;
            require(value <= most, &what, value, expected)?;
        }
    }
    Ok(())
}

fn control(description: &Description, legs: &[Leg]) -> Result<Control, Problem> {
    let control = &description.control;
    let posture = |key: &'static str, values: &[f32]| {
        let positions = description.per_joint(key, values)?;
        let joints = legs.iter().flat_map(|leg| &leg.joints);
        for (joint, &value) in joints.zip(&positions) {
            if !(joint.lower_rad..=joint.upper_rad).contains(&value) {
                return Err(Problem::OutsideLimits {
                    key,
                    joint: joint.name.clone(),
                    value,
                    lower: joint.lower_rad,
                    upper: joint.upper_rad,
                });
            }
        }
        Ok(positions)
    };
    let default = posture(
        "control.default_position_rad",
        &control.default_position_rad,
    )?;
    let standing = posture(
        "control.standing_position_rad",
        &control.standing_position_rad,
    )?;
    let standing_height_m = height_over_feet_m(legs, &standing);
    require(
        standing_height_m >= 0.05,
        "height of the base over the feet with control.standing_position_rad",
        standing_height_m,
        "at least 0.05 m",
    )?;
    Ok(Control {
        default_position_rad: default,
        standing_height_m,
        standing_position_rad: standing,
        stiffness: description.per_joint_up_to(
            (1000.0, "at most 1000"),
            "control.stiffness",
            &control.stiffness,
        )?,
        damping: description.per_joint_up_to(
            (100.0, "at most 100"),
            "control.damping",
            &control.damping,
        )?,
        action_scale: control.action_scale,
    })
}

fn camera(camera: &CameraDescription) -> Result<Camera, Problem> {
    for value in camera.position_m.iter().chain(&camera.rpy_deg) {
        require(
            value.is_finite(),
            "pose of [camera]",
            *value,
            "a finite number",
        )?;
    }
    for (what, pixels) in [
        ("camera.width_px", camera.width_px),
        ("camera.height_px", camera.height_px),
    ] {
        require(pixels > 0, what, pixels, "positive")?;
    }
    let fov = camera.horizontal_fov_deg;
    require(
        fov > 0.0 && fov < 180.0,
        "camera.horizontal_fov_deg",
        fov,
        "between 0 and 180",
    )?;
    let [near, far] = camera.range_m;
    require(near >= 0.0, "nearest camera.range_m", near, "zero or more")?;
    let beyond = far > near && far.is_finite();
    require(beyond, "farthest camera.range_m", far, "beyond the nearest")?;
    let [roll, pitch, yaw] = camera.rpy_deg.map(f32::to_radians);
    Ok(Camera {
        pose_base: Isometry3::from_parts(
            Translation3::from(camera.position_m),
            UnitQuaternion::from_euler_angles(roll, pitch, yaw),
        ),
        width_px: camera.width_px,
        height_px: camera.height_px,
        horizontal_fov_rad: fov.to_radians(),
        range_m: camera.range_m,
    })
}

/// Every link and joint that `robot.toml` names is in the URDF.
fn check_names(description: &Description, urdf: &urdf_rs::Robot) -> Result<(), Problem> {
    let links: BTreeSet<_> = urdf.links.iter().map(|link| &link.name).collect();
    let joints: BTreeSet<_> = urdf.joints.iter().map(|joint| &joint.name).collect();
    let unknown = |place: String, kind, name: &String| Problem::Unknown {
        place,
        kind,
        name: name.clone(),
        urdf: description.urdf.clone(),
    };
    for leg in &description.legs {
        let place = || format!("leg `{}`", leg.name);
        if let Some(name) = leg.joints.iter().find(|name| !joints.contains(name)) {
            return Err(unknown(place(), "joint", name));
        }
        if !links.contains(&leg.foot) {
            return Err(unknown(place(), "link", &leg.foot));
        }
    }
    for (_, key, names) in description.contact.lists() {
        if let Some(name) = names.iter().find(|name| !links.contains(name)) {
            return Err(unknown(key.to_owned(), "link", name));
        }
    }
    Ok(())
}

fn check_all_joints_used(description: &Description, urdf: &urdf_rs::Robot) -> Result<(), Problem> {
    let used: BTreeSet<_> = description
        .legs
        .iter()
        .flat_map(|leg| &leg.joints)
        .collect();
    let unused = urdf
        .joints
        .iter()
        .find(|joint| joint.joint_type != JointType::Fixed && !used.contains(&joint.name));
    unused.map_or(Ok(()), |joint| {
        Err(Problem::UnusedJoint(joint.name.clone()))
    })
}
