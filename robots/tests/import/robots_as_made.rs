//! What real descriptions have, one thing at a time.

use nalgebra::Vector3;
use robots::{
    ContactClass, Control, Robot, Shape,
    import::{GivenControl, ImportOptions, MotorOptions, import},
};

use crate::{
    import_bytes, import_text, imported, lines, only_error,
    quadruped::{INERTIA, Quadruped, inertial},
};

fn plain() -> Robot {
    imported(import_text(&Quadruped::default().urdf()))
}

#[test]
fn a_plain_quadruped_is_imported_and_sound() {
    let robot = plain();
    assert_eq!(robot.name, "dog-9");
    assert_eq!((robot.num_feet(), robot.num_joints()), (4, 12));
    let names: Vec<_> = robot.legs.iter().map(|leg| leg.name.as_str()).collect();
    assert_eq!(names, ["FL", "FR", "RL", "RR"]);
    assert_eq!(robot.legs[3].joints[1].name, "four_b");
    // 5 kg of trunk and 1.7 kg a leg.
    assert!((robot.mass_kg() - 11.8).abs() < 1e-4);
    assert_eq!(robot.soundness(), robots::Soundness::default());
    // Hips 0.73 and 0.62 of 0.4 m over the feet; knees behind; the same for left and right.
    let control = &robot.control;
    assert!(
        (control.standing_height_m - (0.62 * 0.4 + 0.02)).abs() < 2e-3,
        "{control:?}"
    );
    let default = &control.default_position_rad;
    assert!(default[1] > 0.5 && default[2] < -1.2, "{default:?}");
    assert!(
        (0..3).all(|i| (default[i] - default[i + 3]).abs() < 1e-3),
        "{default:?}"
    );
    let feet = robot.foot_positions_base(default);
    assert!(
        (feet[0] - nalgebra::Point3::new(0.2, 0.13, -0.292)).norm() < 2e-3,
        "{feet:?}"
    );
    let classes = |joint: usize| {
        robot.legs[0].joints[joint]
            .link
            .shapes
            .iter()
            .map(|s| s.class)
            .collect::<Vec<_>>()
    };
    assert_eq!(classes(1), [ContactClass::Thigh]);
    assert_eq!(classes(2), [ContactClass::Calf, ContactClass::Foot]);
}

#[test]
fn poses_and_gains_may_be_those_of_another_robot() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maker.urdf");
    std::fs::write(&file, Quadruped::default().urdf()).unwrap();
    let with_control_of = |change: fn(&mut Control)| {
        let mut control = Robot::load("go1").unwrap().control;
        change(&mut control);
        let control = Some(GivenControl {
            of: "go1".to_owned(),
            control,
        });
        import(
            &file,
            &ImportOptions {
                control,
                ..ImportOptions::default()
            },
        )
    };
    // The knees of the left hind leg need more.
    let result = with_control_of(|control| control.stiffness[8] = 35.0);
    let text = lines(&result);
    assert!(
        text.contains("poses, gains and action scale are those of go1"),
        "{text}"
    );
    assert!(
        !text.contains(" pose: ") && !text.contains("gains: "),
        "{text}"
    );
    let (control, go1) = (
        imported(result).control,
        Robot::load("go1").unwrap().control,
    );
    assert_eq!(control.default_position_rad, go1.default_position_rad);
    assert_eq!(control.standing_position_rad, go1.standing_position_rad);
    assert_eq!(control.stiffness[..8], go1.stiffness[..8]);
    assert_eq!(control.stiffness[8], 35.0);
    assert_eq!(
        (control.damping, control.action_scale),
        (go1.damping, go1.action_scale)
    );

    // To the last digit, since bundles compare them.
    let result = with_control_of(|control| control.default_position_rad[4] = 0.812_34);
    assert_eq!(
        imported(result).control.default_position_rad[..5],
        [0.0, 0.8, -1.5, 0.0, 0.812_34]
    );

    let line = only_error(&with_control_of(|control| control.stiffness.truncate(8)));
    assert!(line.contains("go1 has 8 joints, this robot 12"), "{line}");
}

