//! Whatever comes in: the command is finite and never jumps.

use proptest::prelude::*;

use super::*;

/// What may happen to the input of a cycle.
#[derive(Clone, Debug)]
enum Corruption {
    Nothing,
    Position(usize, f32),
    Velocity(usize, f32),
    Gyroscope(f32),
    Accelerometer(f32),
    Orientation([f32; 4]),
    Odometry([f32; 3]),
    Ray(usize, f32),
    Goal([f32; 2]),
    Late(u64),
    Request(Request),
    Buttons(u16),
    Publisher(u8),
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -3.0f32..3.0, 2 => -100.0f32..100.0, 1 => any::<f32>()]
}

fn corruption() -> impl Strategy<Value = Corruption> {
    use Corruption as C;
    prop_oneof![
        8 => Just(C::Nothing),
        3 => (0usize..12, number()).prop_map(|(joint, value)| C::Position(joint, value)),
        3 => (0usize..12, number()).prop_map(|(joint, value)| C::Velocity(joint, value)),
        1 => number().prop_map(C::Gyroscope),
        1 => number().prop_map(C::Accelerometer),
        1 => prop::array::uniform4(number()).prop_map(C::Orientation),
        1 => prop::array::uniform3(number()).prop_map(C::Odometry),
        1 => (0usize..11, number()).prop_map(|(ray, value)| C::Ray(ray, value)),
        1 => prop::array::uniform2(number()).prop_map(C::Goal),
        1 => (0u64..40).prop_map(C::Late),
        4 => (0usize..5).prop_map(|index| C::Request(Request::ALL[index])),
        1 => any::<u16>().prop_map(C::Buttons),
        1 => (0u8..3).prop_map(C::Publisher),
    ]
}

impl Corruption {
    fn apply(&self, input: &mut CycleInput) {
        match *self {
            Self::Nothing => {}
            Self::Position(joint, value) => input.robot.joint_position_rad[joint] += value,
            Self::Velocity(joint, value) => input.robot.joint_velocity_radps[joint] = value,
            Self::Gyroscope(value) => input.robot.imu_gyroscope_radps.y = value,
            Self::Accelerometer(value) => input.robot.imu_accelerometer_mps2.x = value,
            Self::Orientation(value) => input.robot.imu_orientation_wxyz = value,
            Self::Odometry(value) => input.odometry.position_world = value.into(),
            Self::Ray(ray, value) => input.scan.scan.distance_m[ray] = value,
            Self::Goal(value) => {
                input.goal.goal.position_world = value.into();
                input.goal.received_ns = input.time_ns;
            }
            Self::Late(cycles) => {
                input.robot.received_ns = input.robot.received_ns.saturating_sub(CYCLE_NS * cycles);
            }
            Self::Request(request) => input.requests.insert(request),
            Self::Buttons(buttons) => input.robot.remote_buttons = buttons,
            Self::Publisher(publisher) => input.robot.publisher = publisher,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_input_makes_a_command_that_jumps_or_is_no_number(
        runs in any::<bool>(),
        corruptions in prop::collection::vec(corruption(), 20..200),
    ) {
        let mut rig = if runs { Rig::running() } else { Rig::ready() };
        let robot = Robot::load("go1").unwrap();
        let mut previous = rig.record.command.clone();
        for corruption in &corruptions {
            rig.cycle_with(|input| corruption.apply(input));
            let command = &rig.record.command;
            prop_assert_eq!(command.joints.len(), 12);
            for ((new, old), joint) in command.joints.iter().zip(&previous.joints).zip(robot.joints()) {
                let numbers = [new.position_rad, new.stiffness, new.damping, new.effort_nm, new.velocity_radps];
                prop_assert!(numbers.iter().all(|value| value.is_finite()), "{corruption:?}: {new:?}");
                prop_assert!((0.0..=60.0).contains(&new.stiffness) && (0.5..=3.0).contains(&new.damping));
                if new.stiffness > 0.0 && old.stiffness > 0.0 {
                    let allowed_rad = 4.0 * joint.velocity_limit_radps * 0.01 + 1e-4;
                    let step_rad = (new.position_rad - old.position_rad).abs();
                    prop_assert!(step_rad <= allowed_rad, "{corruption:?}: {step_rad}");
                }
            }
            previous = command.clone();
        }
    }
}
