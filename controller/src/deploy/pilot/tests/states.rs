use super::*;

#[test]
fn a_run_ends_when_its_time_is_up_and_a_new_goal_extends_it() {
    let mut rig = Rig::running();
    assert_eq!(rig.record.status.mode, Some(crate::Mode::Agile));
    assert_eq!(rig.cycles(2380), State::Run);
    assert!(rig.record.status.time_left_s < 0.05);
    // After nearly 5 s a new goal arrives.
    let goal = GoalSample {
        received_ns: rig.record.input.time_ns,
        duration_s: 1.0,
        ..rig.record.input.goal.clone()
    };
    rig.record.input.goal = goal;
    assert_eq!(rig.cycles(490), State::Run);
    assert_eq!(rig.cycles(20), State::Stop);
    assert_eq!(rig.record.status.mode, Some(crate::Mode::Recovery));
    assert_eq!(rig.cycles(300), State::Ready);
    assert_eq!(rig.record.status.mode, None);
}

#[test]
fn a_policy_acts_every_tenth_cycle_and_its_target_is_held() {
    let mut rig = Rig::ready();
    rig.request(Request::Start);
    let first = rig.record.command.clone();
    let mut changes = Vec::new();
    let mut last = first;
    for cycle in 1..=40 {
        // This robot is where it is commanded, so only the rotation changes the observation.
        rig.cycle_with(|input| input.robot.imu_gyroscope_radps.z = 0.01 * cycle as f32);
        if rig.record.command.joints != last.joints {
            changes.push(cycle);
        }
        last = rig.record.command.clone();
    }
    assert_eq!(changes, [10, 20, 30, 40]);
    let robot = Robot::load("go1").unwrap();
    assert_eq!(last.joints[0].stiffness, robot.control.stiffness[0]);
}

#[test]
fn rays_that_end_behind_the_goal_are_shortened_as_in_training() {
    let mut rig = Rig::ready();
    rig.record.input.goal.goal.position_world = Point2::new(1.0, 0.0);
    rig.record.input.scan.scan.distance_m[..3].fill(0.8);
    assert_eq!(rig.request(Request::Start), State::Run);
    let observed = &rig.pilot.rays.observed.distance_m;
    assert_eq!(observed[..3], [0.8; 3]);
    assert!(
        observed[3..].iter().all(|ray| (1.2..6.0).contains(ray)),
        "{observed:?}"
    );
    assert_eq!(rig.record.status.rays.distance_m[3..], [6.0; 8]);
}

#[test]
fn rays_outside_of_the_cameras_view_come_from_past_images() {
    let (mut rig, robot) = (Rig::new(), Robot::load("go1").unwrap());
    let fan = RaySpec {
        count: 27,
        first_rad: -117_f32.to_radians(),
        last_rad: 117_f32.to_radians(),
        ..RaySpec::default()
    };
    let camera = RaySpec::default();
    let mut bundle = bundle_with(&robot, &fan);
    let spec = NetworkSpec::rays(&camera, Vec::new(), Provenance::default());
    bundle.insert(role::RAYS, spec, Vec::new()).unwrap();
    let (controller, config) = (ControllerConfig::default(), config());
    rig.pilot = Pilot::new(&robot, &bundle, &controller, &config).unwrap();
    let mut seen = RayScan::clear(&camera);
    seen.distance_m[10] = 1.0;
    rig.cycle_with(|input| input.scan.scan = seen);
    let rays = &rig.record.status.rays.distance_m;
    assert_eq!((rays.len(), rays[18]), (27, 1.0));
    // An eighth of a turn to the right: what was 45 degrees to the left is now 90.
    let half_rad = -22.5_f32.to_radians();
    rig.cycle_with(|input| {
        input.robot.imu_orientation_wxyz = [half_rad.cos(), 0.0, 0.0, half_rad.sin()];
        input.scan.scan = RayScan::clear(&camera);
    });
    let rays = &rig.record.status.rays.distance_m;
    let nearest = |rays: &[f32]| rays.iter().copied().fold(f32::INFINITY, f32::min);
    assert!((rays[23] - 1.0).abs() < 0.1, "{rays:?}");
    assert_eq!(nearest(&rays[..18]), 6.0);

    // A scanner that covers all rays needs no memory; any other number of rays is a fault.
    rig.cycle_with(|input| input.scan.scan = RayScan::clear(&fan));
    assert_eq!(nearest(&rig.record.status.rays.distance_m), 6.0);
    rig.cycle_with(|input| input.scan.scan.distance_m.clear());
    assert!(rig.record.status.faults.contains(Fault::Shape));
}

#[test]
fn the_command_sent_to_the_motors_is_limited() {
    // One calf is blocked half way while the robot lies down.
    let mut rig = Rig::ready();
    rig.request(Request::LieDown);
    let mut limited = false;
    for _ in 0..740 {
        rig.cycle_with(|input| {
            let position_rad = &mut input.robot.joint_position_rad[2];
            *position_rad = position_rad.max(-1.8);
        });
        limited |= rig.record.status.limited.effort;
        let joint = rig.record.command.joints[2];
        // The calf motor of a Go1 has 35.55 N·m, and a quarter more may be asked for.
        let effort_nm = joint.stiffness
            * (joint.position_rad - rig.record.status.estimate.joint_position_rad[2]);
        assert!(effort_nm.abs() <= 1.25 * 35.55 + 1e-2, "{effort_nm}");
    }
    assert!(limited);
}