#[test]
fn what_only_looks_is_skipped_in_any_encoding() {
    let mut quadruped = Quadruped::default();
    quadruped.trunk += "<visual><material name='ä'><color rgba='1 1 1 1'/></material><material name=''/><geometry><mesh filename='x.blend'/></geometry></visual>";
    quadruped.tail = "<gazebo reference='trunk'><kp>1</kp></gazebo><transmission name='t'><joint name='one_a'/></transmission>".into();
    let text = quadruped.urdf();
    assert_eq!(imported(import_text(&text)), plain());
    let wide: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(imported(import_bytes(&wide)), plain());
    let latin = text.replace(
        "<?xml version='1.0'?>",
        "<?xml version='1.0' encoding='iso-8859-1'?>",
    );
    let latin: Vec<u8> = latin.chars().map(|c| c as u8).collect();
    assert_eq!(imported(import_bytes(&latin)), plain());
}

#[test]
fn a_floating_or_dummy_root_is_no_obstacle() {
    let root = |kind: &str, link: &str| {
        let head = format!(
            "<link name='world'>{link}</link><joint name='free' type='{kind}'><parent link='world'/><child link='trunk'/><origin xyz='0 0 0.4'/></joint>\n"
        );
        imported(import_text(
            &Quadruped {
                head,
                ..Quadruped::default()
            }
            .urdf(),
        ))
    };
    assert_eq!(root("floating", ""), plain());
    // Fixed, and with a mass that no rigid body has: merged before anything is checked. The trunk's frame is the base's.
    let dummy = "<inertial><mass value='1e-6'/><inertia ixx='0' ixy='0' ixz='0' iyy='0' iyz='0' izz='0'/></inertial>";
    let robot = root("fixed", dummy);
    assert_eq!(robot.base.link.name, "trunk");
    assert!((robot.control.standing_height_m - plain().control.standing_height_m).abs() < 1e-3);
}

#[test]
fn rotors_and_sensors_fixed_to_a_leg_count_for_its_place() {
    let fixed = |name: &str, parent: &str, at: &str| {
        format!(
            "<link name='{name}'>{}<collision><geometry><cylinder radius='0.04' length='0.02'/></geometry></collision></link>\
                 <joint name='{name}_j' type='fixed'><parent link='{parent}'/><child link='{name}'/><origin xyz='{at}'/></joint>\n",
            inertial(0.1)
        )
    };
    let tail = fixed("rotor", "one_a_link", "0 0.05 0")
        + &fixed("guard", "one_b_link", "0 0.05 0")
        + &fixed("lidar", "trunk", "0.2 0 0.1");
    let result = import_text(
        &Quadruped {
            tail,
            ..Quadruped::default()
        }
        .urdf(),
    );
    assert!(
        lines(&result).contains("the disc of radius 40 mm and length 20 mm collides as a box"),
        "{}",
        lines(&result)
    );
    let robot = imported(result);
    let leg = &robot.legs[0];
    assert_eq!(leg.joints[0].link.shapes[0].class, ContactClass::Base);
    assert!(
        leg.joints[1]
            .link
            .shapes
            .iter()
            .all(|shape| shape.class == ContactClass::Thigh)
    );
    assert_eq!(
        (
            robot.base.link.shapes.len(),
            leg.joints[1].link.shapes.len()
        ),
        (2, 2)
    );
    assert!((leg.joints[0].link.mass_kg - 0.7).abs() < 1e-5);
    // A disc of radius r has the area of a square of side 1.77 r.
    let Shape::Box { half_extents } = leg.joints[0].link.shapes[0].shape else {
        panic!("no box");
    };
    assert!(
        (half_extents - Vector3::new(0.03545, 0.03545, 0.01)).norm() < 1e-4,
        "{half_extents}"
    );
}

