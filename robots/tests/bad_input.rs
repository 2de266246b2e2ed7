//! Every mistake in a robot folder gives one line that says what, where, and what would be right.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use robots::Robot;

const TOML: &str = include_str!("../go1/robot.toml");
const URDF: &str = include_str!("../go1/go1.urdf");

/// Loads Go1 from a folder, after replacing the first occurrence of a text in either file.
fn load_edited(edits: &[(&str, &str)]) -> Result<Robot, String> {
    let folder = tempfile::tempdir().unwrap();
    let (mut toml, mut urdf) = (TOML.to_owned(), URDF.to_owned());
    for (from, to) in edits {
        assert!(
            toml.contains(from) || urdf.contains(from),
            "nothing to edit: {from}"
        );
        if toml.contains(from) {
            toml = toml.replacen(from, to, 1);
        } else {
            urdf = urdf.replacen(from, to, 1);
        }
    }
    fs::write(folder.path().join("robot.toml"), toml).unwrap();
    fs::write(folder.path().join("go1.urdf"), urdf).unwrap();
    let path = folder.path().to_str().unwrap();
    Robot::load(path).map_err(|error| error.to_string().replace(&format!("{path}/"), ""))
}

#[track_caller]
fn refused(edits: &[(&str, &str)], expected: &str) {
    match load_edited(edits) {
        Ok(_) => panic!("accepted; expected: {expected}"),
        Err(line) => assert_eq!(line, expected),
    }
}

#[test]
fn the_unedited_copy_loads() {
    assert_eq!(load_edited(&[]).unwrap(), Robot::load("go1").unwrap());
}

#[test]
fn no_such_robot() {
    let built_in = Robot::names().collect::<Vec<_>>().join(", ");
    let line = format!(
        "no robot `no-such`: it is not built in ({built_in}), and no folder of that name holds a robot.toml"
    );
    assert_eq!(Robot::load("no-such").unwrap_err().to_string(), line);
}

#[test]
fn toml_keys() {
    refused(
        &[("action_scale = 0.25", "action_scael = 0.25")],
        "robot.toml:32: unknown field `action_scael`, expected one of `default_position_rad`, \
         `standing_position_rad`, `stiffness`, `damping`, `action_scale`",
    );
    refused(
        &[("urdf = \"go1.urdf\"\n", "")],
        "robot.toml:1: missing field `urdf`",
    );
    refused(
        &[("stiffness = [30.0, 30.0, 30.0]", "stiffness = 30.0")],
        "robot.toml:30: invalid type: floating point `30.0`, expected a sequence",
    );
    refused(
        &[("go1.urdf", "go3.urdf")],
        "robot.toml: urdf file `go3.urdf` is not in the robot's folder",
    );
}

#[test]
fn toml_values() {
    refused(
        &[("[30.0, 30.0, 30.0]", "[30.0, 30.0]")],
        "robot.toml: `control.stiffness` has 2 entries; \
         there must be 3 (one per joint of a leg) or 12 (one per joint)",
    );
    refused(
        &[("[0.65, 0.65, 0.65]", "[0.65, -0.65, 0.65]")],
        "robot.toml: control.damping is -0.65; it must be zero or more",
    );
    refused(
        &[("[0.0, 0.8, -1.5]", "[0.0, 0.8, -0.5]")],
        "robot.toml: `control.default_position_rad` puts joint `FL_calf_joint` at -0.5 rad, \
         outside its limits -2.818 to -0.888",
    );
    refused(
        &[("[0.0, 1.0, -1.8]", "[0.0, nan, -1.8]")],
        "robot.toml: `control.standing_position_rad` puts joint `FL_thigh_joint` at NaN rad, \
         outside its limits -0.66 to 2.76",
    );
    refused(
        &[("action_scale = 0.25", "action_scale = 0.0")],
        "robot.toml: control.action_scale is 0; it must be positive",
    );
    refused(
        &[("horizontal_fov_deg = 102.0", "horizontal_fov_deg = 200.0")],
        "robot.toml: camera.horizontal_fov_deg is 200; it must be between 0 and 180",
    );
    refused(
        &[("range_m = [0.1, 6.0]", "range_m = [6.0, 0.5]")],
        "robot.toml: farthest camera.range_m is 0.5; it must be beyond the nearest",
    );
}

