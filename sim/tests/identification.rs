//! Motors of simulated robots on a stand, driven by the pilot of `abs deploy --identify` and identified from its cycles, without
//! wall clock and network.

use controller::{
    ControllerConfig, Method,
    deploy::{CYCLE_NS, CycleRecord, DeployConfig, Pilot, Request, RequestSet, RobotSample, State},
    identification::{Identification, IdentificationError, Recording},
};
use nalgebra::Vector3;
use policies::Bundle;
use robots::Robot;
use sim::{
    engine::{EngineKind, EpisodeStart, MotorRobot, MotorTarget, PhysicsConfig},
    reality::RealityConfig,
};

const LEG: [&str; 3] = ["FL_hip_joint", "FL_thigh_joint", "FL_calf_joint"];

fn robot() -> Robot {
    Robot::load("go1").expect("go1")
}

fn deploy(joints: &[&str]) -> DeployConfig {
    let mut config = DeployConfig {
        method: Method::agile(),
        ..DeployConfig::default()
    };
    config.identify.enabled = true;
    // Short, to be fast.
    config.identify.chirp_s = 8.0;
    config.identify.first_hz = 0.2;
    config.identify.joints = joints.iter().map(|&name| name.to_owned()).collect();
    config
}

/// A robot whose motors are as `reality` says, and the pilot that drives it.
struct Stand {
    simulated: MotorRobot,
    pilot: Pilot,
    record: CycleRecord,
    time_ns: u64,
}

impl Stand {
    fn new(
        engine: EngineKind,
        config: &DeployConfig,
        reality: &RealityConfig,
        start: &EpisodeStart,
    ) -> Self {
        Self::of(&robot(), engine, config, reality, start)
    }

    fn of(
        simulated: &Robot,
        engine: EngineKind,
        config: &DeployConfig,
        reality: &RealityConfig,
        start: &EpisodeStart,
    ) -> Self {
        let robot = robot();
        let physics = PhysicsConfig {
            step_s: 2.5e-4,
            decimation: 8,
            ..PhysicsConfig::default()
        };
        let simulated = MotorRobot::with_engine(engine, simulated, &physics).expect("robot");
        let mut simulated = simulated.with_reality(reality, 3);
        simulated.reset(start).expect("scene");
        let bundle = Bundle::load("../policies/bundles/go1".as_ref()).expect("bundle");
        let pilot =
            Pilot::new(&robot, &bundle, &ControllerConfig::default(), config).expect("pilot");
        Self {
            simulated,
            pilot,
            record: CycleRecord::default(),
            time_ns: 1_000_000_000,
        }
    }

    /// One cycle: what is measured goes in, and the motors take the command for the next 2 ms.
    fn cycle(&mut self, request: Option<Request>) -> &CycleRecord {
        self.time_ns += CYCLE_NS;
        let now_ns = self.time_ns;
        let (measured, physics) = (self.simulated.measured(), self.simulated.physics());
        let [i, j, k, w] = measured.orientation.coords.into();
        let input = &mut self.record.input;
        input.requests = RequestSet::default();
        if let Some(request) = request {
            input.requests.insert(request);
        }
        input.cycle += 1;
        input.time_ns = now_ns;
        input.link_alive_ns = now_ns;
        input.robot = RobotSample {
            received_ns: now_ns,
            tick: (now_ns / 1_000_000) as u32,
            crc_ok: true,
            joint_position_rad: measured.joint_position_rad.clone(),
            joint_velocity_radps: measured.joint_velocity_radps.clone(),
            joint_torque_nm: measured.joint_torque_nm.clone(),
            imu_orientation_wxyz: [w, i, j, k],
            imu_gyroscope_radps: measured.angular_velocity_base,
            imu_accelerometer_mps2: self.simulated.accelerometer_mps2(),
            foot_force: physics.foot_force_world.iter().map(Vector3::norm).collect(),
            ..RobotSample::default()
        };
        self.pilot.cycle(&mut self.record);
        let joints = self.record.command.joints.iter();
        let targets: Vec<_> = joints
            .map(|joint| MotorTarget {
                position_rad: joint.position_rad,
                velocity_radps: joint.velocity_radps,
                torque_nm: joint.effort_nm,
                stiffness: joint.stiffness,
                damping: joint.damping,
            })
            .collect();
        self.simulated.step(&targets);
        &self.record
    }

    /// Stands up, drives the joints, lies down; at most for so many cycles.
    fn record(&mut self, config: &DeployConfig, most_cycles: usize) -> Recording {
        let mut recording = Recording::new(&robot(), config).expect("recording");
        let (mut state, mut has_run) = (State::Damping, false);
        for _ in 0..most_cycles {
            let request = match state {
                State::Damping if has_run => break,
                State::Damping => Some(Request::Stand),
                State::Ready => Some(Request::Start),
                _ => None,
            };
            let record = self.cycle(request);
            state = record.status.state;
            has_run |= state == State::Run;
            assert!(record.status.faults.is_empty() || state != State::Fault);
            recording.push(record);
        }
        recording
    }
}

