use super::*;

#[test]
fn margin_of_a_square_by_hand() {
    let feet =
        [(0.2, 0.1), (0.2, -0.1), (-0.2, 0.1), (-0.2, -0.1)].map(|(x, y)| Point3::new(x, y, -0.3));
    assert!((support_margin_m(&feet, &Point3::new(0.15, 0.0, 0.0)) - 0.05).abs() < 1e-6);
    assert!((support_margin_m(&feet, &Point3::new(0.0, 0.13, 0.0)) + 0.03).abs() < 1e-6);
}

#[test]
fn the_torques_of_a_standing_go1_carry_its_weight() {
    let go1 = Robot::load("go1").unwrap();
    let position = &go1.control.standing_position_rad;
    let load = go1.static_load(position);
    // By virtual work: the power of the torques when the base sinks is that of the weight.
    let mut lowered = Vec::new();
    for (index, _) in position.iter().enumerate() {
        let mut moved = position.clone();
        moved[index] += 1e-3;
        let change: f32 = go1
            .foot_positions_base(&moved)
            .iter()
            .zip(go1.foot_positions_base(position).iter())
            .map(|(a, b)| a.z - b.z)
            .sum();
        lowered.push(change / 1e-3);
    }
    let quarter = go1.mass_kg() * GRAVITY / 4.0;
    // The centre of mass is a little ahead of the middle, so front and rear feet share the load unevenly.
    for (torque, slope) in load.torque_nm.iter().zip(&lowered) {
        assert!(
            (torque + slope * quarter).abs() < 0.25 * quarter * slope.abs() + 0.02,
            "{torque} {slope}"
        );
    }
    assert!(load.support_margin_m > 0.1, "{load:?}");
}

#[test]
fn the_robots_shipped_are_sound() {
    for name in Robot::names() {
        let robot = Robot::load(name).unwrap();
        assert_eq!(robot.soundness(), Soundness::default(), "{name}");
    }
}

/// The first reason against go1 after a change.
#[track_caller]
fn refused(change: impl Fn(&mut Robot), expected: &str) {
    let mut robot = Robot::load("go1").unwrap();
    change(&mut robot);
    let line = robot.require_sound().unwrap_err().to_string();
    assert!(line.contains(expected) && !line.contains('\n'), "{line}");
}

#[test]
fn what_cannot_stand_is_refused_with_a_reason() {
    refused(|r| r.name = " ".to_owned(), "its name is empty");
    refused(|r| r.base.link.mass_kg = 5000.0, "its mass is 5006");
    refused(
        |r| r.control.stiffness.fill(0.0),
        "stiffness 0 of joint `FL_hip_joint` does not hold",
    );
    refused(
        |r| r.control.stiffness.fill(30_000.0),
        "stiffness 30000 of joint `FL_hip_joint` is far beyond",
    );
    let pose = [0.0, 2.7, -0.9].repeat(4);
    refused(
        |r| r.control.standing_position_rad.clone_from(&pose),
        "its centre of mass is ",
    );
    let scaled = |factor: f32| {
        move |robot: &mut Robot| {
            for leg in &mut robot.legs {
                leg.foot.position *= factor;
                leg.joints
                    .iter_mut()
                    .for_each(|j| j.origin.translation.vector *= factor);
            }
        }
    };
    refused(scaled(1000.0), "426 m long; 0.03 to 3 m are plausible");
    refused(scaled(0.001), "0.000426 m long");
    refused(
        |r| r.legs[0].joints[2].effort_limit_nm = 2.0,
        "joint `FL_calf_joint` needs ",
    );
}

#[test]
fn what_looks_wrong_is_told() {
    let mut robot = Robot::load("go1").unwrap();
    robot.legs[1].joints[1].link.mass_kg *= 2.0;
    robot.legs[3].joints[2].link.inertia_kgm2 *= 1e4;
    let Soundness { reasons, doubts } = robot.soundness();
    assert_eq!(reasons, Vec::<String>::new());
    assert_eq!(doubts.len(), 2, "{doubts:?}");
    assert!(doubts[0].starts_with("legs FL and FR weigh "), "{doubts:?}");
    assert!(
        doubts[1].starts_with("the inertia of `RR_calf` is "),
        "{doubts:?}"
    );
}