#[test]
fn arms_heads_and_wheels_are_held_fixed() {
    let hinge = |name: &str, parent: &str, at: &str, kind: &str, axis: &str| {
        format!(
            "<link name='{name}'>{}</link><joint name='{name}_j' type='{kind}'><parent link='{parent}'/><child link='{name}'/>\
                 <origin xyz='{at}'/><axis xyz='{axis}'/><limit lower='-1' upper='1' effort='5' velocity='5'/></joint>\n",
            inertial(0.3)
        )
    };
    let tail = hinge("arm1", "trunk", "0.1 0 0.1", "revolute", "0 0 1")
        + &hinge("arm2", "arm1", "0.2 0 0", "revolute", "0 1 0")
        + &hinge("slide", "arm2", "0.1 0 0", "prismatic", "1 0 0")
        + &hinge("head", "trunk", "0.3 0 0", "revolute", "0 1 0");
    let result = import_text(
        &Quadruped {
            tail,
            ..Quadruped::default()
        }
        .urdf(),
    );
    let text = lines(&result);
    assert!(
        text.contains("joint `slide_j`: prismatic, held fixed")
            && text.contains("arm1_j, arm2_j belong to no leg"),
        "{text}"
    );
    let robot = imported(result);
    assert_eq!(robot.num_joints(), 12);
    assert!((robot.base.link.mass_kg - 6.2).abs() < 1e-4);

    // A wheel at the end of every leg is its foot.
    let wheel = "<collision><origin rpy='1.5707963 0 0'/><geometry><cylinder radius='0.07' length='0.04'/></geometry></collision>";
    let text = Quadruped {
        foot: format!("{}{wheel}", inertial(0.4)),
        ..Quadruped::default()
    }
    .urdf();
    let text = text.replace(
        "_end_fixed' type='fixed'>",
        "_roll' type='continuous'><axis xyz='0 1 0'/>",
    );
    let result = import_text(&text);
    assert!(
        lines(&result).contains("turns a wheel, held fixed"),
        "{}",
        lines(&result)
    );
    let robot = imported(result);
    assert_eq!(robot.num_joints(), 12);
    for leg in &robot.legs {
        assert!(
            (leg.foot.radius - 0.07).abs() < 1e-4 && (leg.foot.position.z + 0.2).abs() < 1e-4,
            "{:?}",
            leg.foot
        );
    }
}

#[test]
fn missing_limits_are_guessed_or_given() {
    let text = Quadruped {
        calf_range: "",
        ..Quadruped::default()
    }
    .urdf()
    .replace("effort='25' velocity='20'", "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dog.urdf");
    std::fs::write(&file, &text).unwrap();
    let joint =
        |options: &ImportOptions| imported(import(&file, options)).legs[0].joints[2].clone();
    // 0.7 of 11.8 kg * 9.81 m/s2 * 0.4 m, two digits.
    let guessed = joint(&ImportOptions::default());
    assert_eq!(
        (guessed.effort_limit_nm, guessed.velocity_limit_radps),
        (32.0, 20.0)
    );
    assert!(guessed.upper_rad > 1000.0);
    let motor = MotorOptions {
        effort_limit_nm: Some(17.0),
        velocity_limit_radps: Some(31.0),
    };
    let name = Some("Mine".to_owned());
    let given = joint(&ImportOptions {
        motor,
        name,
        ..ImportOptions::default()
    });
    assert_eq!(
        (given.effort_limit_nm, given.velocity_limit_radps),
        (17.0, 31.0)
    );
    let (_, files) = import(&file, &ImportOptions::default()).robot.unwrap();
    assert!(
        files.urdf().contains("effort or velocity is a guess")
            && files.description().contains("# A guess")
    );
}

#[test]
fn knees_bend_as_the_limits_allow() {
    // About -y, the same angles have the other sign.
    let mirrored = Quadruped {
        thigh_axis: [0.0, -1.0, 0.0],
        thigh_range: "lower='-3.5' upper='1'",
        calf_range: "lower='0.8' upper='2.7'",
        ..Quadruped::default()
    };
    let robot = imported(import_text(&mirrored.urdf()));
    let (own, usual) = (
        &robot.control.default_position_rad,
        &plain().control.default_position_rad,
    );
    assert!(
        own.iter().zip(usual).all(|(a, b)| (a + b).abs() < 2e-3),
        "{own:?}"
    );
    // Knees that only bend forward.
    let forward = Quadruped {
        thigh_range: "lower='-3' upper='0.5'",
        calf_range: "lower='0.8' upper='2.7'",
        ..Quadruped::default()
    };
    let robot = imported(import_text(&forward.urdf()));
    let pose = &robot.control.default_position_rad;
    assert!(pose[1] < -0.5 && pose[2] > 1.2, "{pose:?}");
    assert_eq!(robot.soundness().reasons, Vec::<String>::new());
}

