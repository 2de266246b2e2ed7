//! `abs-robot` on a network of its own, and a robot that lies there.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use controller::deploy::{CycleRecord, RealtimeConfig, enter_realtime};
use ros2::{
    COMMAND_TOPIC, Delivery, Network, OPERATOR_TOPIC, RUN_STATE_TOPIC, Ros, STATE_TOPIC,
    messages::{ImuState, LowCmd, LowState, MotorState, Text},
};
use ros2_client::{Publisher, Subscription};

/// The bundle that it runs.
pub const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/bundles/go1");

/// `abs-robot` on the loopback, with what it says.
pub struct Robot {
    pub child: Child,
    says: PathBuf,
    _folder: tempfile::TempDir,
}

impl Robot {
    pub fn start(domain: u16, config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config_path = folder.path().join("config.toml");
        fs::write(&config_path, config).unwrap();
        let says = folder.path().join("says.txt");
        let file = File::create(&says).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_abs-robot"))
            .args(["--bundle", BUNDLE])
            .args([
                "--interface",
                "lo",
                "--domain",
                &domain.to_string(),
                "--config",
            ])
            .arg(config_path)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self {
            child,
            says,
            _folder: folder,
        }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.says).unwrap()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.said().contains(text) {
            assert!(
                start.elapsed() < PATIENCE,
                "no `{text}` in:\n{}",
                self.said()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as Ctrl-C does.
    #[track_caller]
    pub fn end(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "does not end:\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
        self.said()
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

pub fn network(domain: u16) -> Network {
    Network {
        domain,
        interface: Some("lo".to_owned()),
    }
}

/// Motor positions of a robot that lies, in the vendor's order, rad.
fn lying_rad() -> [f32; 12] {
    std::array::from_fn(|motor| [0.0, 1.3, -2.6][motor % 3])
}

/// A level robot at rest with these motor positions, rad.
fn state_at(tick: u32, motors_rad: &[f32; 12]) -> LowState {
    let mut state = LowState {
        tick,
        imu_state: ImuState {
            quaternion: [1.0, 0.0, 0.0, 0.0],
            gyroscope: [1e-3 * (tick % 7) as f32, 0.0, 0.0],
            accelerometer: [0.0, 0.0, 9.81],
            rpy: [0.0; 3],
            temperature: 30,
        },
        ..LowState::default()
    };
    for (motor, q) in motors_rad.iter().copied().enumerate() {
        state.motor_state[motor] = MotorState {
            mode: 1,
            q: q + 1e-4 * (tick % 5) as f32,
            temperature: 30,
            ..MotorState::default()
        };
    }
    state.bms_state.soc = 90;
    state.sealed()
}

/// The robot that lies, and an operator, on the other side of DDS.
pub struct Peer {
    pub ros: Ros,
    states: Publisher<LowState>,
    commands: Subscription<LowCmd>,
    operator: Publisher<Text>,
    said: Subscription<Text>,
    tick: u32,
    motors_rad: [f32; 12],
    /// Share of states and commands that is lost on the way.
    pub lost: f32,
    random: Random,
    /// What `abs-robot` last said that it does.
    pub state: String,
    /// Commands that came, all with the right checksum.
    pub commands_taken: u32,
    asked: Instant,
}

impl Peer {
    pub fn new(domain: u16) -> Self {
        // A robot is not held up by other programs, where that is allowed.
        let realtime = RealtimeConfig {
            priority: 60,
            lock_memory: false,
        };
        let _ = enter_realtime(&realtime);
        let mut ros = Ros::open(&network(domain), "peer").unwrap();
        Self {
            states: ros.publish(STATE_TOPIC, Delivery::Newest).unwrap(),
            commands: ros.subscribe(COMMAND_TOPIC, Delivery::Newest).unwrap(),
            operator: ros.publish(OPERATOR_TOPIC, Delivery::Reliable).unwrap(),
            said: ros.subscribe(RUN_STATE_TOPIC, Delivery::Reliable).unwrap(),
            ros,
            tick: 0,
            motors_rad: lying_rad(),
            lost: 0.0,
            random: Random(0x2545_F491_4F6C_DD1D),
            state: String::new(),
            commands_taken: 0,
            asked: Instant::now(),
        }
    }

    /// The next of 500 steps a second: a new state goes out, and commands come in.
    pub fn step(&mut self) {
        self.tick += 1;
        if !self.is_lost() {
            let state = state_at(self.tick, &self.motors_rad);
            self.states.publish(state).unwrap();
        }
        self.take();
    }

    /// As [`step`](Self::step), with the last state once more.
    pub fn step_frozen(&mut self) {
        let state = state_at(self.tick, &self.motors_rad);
        self.states.publish(state).unwrap();
        self.take();
    }

    /// The counter in the last state.
    pub fn tick(&self) -> u32 {
        self.tick
    }

    fn take(&mut self) {
        while let Ok(Some((command, _))) = self.commands.take() {
            if !self.is_lost() {
                assert_eq!(command.crc, command.checksum());
                self.commands_taken += 1;
                // The motors are where they are commanded.
                for (position_rad, command) in self.motors_rad.iter_mut().zip(&command.motor_cmd) {
                    if command.kp > 0.0 {
                        *position_rad += (command.q - *position_rad).clamp(-0.1, 0.1);
                    }
                }
            }
        }
        while let Ok(Some((text, _))) = self.said.take() {
            self.state = text.data;
        }
        thread::sleep(Duration::from_millis(2));
    }

    fn is_lost(&mut self) -> bool {
        f32::from(self.random.byte()) < 256.0 * self.lost
    }

    pub fn ask(&self, request: &str) {
        let data = request.to_owned();
        // It may not be connected yet.
        let _ = self.operator.publish(Text { data });
    }

    /// Asks, as an operator would, for what leads to `state`; a slow machine may cause faults on the way. True there.
    pub fn lead_to(&mut self, state: &str) -> bool {
        if self.asked.elapsed() > Duration::from_millis(100) {
            self.asked = Instant::now();
            self.ask(match self.state.as_str() {
                "damping" => "stand",
                "ready" if state == "run" => "start",
                "fault" => "stop",
                _ => "heartbeat",
            });
        }
        self.state == state
    }
}

/// Numbers without order (xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as u8
    }
}

/// For peers without a motion switcher.
pub const NO_SPORT_MODE: &str = "[ros2]\nrelease_sport_mode = false\n";

/// The control cycles of a log.
pub fn cycles(log: &Path) -> Vec<CycleRecord> {
    let bytes = fs::read(log).unwrap();
    mcap::MessageStream::new(&bytes)
        .unwrap()
        .map(Result::unwrap)
        .filter(|message| message.channel.topic == "abs/cycle")
        .map(|message| ros2::decode_cycle(&message.data).unwrap())
        .collect()
}
