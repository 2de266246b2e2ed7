use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

use controller::{
    ControllerConfig, Method,
    deploy::{
        CYCLE_NS, CYCLES_PER_POLICY_STEP, ControlPort, CycleRecord, DeployConfig, Fault, LinkPort,
        OperatorSource, Pilot, RobotSample, TwistSample, ports,
    },
};
use nalgebra::{Point3, UnitQuaternion, Vector3};
use policies::Bundle;
use robots::Robot;

use super::*;

const MS: u64 = 1_000_000;
const RANGE: TwistRange = TwistRange {
    vx_mps: [-1.0, 2.0],
    vy_mps: [-0.8, 0.8],
    yaw_rate_radps: [-2.0, 2.0],
};

fn status(state: State) -> Status {
    Status {
        state,
        ..Status::default()
    }
}

fn held(forward: f32, left: f32, turn_left: f32) -> GamepadState {
    GamepadState {
        forward,
        left,
        turn_left,
        down: button::L1,
        pressed: 0,
    }
}

/// Events of a gamepad by a script, one every 20 ms.
struct Script {
    drive: Drive,
    now_ns: u64,
    status: Status,
}

impl Script {
    /// A gamepad that was found, and is held by nobody yet.
    fn new(range: Option<TwistRange>) -> Self {
        let drive = Drive::new(&DriveConfig::default(), range, 4.0, 9.0, true);
        let mut script = Self {
            drive,
            now_ns: 1_000 * MS,
            status: status(State::Run),
        };
        script.event(GamepadEvent::Found("test".to_owned()));
        script.state(GamepadState::default());
        script
    }

    fn event(&mut self, event: GamepadEvent) -> Intent {
        self.now_ns += 20 * MS;
        self.drive.take(event, self.now_ns);
        self.drive.intent(self.now_ns, &self.status)
    }

    fn state(&mut self, state: GamepadState) -> Intent {
        self.event(GamepadEvent::State(state))
    }

    fn twist(&mut self, state: GamepadState) -> [f32; 3] {
        let twist = self.state(state).twist.unwrap();
        [twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps]
    }

    /// The requests while these buttons are down for 100 ms.
    fn requests(&mut self, down: u16) -> RequestSet {
        let mut requests = RequestSet::default();
        for _ in 0..5 {
            let state = GamepadState {
                down,
                ..GamepadState::default()
            };
            requests = requests.union(self.state(state).requests);
        }
        self.state(GamepadState::default());
        requests
    }
}

#[test]
fn sticks_command_the_range_of_the_policy_while_the_button_is_held() {
    let mut script = Script::new(Some(RANGE));
    assert_eq!(script.twist(held(1.0, 1.0, 1.0)), [2.0, 0.8, 2.0]);
    assert_eq!(script.twist(held(-1.0, -1.0, -1.0)), [-1.0, -0.8, -2.0]);
    // The deadband is 0.12: in the middle between it and the end.
    let [vx_mps, ..] = script.twist(held(0.56, 0.0, 0.0));
    assert!((vx_mps - 1.0).abs() < 1e-5, "{vx_mps}");
    assert_eq!(script.twist(held(0.11, -0.11, 0.11)), [0.0; 3], "centre");
    let released = GamepadState {
        down: 0,
        ..held(1.0, 0.0, 0.0)
    };
    assert_eq!(script.twist(released), [0.0; 3], "released");
}

#[test]
fn sticks_that_are_nowhere_are_refused() {
    let mut script = Script::new(Some(RANGE));
    for wrong in [f32::NAN, f32::INFINITY, 1.01, -7.0] {
        assert_eq!(script.twist(held(wrong, 0.0, 0.0)), [0.0; 3], "{wrong}");
        assert_eq!(script.twist(held(1.0, 0.0, wrong)), [0.0; 3], "{wrong}");
        assert_eq!(script.twist(held(1.0, 0.0, 0.0)), [2.0, 0.0, 0.0]);
    }
}

#[test]
fn a_button_that_is_held_when_a_gamepad_comes_has_to_be_released_first() {
    let mut script = Script::new(Some(RANGE));
    let found = || GamepadEvent::Found("again".to_owned());
    script.event(found());
    assert_eq!(script.twist(held(1.0, 0.0, 0.0)), [0.0; 3]);
    script.state(GamepadState::default());
    assert_eq!(script.twist(held(1.0, 0.0, 0.0)), [2.0, 0.0, 0.0]);
}

