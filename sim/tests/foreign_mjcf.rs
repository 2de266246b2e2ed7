//! Robots as another MJCF describes them.
#![cfg(feature = "mujoco")]

use std::{fmt::Write as _, fs, path::PathBuf};

use nalgebra::Isometry3;
use robots::{ContactClass, Joint, Link, Robot, Shape};
use sim::engine::{self, Engine, EngineKind, EpisodeStart, PhysicsConfig, PhysicsState, Variation};

/// go1 with feet and trunk as its only shapes.
fn go1() -> Robot {
    let mut robot = Robot::load("go1").expect("go1");
    for joint in robot.legs.iter_mut().flat_map(|leg| &mut leg.joints) {
        let shapes = &mut joint.link.shapes;
        shapes.retain(|shape| shape.class == ContactClass::Foot);
    }
    robot
}

fn pose(isometry: &Isometry3<f32>) -> String {
    let (p, q) = (isometry.translation, isometry.rotation);
    format!(
        r#"pos="{} {} {}" quat="{} {} {} {}""#,
        p.x, p.y, p.z, q.w, q.i, q.j, q.k
    )
}

fn inertial(link: &Link, xml: &mut String) {
    let (c, i) = (link.com, link.inertia_kgm2);
    writeln!(
        xml,
        r#"<inertial pos="{} {} {}" mass="{}" fullinertia="{} {} {} {} {} {}"/>"#,
        c.x,
        c.y,
        c.z,
        link.mass_kg,
        i[(0, 0)],
        i[(1, 1)],
        i[(2, 2)],
        i[(0, 1)],
        i[(0, 2)],
        i[(1, 2)]
    )
    .expect("written");
    for shape in &link.shapes {
        let geom = match shape.shape {
            Shape::Sphere { radius } => format!(r#"type="sphere" size="{radius}""#),
            Shape::Box { half_extents: h } => {
                format!(r#"type="box" size="{} {} {}""#, h.x, h.y, h.z)
            }
            Shape::Capsule {
                half_length,
                radius,
            } => {
                format!(r#"type="capsule" size="{radius} {half_length}""#)
            }
        };
        writeln!(
            xml,
            r#"<geom class="solid" {geom} {}/>"#,
            pose(&shape.origin)
        )
        .expect("written");
    }
}

fn joint(joint: &Joint, xml: &mut String) {
    let a = joint.axis;
    writeln!(
        xml,
        r#"<body {}><joint name="{}" axis="{} {} {}" range="{} {}" armature="{}" frictionloss="{}" damping="7"/>"#,
        pose(&joint.origin),
        joint.name,
        a.x,
        a.y,
        a.z,
        joint.lower_rad,
        joint.upper_rad,
        joint.armature_kgm2,
        joint.friction_nm
    )
    .expect("written");
    inertial(&joint.link, xml);
    // What is only to be looked at need not be there.
    xml.push_str("<geom type=\"mesh\" mesh=\"cover\" contype=\"0\" conaffinity=\"0\"/>\n");
}

/// The robot as somebody else may have written it: legs in another order, names of their own for all but the joints, servos,
/// a floor, a pose, a mesh that is not there.
fn mjcf(robot: &Robot, root: &str) -> String {
    let mut xml = String::from(
        r#"<mujoco model="theirs">
<compiler angle="radian" autolimits="true" meshdir="assets"/>
<option timestep="0.002" impratio="100"/>
<default><joint solreflimit="0.01 1" solreffriction="0.01 1"/>
<default class="solid"><geom condim="3" friction="0.1 0 0" solref="0.01 1"/></default></default>
<asset><mesh name="cover" file="nowhere.obj"/></asset>
<worldbody>
<geom name="their floor" type="plane" size="0 0 1" pos="0 0 0.3"/>
<light pos="0 0 3"/>
<body name="torso" pos="0 0 0.4">
"#,
    );
    xml.push_str(root);
    inertial(&robot.base.link, &mut xml);
    for leg in robot.legs.iter().rev() {
        for it in &leg.joints {
            joint(it, &mut xml);
        }
        xml.push_str(&"</body>\n".repeat(leg.joints.len()));
    }
    xml.push_str("</body></worldbody>\n<actuator>\n");
    for it in robot.joints() {
        writeln!(xml, r#"<position joint="{}" kp="100"/>"#, it.name).expect("written");
    }
    xml.push_str("</actuator>\n<keyframe><key name=\"home\" qpos=\"0 0 0.3 1 0 0 0");
    xml.push_str(&" 0".repeat(robot.num_joints()));
    xml.push_str("\"/></keyframe>\n</mujoco>\n");
    xml
}

fn build(robot: &Robot, text: &str) -> Result<Box<dyn Engine>, String> {
    let folder = tempfile::tempdir().expect("written");
    let file = folder.path().join("theirs.xml");
    fs::write(&file, text).expect("written");
    of_file(robot, file)
}

fn of_file(robot: &Robot, file: PathBuf) -> Result<Box<dyn Engine>, String> {
    let config = PhysicsConfig {
        mjcf: Some(file),
        ..PhysicsConfig::default()
    };
    engine::build(EngineKind::Mujoco, robot, &config, 1).map_err(|error| error.to_string())
}

fn run(engine: &mut dyn Engine, robot: &Robot, start: &EpisodeStart) -> Vec<PhysicsState> {
    engine.reset(0, start).expect("written");
    let mut target = robot.control.standing_position_rad.clone();
    let step = |step: usize| {
        let mut state = PhysicsState::zero(robot);
        for (joint, target) in target.iter_mut().enumerate() {
            *target += 0.05 * (0.3 * step as f32 + joint as f32).sin();
        }
        engine.step(&target);
        engine.read(0, &mut state);
        state
    };
    (0..40).map(step).collect()
}

#[test]
fn the_same_robot_in_other_words_moves_alike() {
    let robot = go1();
    let mut theirs = build(&robot, &mjcf(&robot, "<freejoint/>")).unwrap();
    let ours = &PhysicsConfig::default();
    let mut ours = engine::build(EngineKind::Mujoco, &robot, ours, 1).unwrap();
    let mut start = EpisodeStart::standing(&robot);
    start.linear_velocity_world.x = 0.3;
    start.joint_velocity_radps[4] = 2.0;
    let mut compare = |start: &EpisodeStart| {
        let expected = run(ours.as_mut(), &robot, start);
        let found = run(theirs.as_mut(), &robot, start);
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let apart_m = (found.position_world - expected.position_world).norm();
            assert!(apart_m < 2e-3, "step {step}: {apart_m} m apart");
            for joint in 0..12 {
                let apart = found.joint_position_rad[joint] - expected.joint_position_rad[joint];
                assert!(apart.abs() < 0.02, "step {step}, joint {joint}: {apart}");
            }
            assert_eq!(found.foot_force_world.len(), 4);
            let up = |state: &PhysicsState| -> f32 {
                state.foot_force_world.iter().map(|force| force.z).sum()
            };
            let apart_n = up(found) - up(expected);
            assert!(apart_n.abs() < 60.0, "step {step}: {apart_n} N apart");
        }
        expected.last().unwrap().position_world
    };
    let nominal = compare(&start);
    let mut variation = Variation::none(&robot);
    variation.link_mass.fill(1.3);
    variation.base_com_offset_m.x = 0.05;
    variation.added_mass_offset_m.y = 0.1;
    variation.strength.fill(0.9);
    start.dynamics.variation = Some(Box::new(variation));
    start.dynamics.added_base_mass_kg = 3.0;
    start.dynamics.friction = 0.3;
    let varied = compare(&start);
    assert!((nominal - varied).norm() > 0.01, "{nominal} {varied}");
}

#[test]
fn what_does_not_fit_is_named() {
    let robot = go1();
    let text = mjcf(&robot, "<freejoint/>");
    let refused = |text: &str| match build(&robot, text) {
        Ok(_) => panic!("accepted"),
        Err(message) => message,
    };
    let other_names = text.replace("FL_calf_joint", "front_left_knee");
    let message = refused(&other_names);
    assert!(
        message.contains("it lacks FL_calf_joint, and has besides front_left_knee"),
        "{message}"
    );
    let message = refused(&mjcf(&robot, ""));
    assert!(message.contains("no free joint"), "{message}");
    let message = refused(&text.replacen("<light pos", "<lamp pos", 1));
    assert!(message.contains("line"), "{message}");
    let config = PhysicsConfig {
        mjcf: Some("theirs.xml".into()),
        ..PhysicsConfig::default()
    };
    for kind in [EngineKind::Rapier, EngineKind::Batch] {
        let error = engine::build(kind, &robot, &config, 1).err().unwrap();
        assert_eq!(
            error.to_string(),
            "`physics.mjcf` is theirs.xml, must be absent but for `--engine mujoco`"
        );
    }
    let absent = of_file(&robot, "/nowhere/robot.xml".into());
    let message = absent.err().unwrap();
    assert!(message.contains("MJCF /nowhere/robot.xml"), "{message}");
}