fn identify(
    engine: EngineKind,
    reality: &RealityConfig,
    start: &EpisodeStart,
) -> Result<Identification, IdentificationError> {
    let config = deploy(&LEG);
    let mut stand = Stand::new(engine, &config, reality, start);
    stand.record(&config, usize::MAX).identify()
}

fn check(engine: EngineKind, delay_ms: [f32; 2], armature_factor: f32, bias_rad: f32) {
    let reality = RealityConfig {
        target_delay_ms: [delay_ms[0]; 2],
        proprioception_delay_ms: [delay_ms[1]; 2],
        armature_factor: [armature_factor; 2],
        joint_friction_nm: [0.15; 2],
        joint_damping_nms: [0.04; 2],
        joint_bias_rad: [bias_rad; 2],
        // Half a milliradian, more than an encoder has.
        noise: 0.05,
        ..RealityConfig::default()
    };
    let robot = robot();
    let found = identify(engine, &reality, &EpisodeStart::on_stand(&robot)).expect("identified");
    for joint in &found.joints {
        // Shown where a bound fails.
        println!("{engine} {joint:?}");
    }
    assert_eq!((found.joints.len(), found.missing.len()), (3, 0));
    for (found, joint) in found.joints.iter().zip(robot.joints()) {
        let name = &joint.name;
        let delay_s = 1e-3 * f64::from(delay_ms[0] + delay_ms[1]);
        let delay = found.delay_s;
        assert!((delay.value - delay_s).abs() < 0.002, "{name}: {delay:?}");
        assert!(delay.contains(delay_s), "{name}: {delay:?}");
        let armature_kgm2 = f64::from(armature_factor * joint.armature_kgm2);
        let armature = found.armature_kgm2;
        let error = armature.value / armature_kgm2 - 1.0;
        assert!(error.abs() < 0.15, "{name}: {armature:?}");
        assert!(armature.contains(armature_kgm2), "{name}: {armature:?}");
        let friction_nm = f64::from(joint.friction_nm + 0.15);
        let friction = found.friction_nm;
        assert!(
            (friction.value / friction_nm - 1.0).abs() < 0.15,
            "{name}: {friction:?}"
        );
    }
}

#[test]
fn hidden_motors_are_found_in_rapier() {
    check(EngineKind::Rapier, [7.0, 4.0], 1.6, 0.03);
}

#[cfg(feature = "mujoco")]
#[test]
fn hidden_motors_are_found_in_mujoco() {
    check(EngineKind::Mujoco, [12.0, 0.0], 0.7, -0.02);
}

#[test]
fn a_motor_that_saturates_is_told_from_a_heavy_one() {
    let config = deploy(&["FL_hip_joint"]);
    let mut weak = robot();
    weak.legs[0].joints[0].effort_limit_nm = 4.0;
    let reality = RealityConfig {
        target_delay_ms: [6.0; 2],
        ..RealityConfig::default()
    };
    let start = EpisodeStart::on_stand(&weak);
    let mut stand = Stand::of(&weak, EngineKind::Rapier, &config, &reality, &start);
    let found = stand.record(&config, usize::MAX).identify().unwrap();
    let found = &found.joints[0];
    println!("{found:?}");
    let saturation_nm = found.saturation_nm.unwrap().value;
    assert!((saturation_nm / 4.0 - 1.0).abs() < 0.05, "{found:?}");
    assert!(found.asked_nm > 4.5, "{found:?}");
    assert!(
        (found.armature_kgm2.value / 0.005 - 1.0).abs() < 0.15,
        "{found:?}"
    );
    assert!((found.delay_s.value - 0.006).abs() < 0.002, "{found:?}");
}

/// A robot on the ground.
#[test]
fn a_robot_that_is_not_on_a_stand_is_told() {
    let config = deploy(&["FL_hip_joint"]);
    let start = EpisodeStart::standing(&robot());
    let mut stand = Stand::new(
        EngineKind::Rapier,
        &config,
        &RealityConfig::default(),
        &start,
    );
    let refused = stand.record(&config, 8000).identify().unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("hang the robot on a rigid stand") || text.contains("feet must hang free"),
        "{text}"
    );
}

#[test]
fn a_recording_without_a_whole_chirp_is_told() {
    let config = deploy(&["FL_hip_joint"]);
    let start = EpisodeStart::on_stand(&robot());
    let mut stand = Stand::new(
        EngineKind::Rapier,
        &config,
        &RealityConfig::default(),
        &start,
    );
    // It stands, and has driven nothing.
    let nothing = stand.record(&config, 900).identify().unwrap_err();
    assert_eq!(nothing, IdentificationError::NotDriven);
    // Until 2 s of 8.
    let short = stand.record(&config, 1600).identify().unwrap_err();
    assert!(
        matches!(short, IdentificationError::TooShort { driven_s, .. } if driven_s > 1.0),
        "{short}"
    );
}
