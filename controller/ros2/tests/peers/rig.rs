//! `abs-robot`, and a peer that plays a lying robot and its operator.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::Path,
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

use crate::own_network::with_this_process;

/// The bundle that it runs.
pub const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/bundles/go1");

/// `abs-robot` on the loopback, with its output.
pub struct Robot {
    pub child: Child,
    folder: tempfile::TempDir,
}

/// File with the output of `abs-robot`.
const OUTPUT: &str = "output.txt";

impl Robot {
    pub fn start(domain: u16, config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join(OUTPUT)).unwrap();
        Self::start_with(domain, config, flags, folder, file.into())
    }

    /// With the closed pipe of a terminal that is gone as output.
    pub fn start_unheard(domain: u16, config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join(OUTPUT)).unwrap();
        let (_, pipe) = std::io::pipe().unwrap();
        Self::start_with(domain, config, flags, folder, pipe.into())
    }

    fn start_with(
        domain: u16,
        config: &str,
        flags: &[&str],
        folder: tempfile::TempDir,
        output: OwnedFd,
    ) -> Self {
        let config_path = folder.path().join("config.toml");
        fs::write(&config_path, config).unwrap();
        let child = with_this_process(&mut Command::new(env!("CARGO_BIN_EXE_abs-robot")))
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
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join(OUTPUT)).unwrap()
    }

    /// Waits until it has printed `text`.
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

    /// Sends a signal, e.g. `INT`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The process beside it with this name, the first if there are several.
    #[track_caller]
    pub fn helper(&self, name: &str) -> u32 {
        let start = Instant::now();
        loop {
            if let Some(pid) = self.helpers(name).first() {
                return *pid;
            }
            assert!(start.elapsed() < PATIENCE, "no {name}:\n{}", self.said());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes beside it with this name.
    pub fn helpers(&self, name: &str) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let children: String = tasks
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("children")).ok())
            .collect();
        let pids = children.split_whitespace().filter(|pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
            comm.is_ok_and(|comm| comm.trim() == name)
        });
        pids.map(|pid| pid.parse().unwrap()).collect()
    }

    /// Ends it as Ctrl-C does.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.signal("INT");
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

/// Sends a signal, e.g. `INT`, to a process.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    let kill = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// The most resident memory that a process has had, MB; none if it has ended.
pub fn peak_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
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

/// A robot that lies, and an operator, as a DDS peer.
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
    /// The last state that `abs-robot` published.
    pub state: String,
    /// Received commands, all with the right checksum.
    pub commands_taken: u32,
    /// When each was received, and whether it damps all joints.
    pub seen: Vec<(Instant, bool)>,
    /// Longest time between two messages with the state, since it was last reset.
    pub longest_silence: Duration,
    heard: Instant,
    asked: Instant,
    commander: [u8; 12],
}

impl Peer {
    pub fn new(domain: u16) -> Self {
        // With real-time priority, where that is allowed, other programs do not hold up the peer.
        let realtime = RealtimeConfig {
            priority: 65,
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
            seen: Vec::new(),
            longest_silence: Duration::ZERO,
            heard: Instant::now(),
            asked: Instant::now(),
            commander: [0; 12],
        }
    }

    /// One step of 2 ms: sends a new state, and takes commands.
    pub fn step(&mut self) {
        self.tick += 1;
        if !self.is_lost() {
            let state = state_at(self.tick, &self.motors_rad);
            self.states.publish(state).unwrap();
        }
        self.take();
    }

    /// As [`step`](Self::step), but sends the last state again.
    pub fn step_frozen(&mut self) {
        let state = state_at(self.tick, &self.motors_rad);
        self.states.publish(state).unwrap();
        self.take();
    }

    /// Lets the robot come to `state`.
    #[track_caller]
    pub fn lead(&mut self, robot: &Robot, state: &str) {
        let start = Instant::now();
        while !self.lead_to(state) {
            self.step();
            assert!(
                start.elapsed() < PATIENCE,
                "in state `{}`:\n{}",
                self.state,
                robot.said()
            );
        }
    }