#[test]
fn a_gamepad_that_is_lost_or_falls_silent_halts_and_is_not_heard() {
    let mut script = Script::new(Some(RANGE));
    let before = script.state(held(1.0, 0.0, 0.0));
    assert_eq!(before.heard_ns, script.now_ns);
    let lost = script.event(GamepadEvent::Lost("No such device".to_owned()));
    assert_eq!(lost.twist, Some(Twist::default()));
    assert_eq!(lost.heard_ns, before.heard_ns);
    assert_eq!(lost.lines, ["warning: the gamepad is lost: No such device"]);

    // Its thread says nothing.
    let mut script = Script::new(Some(RANGE));
    let before = script.state(held(1.0, 0.0, 0.0));
    let late_ns = script.now_ns + 201 * MS;
    let late = script.drive.intent(late_ns, &script.status);
    assert_eq!(late.twist, Some(Twist::default()));
    assert_eq!(late.heard_ns, before.heard_ns);

    // A receiver repeats the last state of a gamepad that is out of range.
    let mut script = Script::new(Some(RANGE));
    let start_ns = script.now_ns;
    let frozen = held(1.0, 0.0, 0.0);
    while script.twist(frozen) != [0.0; 3] {
        assert!(script.now_ns < start_ns + 6000 * MS);
    }
    assert!(script.now_ns > start_ns + 5000 * MS);
    let silent = script.state(frozen);
    assert!(silent.heard_ns < script.now_ns - 5000 * MS);
    // It was a steady hand.
    assert_eq!(script.twist(held(0.99, 0.0, 0.0))[1..], [0.0; 2]);
    let moved = script.state(held(1.0, 0.0, 0.0));
    assert_eq!(moved.heard_ns, script.now_ns);
    // At rest there is nothing to be heard.
    for _ in 0..500 {
        let rest = script.state(GamepadState::default());
        assert_eq!(rest.heard_ns, script.now_ns);
    }
}

#[test]
fn buttons_make_requests_and_only_go_needs_the_dead_man_button() {
    let mut script = Script::new(Some(RANGE));
    let most_urgent = |script: &mut Script, down| script.requests(down).most_urgent();
    use button::{A, B, L1, L2, SELECT, START, X};
    for (down, request) in [
        (L2 | A, Request::Stand),
        (L2 | X, Request::LieDown),
        (B, Request::Stop),
        (SELECT, Request::Stop),
        (L1 | B, Request::Stop),
        (L2 | B, Request::EmergencyStop),
        (L1 | START, Request::Start),
        // Whatever else is pressed.
        (L1 | START | B, Request::Stop),
        (L1 | L2 | START | A | B | X, Request::EmergencyStop),
    ] {
        assert_eq!(most_urgent(&mut script, down), Some(request), "{down:#b}");
    }
    assert_eq!(most_urgent(&mut script, START), None, "not held");
    for nothing in [A, X, L1, L2, L1 | A] {
        assert_eq!(most_urgent(&mut script, nothing), None, "{nothing:#b}");
    }
    // L2 is left first: the emergency stop is not acknowledged.
    let emergency = script.requests(L2 | B);
    assert!(!emergency.contains(Request::Stop));
    for (down, is_stop) in [(L2 | B, false), (B, false), (0, false), (B, true)] {
        let state = GamepadState {
            down,
            ..GamepadState::default()
        };
        let requests = script.state(state).requests;
        assert_eq!(requests.contains(Request::Stop), is_stop, "{down:#b}");
    }
    script.state(GamepadState::default());
    // A stop that was pressed and released between two looks.
    let tap = GamepadState {
        pressed: B,
        ..GamepadState::default()
    };
    assert!(script.state(tap).requests.contains(Request::Stop));
    let after = script.state(GamepadState::default());
    assert_eq!(after.requests, RequestSet::default());
}

