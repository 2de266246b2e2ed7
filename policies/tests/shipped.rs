//! The networks that are shipped know what they were trained for.

use std::path::Path;

use nalgebra::Vector3;
use policies::{Bundle, GoalYaw, Layout, ObservationInput, ReachAvoidValue, Twist};
use robots::{Robot, RobotState};

struct Probe {
    robot: Robot,
    layout: Layout,
    num_rays: usize,
    value: ReachAvoidValue,
}

impl Probe {
    /// Value of a level robot at a forward speed, with the goal at (x, y) in the yaw frame and all rays of a length.
    fn value(&mut self, vx_mps: f32, goal_m: [f32; 2], ray_m: f32) -> f32 {
        let mut state = RobotState::zero(self.robot.num_joints(), self.robot.num_feet());
        state.linear_velocity_base = Vector3::new(vx_mps, 0.0, 0.0);
        let mut row = vec![0.0; self.layout.dim()];
        let input = ObservationInput {
            state: &state,
            foot_contact: &[],
            goal: GoalYaw {
                x_m: goal_m[0],
                y_m: goal_m[1],
                heading_error_rad: 0.0,
            },
            time_left_s: 5.0,
            twist: Twist::default(),
            previous_action: &[],
            ray_distance_m: &vec![ray_m; self.num_rays],
            // Nothing moves.
            previous_ray_distance_m: &vec![ray_m; self.num_rays],
            reality: &[],
        };
        self.layout.write(&input, &mut row);
        self.value.value(&row)
    }
}

/// The probe states of the method (section 7).
#[test]
fn the_values_know_an_open_field_from_a_wall() {
    for name in ["go1", "go2", "go1-paper", "anymal_b"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bundles");
        let bundle = Bundle::load(&folder.join(name)).unwrap();
        let robot = bundle.robot().unwrap();
        let (value, layout) = bundle.reach_avoid(&robot).unwrap();
        let threshold = bundle.switch().threshold;
        let mut probe = Probe {
            value,
            layout,
            num_rays: bundle.spec.rays.count,
            robot,
        };
        for speed_mps in [0.0, 1.0, 2.5] {
            let open_field = probe.value(speed_mps, [5.0, 0.0], 6.0);
            assert!(
                open_field < threshold,
                "{name}, {speed_mps} m/s: {open_field}"
            );
        }
        let wall = probe.value(5.0, [5.0, 0.0], 0.6);
        assert!(wall > 0.0, "{name}: {wall}");
        for side in [-1.0, 1.0] {
            let free_turn = probe.value(0.5, [0.5, 3.0 * side], 6.0);
            assert!(free_turn < 0.0, "{name}: {free_turn}");
        }
    }
}