#[test]
fn feet_without_shape_or_link() {
    // A frame only: a ball in the end of the calf.
    let frame = imported(import_text(
        &Quadruped {
            foot: String::new(),
            ..Quadruped::default()
        }
        .urdf(),
    ));
    assert!((frame.legs[0].foot.position.z + 0.2).abs() < 1e-4);
    assert!((0.01..0.03).contains(&frame.legs[0].foot.radius));
    // A ball of the calf itself, with and without that frame.
    let calf = Quadruped::default().calf_shape
        + "<collision><origin xyz='0 0 -0.19'/><geometry><sphere radius='0.015'/></geometry></collision>";
    let ball = Quadruped {
        foot: String::new(),
        calf_shape: calf,
        ..Quadruped::default()
    };
    let without: String = ball
        .urdf()
        .lines()
        .filter(|line| !line.contains("_end_fixed"))
        .map(|line| format!("{line}\n"))
        .collect();
    for text in [ball.urdf(), without] {
        let robot = imported(import_text(&text));
        let foot = &robot.legs[2].foot;
        assert!(
            (foot.position.z + 0.19).abs() < 1e-4 && (foot.radius - 0.015).abs() < 1e-5,
            "{foot:?}"
        );
    }
}

#[test]
fn a_calf_whose_shape_is_around_its_joint_ends_below_it() {
    let calf_shape =
        "<collision><geometry><box size='0.02 0.02 0.2'/></geometry></collision>".to_owned();
    let calf = Quadruped {
        calf_shape,
        foot: String::new(),
        ..Quadruped::default()
    };
    let without: String = calf
        .urdf()
        .lines()
        .filter(|line| !line.contains("_end_fixed"))
        .map(|line| format!("{line}\n"))
        .collect();
    let robot = imported(import_text(&without));
    let foot = &robot.legs[0].foot;
    assert!(
        (foot.position.z + 0.1 - foot.radius).abs() < 1e-4,
        "{foot:?}"
    );
}

#[test]
fn a_calf_ends_before_its_foot() {
    let calf_shape = "<collision><origin xyz='0 0 -0.1'/><geometry><box size='0.016 0.016 0.2'/></geometry></collision>".to_owned();
    let result = import_text(
        &Quadruped {
            calf_shape,
            ..Quadruped::default()
        }
        .urdf(),
    );
    assert!(
        lines(&result).contains("its box is shortened by "),
        "{}",
        lines(&result)
    );
    let robot = imported(result);
    assert!(robot.legs.iter().all(|leg| leg.calf_beyond_foot_m() <= 0.0));
    // What lies around the foot cannot be shortened.
    let calf_shape = "<collision><origin xyz='0 0 -0.2'/><geometry><sphere radius='0.05'/></geometry></collision>".to_owned();
    let robot = imported(import_text(
        &Quadruped {
            calf_shape,
            ..Quadruped::default()
        }
        .urdf(),
    ));
    assert_eq!(robot.legs[0].joints[2].link.shapes.len(), 1);
}

#[test]
fn other_base_frames_are_turned() {
    // The maker's frame has y forward and z up; a hip lies at (-y, x) there.
    let turn = |text: String| {
        let head = "<link name='base'/><joint name='turned' type='fixed'><parent link='base'/><child link='trunk'/><origin rpy='0 0 1.5707963267949'/></joint>";
        text.replace("<link name='trunk'>", &format!("{head}<link name='trunk'>"))
    };
    let light = Quadruped::default();
    let text = turn(light.urdf()).replace(
        "<link name='base'/>",
        &format!("<link name='base'><inertial><mass value='9'/>{INERTIA}</inertial></link>"),
    );
    let result = import_text(&text);
    assert!(
        lines(&result).contains("the base frame has y forward and z up"),
        "{}",
        lines(&result)
    );
    let robot = imported(result);
    let hip = robot.legs[0].joints[0].origin.translation.vector;
    assert!((hip - Vector3::new(0.2, 0.05, 0.0)).norm() < 1e-4, "{hip}");
    assert_eq!(robot.soundness().reasons, Vec::<String>::new());
}

#[test]
fn impossible_inertias_are_replaced_and_told() {
    let text = Quadruped::default().urdf().replacen(
        INERTIA,
        "<inertia ixx='0' iyy='0' izz='0' ixy='0' ixz='0' iyz='0'/>",
        1,
    );
    let result = import_text(&text);
    assert!(
        lines(&result).contains("guess  link `trunk`: no rigid body has its mass and inertia"),
        "{}",
        lines(&result)
    );
    // 5 kg in a box of 0.4 x 0.1 x 0.1 m.
    let inertia = imported(result).base.link.inertia_kgm2;
    assert!(
        (inertia[(0, 0)] - 5.0 / 12.0 * 0.02).abs() < 1e-5,
        "{inertia}"
    );
    assert!(
        (inertia[(1, 1)] - 5.0 / 12.0 * 0.17).abs() < 1e-5,
        "{inertia}"
    );
}