    /// GUID prefix of the program whose commands came last.
    pub fn commander(&self) -> [u8; 12] {
        self.commander
    }

    /// GUIDs of its writers: of states, and of requests, which is reliable.
    pub fn writers(&self) -> [[u8; 16]; 2] {
        [
            self.states.guid().to_bytes(),
            self.operator.guid().to_bytes(),
        ]
    }

    /// Checks that no command but damping was followed by more than 40 ms of silence, and prints the longest.
    #[track_caller]
    pub fn assert_never_left(&self, what: &str) {
        let now = (Instant::now(), true);
        let next = self.seen.iter().skip(1).chain([&now]);
        let stiff = (self.seen.iter().zip(next)).filter(|((_, damps), _)| !damps);
        let silence = stiff.map(|((time, _), (next, _))| next.duration_since(*time));
        let longest = silence.max().unwrap();
        println!("{what}: after a stiff command the next at most {longest:.1?} later");
        assert!(longest <= Duration::from_millis(40), "{what}: {longest:?}");
    }

    /// Goes on for a while.
    pub fn steps(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.step();
        }
    }

    /// Checks that damping came within 40 ms of the last other command, and for at least 1 s, in what was seen since
    /// `attack`. Prints the time.
    #[track_caller]
    pub fn assert_damped(&self, what: &str, attack: Instant) {
        let last = self.seen.iter().rposition(|(_, damps)| !damps).unwrap();
        let (last, after) = (self.seen[last].0, &self.seen[last + 1..]);
        let [(first, _), .., (end, _)] = after else {
            panic!(
                "{what}: no damping after the last of {} commands",
                self.seen.len()
            );
        };
        let time = first.duration_since(last);
        let lasted = end.duration_since(*first);
        println!(
            "{what}: damping {time:.1?} after the last other command, {:.1?} after the attack, for {lasted:.2?}",
            first.duration_since(attack)
        );
        assert!(time <= Duration::from_millis(40), "{what}: {time:?}");
        assert!(lasted >= Duration::from_secs(1), "{what}: {lasted:?}");
    }

    /// The counter in the last state.
    pub fn tick(&self) -> u32 {
        self.tick
    }

    fn take(&mut self) {
        while let Ok(Some((command, info))) = self.commands.take() {
            let writer = info.publisher_gid().to_bytes16();
            self.commander = std::array::from_fn(|index| writer[index]);
            if !self.is_lost() {
                assert_eq!(command.crc, command.checksum());
                self.commands_taken += 1;
                let mut joints = command.motor_cmd[..12].iter();
                let damps = joints.all(|motor| motor.kp == 0.0 && motor.kd > 0.0);
                self.seen.push((Instant::now(), damps));
                // The motors are where they are commanded.
                for (position_rad, command) in self.motors_rad.iter_mut().zip(&command.motor_cmd) {
                    if command.kp > 0.0 {
                        *position_rad += (command.q - *position_rad).clamp(-0.1, 0.1);
                    }
                }
            }
        }
        while let Ok(Some((text, _))) = self.said.take() {
            self.longest_silence = self.longest_silence.max(self.heard.elapsed());
            self.heard = Instant::now();
            self.state = text.data;
        }
        thread::sleep(Duration::from_millis(2));
    }

    fn is_lost(&mut self) -> bool {
        f32::from(self.random.byte()) < 256.0 * self.lost
    }

    pub fn ask(&self, request: &str) {
        let data = request.to_owned();
        // No subscriber may be matched yet.
        let _ = self.operator.publish(Text { data });
    }

    /// Sends the requests that lead to `state`, as an operator would; a slow machine may cause faults on the way. True when
    /// there.
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

/// Pseudo-random numbers (xorshift).
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
