//! From the learner to the robot: what was learned is what the controller commands.

use std::sync::Arc;

use controller::{Controller, ControllerConfig, Method};
use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};
use policies::{
    Bundle, Goal, GoalYaw, Layout, ObservationInput, PolicySpec, RayScan, RaySpec, Twist,
    observation::terms,
    spec::{NetworkSpec, Provenance, role},
};
use robots::{Robot, RobotState};
use sim::engine::EngineKind;
use tests::small_agile_learner;

#[test]
fn the_controller_commands_what_the_learner_learned() {
    let robot = Arc::new(Robot::load("go1").unwrap());
    let rays = RaySpec::default();
    let layout = Layout::new(&terms::agile(&rays), &robot.as_ref().into(), &rays).unwrap();
    for engine in [EngineKind::Batch, EngineKind::Rapier] {
        let mut learner = small_agile_learner(&robot, engine);
        let before = learner.actor_layers();
        learner.iterate().unwrap();
        assert_ne!(
            before,
            learner.actor_layers(),
            "an iteration changes the policy"
        );

        let mut bundle = Bundle::new(PolicySpec::new(&robot, &rays, 0.02));
        let scale = robot.control.action_scale;
        let terms = terms::agile(&rays);
        let spec = NetworkSpec::policy(role::AGILE, terms, scale, Provenance::default());
        bundle
            .insert(role::AGILE, spec, learner.actor_layers())
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        bundle.save(folder.path()).unwrap();
        let bundle = Bundle::load(folder.path()).unwrap();
        let mut controller = Controller::new(
            &robot,
            &bundle,
            Method::agile(),
            &ControllerConfig::default(),
        )
        .unwrap();

        let mut state = RobotState::zero(robot.num_joints(), robot.num_feet());
        state.position_world = Point3::new(0.3, -0.2, 0.3);
        state.orientation = UnitQuaternion::from_euler_angles(0.05, -0.1, 0.7);
        state.angular_velocity_base = Vector3::new(0.3, -0.2, 0.5);
        state.joint_position_rad = robot
            .control
            .standing_position_rad
            .iter()
            .copied()
            .collect();
        state.foot_contact[1] = true;
        let goal = Goal {
            position_world: Point2::new(5.0, 1.0),
            heading_rad: 0.2,
        };
        let mut scan = RayScan::clear(&rays);
        scan.distance_m[4] = 1.5;

        let mut observation = vec![0.0; layout.dim()];
        layout.write(
            &ObservationInput {
                state: &state,
                foot_contact: &state.foot_contact,
                goal: GoalYaw::new(&state, &goal),
                time_left_s: 6.0,
                twist: Twist::default(),
                previous_action: &[0.0; 12],
                ray_distance_m: &scan.distance_m,
                previous_ray_distance_m: &[],
                reality: &[],
            },
            &mut observation,
        );
        let actions = learner.mean_actions(&observation);
        let target = controller.step(&state, &scan, &goal, 6.0);
        let default = &robot.control.default_position_rad;
        for joint in 0..12 {
            let expected = default[joint] + robot.control.action_scale * actions[joint];
            let commanded = target.position_rad[joint];
            assert!(
                (commanded - expected).abs() < 1e-5,
                "joint {joint}: {commanded} {expected}"
            );
        }
    }
}