#[test]
fn a_stick_places_a_goal_near_the_robot_and_start_goes_there() {
    let mut script = Script::new(None);
    script.status = status(State::Ready);
    let estimate = &mut script.status.estimate;
    estimate.position_world = Point3::new(1.0, 2.0, 0.3);
    estimate.orientation = UnitQuaternion::from_euler_angles(0.0, 0.0, FRAC_PI_2);
    let start = |script: &mut Script, forward, left| {
        script.state(GamepadState::default());
        let pressed = GamepadState {
            down: button::L1 | button::START,
            ..held(forward, left, 0.0)
        };
        // Held for 50 ms.
        for _ in 0..3 {
            script.state(held(forward, left, 0.0));
        }
        (0..5)
            .map(|_| script.state(pressed))
            .find(|intent| intent.goal.is_some() || intent.requests.contains(Request::Start))
    };
    // `goal_m` is 5, but no goal may be farther than 4 m here.
    let ahead = start(&mut script, 1.0, 0.0).unwrap();
    let sample = ahead.goal.clone().unwrap();
    assert_eq!(sample.duration_s, 9.0);
    let goal = sample.goal;
    assert!((goal.position_world - Point2::new(1.0, 6.0)).norm() < 1e-5);
    assert!((goal.heading_rad - FRAC_PI_2).abs() < 1e-5);
    assert_eq!((ahead.twist, ahead.requests), (None, RequestSet::default()));
    // The corner of a square gate is no farther.
    let goal = start(&mut script, 1.0, 1.0).unwrap().goal.unwrap().goal;
    let way = goal.position_world - Point2::new(1.0, 2.0);
    assert!((way.norm() - 4.0).abs() < 1e-5, "{way}");
    assert!((goal.heading_rad - FRAC_PI_2 - FRAC_PI_4).abs() < 1e-5);
    // The stick at its centre: to the goal that there is.
    let there = start(&mut script, 0.0, 0.0).unwrap();
    assert!(there.goal.is_none() && there.requests.contains(Request::Start));

    script.status.state = State::Run;
    let running = script.state(held(0.0, 0.0, 0.0));
    assert_eq!(running.requests, RequestSet::default());
    assert!(script.drive.may_start(script.now_ns));
    let released = script.state(GamepadState::default());
    assert_eq!(released.requests.most_urgent(), Some(Request::Stop));
    assert!(!script.drive.may_start(script.now_ns));
    script.state(held(0.0, 0.0, 0.0));
    let lost = script.event(GamepadEvent::Lost(String::new()));
    assert_eq!(lost.requests.most_urgent(), Some(Request::Stop));
}

#[test]
fn keys_change_the_twist_step_by_step_within_the_range_while_the_robot_runs() {
    let mut drive = Drive::new(&DriveConfig::default(), Some(RANGE), 10.0, 9.0, false);
    let (ready, run) = (status(State::Ready), status(State::Run));
    let twist = |drive: &mut Drive, status: &Status| {
        let twist = drive.intent(0, status).twist.unwrap();
        [twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps]
    };
    drive.press(Key::Up, &ready);
    assert_eq!(twist(&mut drive, &ready), [0.0; 3], "it does not run");
    for key in [Key::Up, Key::Up, Key::Left, Key::Char(b'.')] {
        drive.press(key, &run);
    }
    assert_eq!(twist(&mut drive, &run), [0.2, -0.1, 0.2]);
    for _ in 0..100 {
        drive.press(Key::Down, &run);
        drive.press(Key::Right, &run);
    }
    assert_eq!(twist(&mut drive, &run), [-1.0, -0.1, -2.0]);
    drive.press(Key::Up, &run);
    assert_eq!(twist(&mut drive, &run), [-9.0 * 0.1, -0.1, -2.0]);
    drive.press(Key::Char(b'0'), &run);
    assert_eq!(twist(&mut drive, &run), [0.0; 3]);
    // What was commanded before a stop is not commanded after it.
    drive.press(Key::Up, &run);
    twist(&mut drive, &ready);
    assert_eq!(twist(&mut drive, &run), [0.0; 3]);
}

/// A pilot with the policy that follows twists, driven by the script of a gamepad.
struct Driven {
    script: Script,
    pilot: Pilot,
    link: LinkPort,
    port: ControlPort,
    record: CycleRecord,
}