#[test]
fn values_that_limit_nothing() {
    for (from, to, expected) in [
        (
            "stiffness = [30.0, 30.0, 30.0]",
            "stiffness = [30.0, 1e30, 30.0]",
            "robot.toml: control.stiffness is 1000000000000000000000000000000; it must be at most 1000",
        ),
        (
            "[0.65, 0.65, 0.65]",
            "[inf, 0.65, 0.65]",
            "robot.toml: control.damping is inf; it must be at most 100",
        ),
        (
            "action_scale = 0.25",
            "action_scale = 1e9",
            "robot.toml: control.action_scale is 1000000000; it must be at most 2",
        ),
        (
            "friction_nm = [0.2, 0.2, 0.2]",
            "friction_nm = [0.2, 0.2, 1e4]",
            "robot.toml: motor.friction_nm is 10000; it must be at most 100",
        ),
        (
            "effort=\"35.55\"",
            "effort=\"1e30\"",
            "go1.urdf: effort limit of joint `FL_calf_joint` is 1000000000000000000000000000000; it must be at most 1000",
        ),
        (
            "velocity=\"20.06\"",
            "velocity=\"1e6\"",
            "go1.urdf: velocity limit of joint `FL_calf_joint` is 1000000; it must be at most 200",
        ),
        (
            "[0.0, 1.0, -1.8]",
            "[0.0, 2.4, -1.2]",
            "robot.toml: height of the base over the feet with control.standing_position_rad is ",
        ),
    ] {
        let error = load_edited(&[(from, to)]).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn names_that_do_not_match() {
    refused(
        &[("\"FL_thigh_joint\"", "\"FL_knee_joint\"")],
        "robot.toml: leg `FL` names joint `FL_knee_joint`, which go1.urdf does not have",
    );
    refused(
        &[("foot = \"FR_foot\"", "foot = \"FR_toe\"")],
        "robot.toml: leg `FR` names link `FR_toe`, which go1.urdf does not have",
    );
    refused(
        &[("base = [\"trunk\"]", "base = [\"trunk\", \"head\"]")],
        "robot.toml: contact.base names link `head`, which go1.urdf does not have",
    );
    refused(
        &[("thigh = [\"FL_thigh\", ", "thigh = [")],
        "go1.urdf: link `FL_thigh` has collision shapes but no contact class; \
         list it under base, thigh or calf in [contact]",
    );
    refused(
        &[("calf = [\"FL_calf\"", "calf = [\"FL_thigh\"")],
        "robot.toml: link `FL_thigh` appears twice; names must be unique",
    );
    refused(
        &[("name = \"FR\"", "name = \"FL\"")],
        "robot.toml: leg `FL` appears twice; names must be unique",
    );
    refused(
        &[("<link name=\"FR_hip\">", "<link name=\"FL_hip\">")],
        "go1.urdf: link `FL_hip` appears twice; names must be unique",
    );
}

#[test]
fn legs_that_are_not_serial_chains() {
    refused(
        &[("<parent link=\"FL_hip\"/>", "<parent link=\"FL_hop\"/>")],
        "go1.urdf: joint `FL_thigh_joint` connects link `FL_hop`, which does not exist; \
         add it or correct the name",
    );
    refused(
        &[("<child link=\"FR_hip\"/>", "<child link=\"FL_hip\"/>")],
        "go1.urdf: link `FL_hip` closes a loop of joints; \
         legs must be open chains, so remove joint `FR_hip_joint`",
    );
    refused(
        &[("<parent link=\"FL_hip\"/>", "<parent link=\"FL_calf\"/>")],
        "go1.urdf: link `FL_thigh` closes a loop of joints; \
         legs must be open chains, so remove joint `FL_thigh_joint`",
    );
    refused(
        &[("</robot>", "<link name=\"box\"/></robot>")],
        "go1.urdf: links without a parent: trunk, box; there must be exactly one, the base",
    );
    refused(
        &[(
            "joints = [\"FL_hip_joint\", \"FL_thigh_joint\"",
            "joints = [\"FL_thigh_joint\", \"FL_hip_joint\"",
        )],
        "go1.urdf: leg `FL`: joint `FL_thigh_joint` is not attached to `trunk`; \
         list the leg's joints from the base outwards",
    );
    let branch = "<link name=\"fin\"><inertial><mass value=\"1\"/>\
        <inertia ixx=\"1\" ixy=\"0\" ixz=\"0\" iyy=\"1\" iyz=\"0\" izz=\"1\"/></inertial></link>\
        <joint name=\"fin_joint\" type=\"revolute\"><parent link=\"PARENT\"/><child link=\"fin\"/>\
        <limit lower=\"-1\" upper=\"1\" effort=\"1\" velocity=\"1\"/></joint></robot>";
    refused(
        &[("</robot>", &branch.replace("PARENT", "RL_thigh"))],
        "go1.urdf: joint `fin_joint` branches off leg `RL` at `RL_thigh`; a leg must be one serial chain",
    );
    refused(
        &[("</robot>", &branch.replace("PARENT", "trunk"))],
        "go1.urdf: joint `fin_joint` belongs to no leg; \
         list it in a [[leg]] of robot.toml or make it fixed",
    );
    refused(
        &[("<parent link=\"FL_calf\"/>", "<parent link=\"FL_thigh\"/>")],
        "go1.urdf: leg `FL`: foot `FL_foot` is not fixed to the leg's last link `FL_calf`",
    );
}

#[test]
fn joints() {
    refused(
        &[(
            "\"FL_thigh_joint\" type=\"revolute\"",
            "\"FL_thigh_joint\" type=\"prismatic\"",
        )],
        "go1.urdf: joint `FL_thigh_joint` is prismatic; \
         only revolute, continuous and fixed joints are supported",
    );
    refused(
        &[(
            "<axis xyz=\"0 1 0\"/>",
            "<axis xyz=\"0 1 0\"/><mimic joint=\"FL_hip_joint\"/>",
        )],
        "go1.urdf: joint `FL_thigh_joint` is a mimic joint; \
         only revolute, continuous and fixed joints are supported",
    );
    refused(
        &[(
            "lower=\"-0.863\" upper=\"0.863\"",
            "lower=\"0.863\" upper=\"-0.863\"",
        )],
        "go1.urdf: joint `FL_hip_joint`: lower limit 0.863 is not below upper limit -0.863 rad",
    );
    refused(
        &[("effort=\"35.55\"", "effort=\"0\"")],
        "go1.urdf: effort limit of joint `FL_calf_joint` is 0; it must be positive",
    );
    refused(
        &[("velocity=\"20.06\"", "velocity=\"-1\"")],
        "go1.urdf: velocity limit of joint `FL_calf_joint` is -1; it must be positive",
    );
    refused(
        &[("<axis xyz=\"1 0 0\"/>", "<axis xyz=\"0 0 0\"/>")],
        "go1.urdf: length of the axis of joint `FL_hip_joint` is 0; it must be positive",
    );
    refused(
        &[("<origin xyz=\"0 0.08 0\"/>", "<origin xyz=\"0 nan 0\"/>")],
        "go1.urdf: origin of joint `FL_thigh_joint` is NaN; it must be a finite number",
    );
}

#[test]
fn masses_and_inertias() {
    refused(
        &[("<mass value=\"0.92\"/>", "<mass value=\"-0.92\"/>")],
        "go1.urdf: mass of link `FL_thigh` is -0.92; it must be positive",
    );
    refused(
        &[("<mass value=\"0.92\"/>", "<mass value=\"0\"/>")],
        "go1.urdf: link `FL_thigh` moves but has no mass; give it an <inertial> with a positive mass",
    );
    let hip =
        "<inertia ixx=\"0.00037\" ixy=\"0\" ixz=\"0\" iyy=\"0.00064\" iyz=\"0\" izz=\"0.00046\"/>";
    let with = |ixx: &str, ixy: &str| {
        hip.replace("ixx=\"0.00037\"", &format!("ixx=\"{ixx}\""))
            .replace("ixy=\"0\"", &format!("ixy=\"{ixy}\""))
    };
    let none = "<inertia ixx=\"0\" ixy=\"0\" ixz=\"0\" iyy=\"0\" iyz=\"0\" izz=\"0\"/>";
    refused(
        &[(hip, none)],
        "go1.urdf: link `FL_hip` has a mass but no inertia; give <inertia> positive ixx, iyy and izz",
    );
    refused(
        &[(hip, &with("-0.00037", "0"))],
        "go1.urdf: inertia of link `FL_hip` is impossible: principal moments -0.00037, 0.00046, 0.00064 kg m^2 \
         must be positive, and none larger than the sum of the others",
    );
    refused(
        &[(hip, &with("0.0037", "0"))],
        "go1.urdf: inertia of link `FL_hip` is impossible: principal moments 0.00046, 0.00064, 0.00370 kg m^2 \
         must be positive, and none larger than the sum of the others",
    );
    // Positive on the diagonal, yet not positive definite.
    assert!(
        load_edited(&[(hip, &with("0.00037", "0.001"))])
            .unwrap_err()
            .starts_with(
                "go1.urdf: inertia of link `FL_hip` is impossible: principal moments -0.000"
            )
    );
}

#[test]
fn shapes() {
    refused(
        &[("<sphere radius=\"0.02\"/>", "<mesh filename=\"foot.stl\"/>")],
        "go1.urdf: link `FL_foot` collides as mesh `foot.stl`; \
         meshes are not supported: use box, sphere, cylinder or capsule",
    );
    refused(
        &[(
            "<sphere radius=\"0.02\"/>",
            "<box size=\"0.02 0.02 0.02\"/>",
        )],
        "go1.urdf: foot `FL_foot` must have exactly one collision shape, a sphere",
    );
    refused(
        &[("<sphere radius=\"0.02\"/>", "<sphere radius=\"-0.02\"/>")],
        "go1.urdf: radius of a collision shape of link `FL_foot` is -0.02; it must be positive",
    );
    refused(
        &[("length=\"0.213\"", "length=\"0.03\"")],
        "go1.urdf: link `FL_thigh`: a collision cylinder is read as a capsule, so its length 0.03 m \
         must be at least twice its radius 0.02 m; use a box or a sphere",
    );
}

#[test]
fn files_cut_off_anywhere_give_one_line_and_no_panic() {
    let body_end = URDF.rfind("</robot>").unwrap();
    for cut in (0..body_end).step_by(97) {
        let line = load_edited(&[(&URDF[cut..], "")]).unwrap_err();
        assert!(line.starts_with("go1.urdf: "), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
    for cut in (1..TOML.find("calf = [").unwrap()).step_by(31) {
        let line = load_edited(&[(&TOML[cut..], "")]).unwrap_err();
        assert!(line.starts_with("robot.toml:"), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn more_legs_or_joints_than_fit() {
    let leg = |index: usize, joints: &str| {
        format!("[[leg]]\nname = \"L{index}\"\njoints = [{joints}]\nfoot = \"F{index}\"\n[control]")
    };
    let nine: String = (0..5).map(|i| leg(i, &format!("\"J{i}\""))).collect();
    // Tables may not be repeated: only the last one keeps the section that follows.
    let nine = nine.replacen("[control]", "", 4);
    refused(
        &[("[control]", &nine)],
        "robot.toml: 9 legs; there must be 1 to 8",
    );
    let many: Vec<_> = (0..13).map(|i| format!("\"J{i}\"")).collect();
    refused(
        &[("[control]", &leg(0, &many.join(", ")))],
        "robot.toml: 25 joints in all legs; there must be 1 to 24",
    );
}

#[test]
fn limits_from_the_description_replace_those_of_the_urdf() {
    let robot = load_edited(&[(
        "friction_nm = [0.2, 0.2, 0.2]",
        "friction_nm = [0.2, 0.2, 0.2]\neffort_limit_nm = [10.0, 11.0, 12.0]",
    )])
    .unwrap();
    let efforts: Vec<_> = robot.joints().map(|joint| joint.effort_limit_nm).collect();
    assert_eq!(efforts, [10.0, 11.0, 12.0].repeat(4));
}

#[test]
fn a_payload_fixed_to_the_trunk_is_merged() {
    // 1 kg as a point 0.1 m above the trunk's centre.
    let payload = "<link name=\"payload\"><inertial><origin xyz=\"0 0 0.05\"/><mass value=\"1\"/>\
        <inertia ixx=\"0\" ixy=\"0\" ixz=\"0\" iyy=\"0\" iyz=\"0\" izz=\"0\"/></inertial></link>\
        <joint name=\"payload_fixed\" type=\"fixed\"><origin xyz=\"0 0 0.05\"/>\
        <parent link=\"trunk\"/><child link=\"payload\"/></joint></robot>";
    let base = load_edited(&[("</robot>", payload)]).unwrap().base.link;
    assert!((base.mass_kg - 6.204).abs() < 1e-6);
    // com_z = (5.204 * -0.0005 + 1 * 0.1) / 6.204
    assert!((base.com.z - 0.0156992).abs() < 1e-6, "{}", base.com);
    // ixx = 0.0168 + reduced mass 5.204 / 6.204 * (0.1005^2 + 0.002^2)
    assert!(
        (base.inertia_kgm2[(0, 0)] - 0.0252755).abs() < 1e-6,
        "{}",
        base.inertia_kgm2
    );
}

#[test]
fn a_continuous_joint_has_no_position_limit() {
    let robot = load_edited(&[(
        "\"FL_hip_joint\" type=\"revolute\"",
        "\"FL_hip_joint\" type=\"continuous\"",
    )])
    .unwrap();
    let hip = &robot.legs[0].joints[0];
    assert_eq!(hip.upper_rad, robots::CONTINUOUS_LIMIT_RAD);
    assert_eq!(hip.lower_rad, -robots::CONTINUOUS_LIMIT_RAD);
}