impl Driven {
    /// Runs.
    fn new() -> Self {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../policies/bundles/go1-velocity"
        );
        let (robot, bundle) = (
            Robot::load("go1").unwrap(),
            Bundle::load(folder.as_ref()).unwrap(),
        );
        let config = DeployConfig {
            method: "velocity".parse::<Method>().unwrap(),
            ..DeployConfig::default()
        };
        let pilot = Pilot::new(&robot, &bundle, &ControllerConfig::default(), &config).unwrap();
        assert_eq!(pilot.twist_range(), Some(&RANGE));
        let (link, port) = ports(1);
        let mut record = CycleRecord::default();
        record.input.time_ns = 1_000 * MS;
        let mut driven = Self {
            script: Script::new(Some(RANGE)),
            pilot,
            link,
            port,
            record,
        };
        driven.cycles(10, None);
        driven.link.operator.request(Request::Stand);
        driven.cycles(1010, Some(GamepadState::default()));
        driven.link.operator.request(Request::Start);
        driven.cycles(1, Some(GamepadState::default()));
        assert_eq!(driven.state(), State::Run);
        driven
    }

    fn state(&self) -> State {
        self.record.status.state
    }

    /// Cycles of a robot whose joints are where they are commanded, and that sees nothing. The console wakes every 20 ms, with
    /// this state of the gamepad.
    fn cycles(&mut self, count: u32, state: Option<GamepadState>) {
        for cycle in 0..count {
            self.record.input.time_ns += CYCLE_NS;
            let now_ns = self.record.input.time_ns;
            if cycle % 10 == 0 {
                self.script.now_ns = now_ns;
                if let Some(state) = state {
                    self.script.drive.take(GamepadEvent::State(state), now_ns);
                }
                self.console(now_ns);
            }
            let commanded = &self.record.command.joints;
            let position = |joint: usize| match commanded.get(joint) {
                Some(command) if command.stiffness > 0.0 => command.position_rad,
                _ => [0.0, 1.2, -2.4][joint % 3],
            };
            self.link.robot.write(RobotSample {
                received_ns: now_ns,
                tick: self.record.input.cycle as u32 + 1,
                crc_ok: true,
                joint_position_rad: (0..12).map(position).collect(),
                joint_velocity_radps: [0.0; 12].into_iter().collect(),
                joint_torque_nm: [0.0; 12].into_iter().collect(),
                imu_orientation_wxyz: [1.0, 0.0, 0.0, 0.0],
                imu_accelerometer_mps2: Vector3::new(0.0, 0.0, 9.81),
                ..RobotSample::default()
            });
            self.link.heartbeat.beat(now_ns);
            self.port.read(&mut self.record.input);
            self.pilot.cycle(&mut self.record);
            self.record.input.cycle += 1;
        }
    }

    fn console(&mut self, now_ns: u64) {
        let intent = self.script.drive.intent(now_ns, &self.record.status);
        if let Some(twist) = intent.twist {
            self.link.twist.write(TwistSample {
                received_ns: now_ns,
                twist,
            });
        }
        let operator = &self.link.operator;
        operator.heartbeat(OperatorSource::Gamepad, intent.heard_ns);
        intent
            .requests
            .iter()
            .for_each(|request| operator.request(request));
    }

    fn vx_mps(&self) -> f32 {
        self.record.status.twist.unwrap().vx_mps
    }
}

#[test]
fn a_released_button_commands_rest_within_a_policy_step() {
    let mut driven = Driven::new();
    driven.cycles(100, Some(held(1.0, 0.0, 0.0)));
    assert_eq!(driven.vx_mps(), 2.0);
    let released = GamepadState {
        down: 0,
        ..held(1.0, 0.0, 0.0)
    };
    driven.cycles(CYCLES_PER_POLICY_STEP, Some(released));
    assert_eq!((driven.state(), driven.vx_mps()), (State::Run, 0.0));
}

#[test]
fn an_unplugged_gamepad_is_a_lost_operator_and_another_one_drives_on() {
    let mut driven = Driven::new();
    driven.cycles(100, Some(held(1.0, 0.0, 0.0)));
    let now_ns = driven.record.input.time_ns;
    let lost = GamepadEvent::Lost("No such device".to_owned());
    driven.script.drive.take(lost, now_ns);
    driven.cycles(CYCLES_PER_POLICY_STEP, None);
    assert_eq!((driven.state(), driven.vx_mps()), (State::Run, 0.0));
    driven.cycles(500, None);
    assert_eq!(driven.state(), State::StopThenLieDown);
    let latched = driven.record.status.latched_faults;
    assert!(latched.contains(Fault::LostOperator), "{latched}");
    driven.cycles(1100, None);
    assert_eq!(driven.state(), State::Damping, "never an exit");

    let found = GamepadEvent::Found("another".to_owned());
    driven.script.drive.take(found, driven.record.input.time_ns);
    driven.cycles(10, Some(GamepadState::default()));
    let press = |driven: &mut Driven, down| {
        let state = GamepadState {
            down,
            ..GamepadState::default()
        };
        driven.cycles(50, Some(state));
        driven.cycles(1000, Some(GamepadState::default()));
        driven.state()
    };
    assert_eq!(press(&mut driven, button::L2 | button::A), State::Ready);
    let held_start = button::L1 | button::START;
    assert_eq!(press(&mut driven, held_start), State::Run);
    assert_eq!(press(&mut driven, button::B), State::Ready);
    assert_eq!(press(&mut driven, held_start), State::Run);
    // With everything pressed and held, the emergency stop counts.
    assert_eq!(press(&mut driven, u16::MAX), State::Fault);
}
