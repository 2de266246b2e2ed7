//! `abs-robot` against real peers: Cyclone DDS (PyPI) plays the robot, rosbags reads the log, and a program of our own
//! misbehaves. Each test runs in a network namespace of its own where the system allows it, and ends by itself.
#![cfg(feature = "ros2")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    fs::{self, File},
    io::Write as _,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use controller::ros2::{
    COMMAND_TOPIC, Delivery, Network, OPERATOR_TOPIC, RUN_STATE_TOPIC, Ros, STATE_TOPIC,
    messages::{Header, ImuState, LowCmd, LowState, Message, MotorState, PoseStamped, Text},
    replay,
};

/// Set for the process inside the namespace.
const INSIDE: &str = "ABS_TEST_NAMESPACE";

/// Runs the test `name` in a network namespace with nothing but a loopback that can multicast.
fn in_own_network(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let setup =
        "ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo";
    let allowed = Command::new("unshare")
        .args(["-n", "sh", "-c", setup])
        .stderr(Stdio::null())
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("{name}: no network namespace allowed, on the machine's own loopback");
        return test();
    }
    let status = Command::new("unshare")
        .args(["-n", "sh", "-c", &format!("{setup} && exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} in its own network");
}

/// The folder with the Python peers, fetched once; none, said in a line, when pip reaches no index.
fn python_peers() -> Option<PathBuf> {
    static ONCE: Once = Once::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers");
    let done = folder.join(".complete");
    ONCE.call_once(|| {
        if done.exists() {
            return;
        }
        let installed = Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["cyclonedds==11.0.1", "rosbags==0.11.9", "--target"])
            .arg(&folder)
            .status();
        if installed.is_ok_and(|status| status.success()) {
            fs::write(&done, "").unwrap();
        }
    });
    if !done.exists() {
        println!("SKIPPED: pip cannot fetch cyclonedds and rosbags, so no real peer is here");
        return None;
    }
    Some(folder)
}

fn python(peers: &Path, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/peers")
                .join(script),
        )
        .args(arguments)
        .env("PYTHONPATH", peers);
    command
}

fn json(output: std::process::Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    serde_json::from_str(text.trim()).unwrap()
}

/// `abs-robot` on the loopback, with what it says.
struct Robot {
    child: Child,
    says: PathBuf,
    _folder: tempfile::TempDir,
}

impl Robot {
    fn start(domain: u16, config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config_path = folder.path().join("config.toml");
        fs::write(&config_path, config).unwrap();
        let says = folder.path().join("says.txt");
        let file = File::create(&says).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_abs-robot"))
            .args([
                "--bundle",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/bundles/go1"),
            ])
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

    fn said(&self) -> String {
        fs::read_to_string(&self.says).unwrap()
    }

    /// Waits until it has said something.
    #[track_caller]
    fn wait_for(&self, text: &str) {
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
    fn end(mut self) -> String {
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
const PATIENCE: Duration = Duration::from_secs(40);

fn network(domain: u16) -> Network {
    Network {
        domain,
        interface: Some("lo".to_owned()),
    }
}

/// A robot that lies and says so at 500 Hz, until it is told otherwise.
fn lying_state(tick: u32) -> LowState {
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
    for (motor, q) in [0.0, 1.3, -2.6].into_iter().cycle().take(12).enumerate() {
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

const NO_SPORT_MODE: &str = "[ros2]\nrelease_sport_mode = false\n";

#[test]
fn cyclone_dds_is_the_robot_and_rosbags_reads_the_log() {
    // Before the way to the index is closed.
    if python_peers().is_none() {
        return;
    }
    in_own_network("cyclone_dds_is_the_robot_and_rosbags_reads_the_log", || {
        let Some(peers) = python_peers() else { return };
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.mcap");
        let peer = python(&peers, "robot.py", &["11", "12"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let robot = Robot::start(11, "", &["--log", log.to_str().unwrap()]);
        let seen = json(peer.wait_with_output().unwrap());
        let said = robot.end();
        assert!(seen["commands"].as_u64().unwrap() > 200, "{seen}\n{said}");
        assert!(seen["checked"].as_u64() > Some(10), "{seen}");
        assert_eq!(seen["wrong_crc"], 0);
        assert_eq!(
            seen["before_release"], 0,
            "nothing is sent before the release"
        );
        assert!(seen["damping"].as_u64().unwrap() > 0);
        let requests = seen["requests"].as_array().unwrap();
        assert!(
            requests.contains(&1001.into()) && requests.contains(&1003.into()),
            "{seen}"
        );
        // Motors 12 to 19 stay off.
        assert_eq!(seen["modes"], serde_json::json!([0, 1]));
        let states: Vec<_> = seen["states"].as_array().unwrap().iter().collect();
        assert!(states.contains(&&"stand up".into()), "{seen}\n{said}");
        assert!(states.contains(&&"ready".into()), "{seen}\n{said}");

        let read = json(
            python(&peers, "read_log.py", &[log.to_str().unwrap()])
                .output()
                .unwrap(),
        );
        for topic in [
            "/lowstate",
            "/lowcmd",
            "/scan",
            "/abs/operator",
            "/tf",
            "/joint_states",
            "/diagnostics",
        ] {
            assert!(
                read["counts"][topic].as_u64() > Some(0),
                "{topic} in {read}"
            );
        }
        assert_eq!(read["head"], serde_json::json!([0xFE, 0xEF]));
        assert_eq!(read["frame"], "odom");
        assert_eq!(read["scan"], serde_json::json!([5.0, 5.0]));
        assert_eq!(read["joint_names"].as_array().unwrap().len(), 12);
        assert_eq!(read["markers"], serde_json::json!(["rays", "goal"]));

        let report = replay(&log).unwrap();
        assert!(report.cycles > 500, "{report:?}");
        assert_eq!((report.different, report.first_different), (0, None));
        assert!(said.contains("0 cycles and 0 messages lost"), "{said}");
        unreadable_logs(&log);
    });
}

/// A log that was cut off, one with another start, and a file that is none.
fn unreadable_logs(log: &Path) {
    let bytes = fs::read(log).unwrap();
    let other = log.with_extension("other");
    let refused = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        let text = replay(&other).unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
        text.replace(&other.display().to_string(), "FILE")
    };
    for length in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
        let text = refused(&bytes[..length]);
        assert!(
            text.starts_with("FILE: is no MCAP file, or cut off"),
            "{length}: {text}"
        );
    }
    assert!(refused(b"[ros2]\ndomain = 3\n").starts_with("FILE: is no MCAP file"));
    let text = replay(Path::new("no/such.mcap")).unwrap_err().to_string();
    assert!(text.starts_with("no/such.mcap: cannot be read: "), "{text}");
}

#[test]
fn a_killed_peer_is_answered_with_damping_within_40_ms() {
    in_own_network(
        "a_killed_peer_is_answered_with_damping_within_40_ms",
        || {
            let mut ros = Ros::open(&network(12), "peer").unwrap();
            let states = ros
                .publish::<LowState>(STATE_TOPIC, Delivery::Newest)
                .unwrap();
            let operator = ros
                .publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)
                .unwrap();
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("run.mcap");
            let robot = Robot::start(12, NO_SPORT_MODE, &["--log", log.to_str().unwrap()]);
            let start = Instant::now();
            let mut tick = 0;
            while !robot.said().contains("\nstand up") {
                assert!(start.elapsed() < PATIENCE, "{}", robot.said());
                tick += 1;
                states.publish(lying_state(tick)).unwrap();
                if tick % 100 == 0 {
                    let data = "stand".to_owned();
                    let _ = operator.publish(Text { data });
                }
                thread::sleep(Duration::from_millis(2));
            }
            // No more states from here on.
            robot.wait_for("F02 stale state");
            robot.end();
            let cycles = cycles(&log);
            let standing = cycles
                .iter()
                .position(|cycle| cycle.command.joints[0].stiffness > 0.0)
                .unwrap();
            let damped = cycles[standing..]
                .iter()
                .find(|cycle| {
                    cycle
                        .command
                        .joints
                        .iter()
                        .all(|joint| joint.stiffness == 0.0)
                })
                .unwrap();
            let age_ns = damped.input.time_ns - damped.input.robot.received_ns;
            // A machine that is too busy misses deadlines, which are counted.
            let allowed_ns = 22_000_000 + 2_000_000 * u64::from(damped.input.missed);
            assert!((20_000_000..=allowed_ns).contains(&age_ns), "{age_ns} ns");
            assert!(
                damped
                    .command
                    .joints
                    .iter()
                    .all(|joint| joint.damping > 0.0)
            );
        },
    );
}

fn cycles(log: &Path) -> Vec<controller::deploy::CycleRecord> {
    let bytes = fs::read(log).unwrap();
    mcap::MessageStream::new(&bytes)
        .unwrap()
        .map(Result::unwrap)
        .filter(|message| message.channel.topic == "abs/cycle")
        .map(|message| postcard::from_bytes(&message.data).unwrap())
        .collect()
}

#[test]
fn garbage_on_the_dds_ports_does_not_stop_it() {
    in_own_network("garbage_on_the_dds_ports_does_not_stop_it", || {
        const DOMAIN: u16 = 13;
        let mut ros = Ros::open(&network(DOMAIN), "peer").unwrap();
        let states = ros
            .publish::<LowState>(STATE_TOPIC, Delivery::Newest)
            .unwrap();
        let commands = ros
            .subscribe::<LowCmd>(COMMAND_TOPIC, Delivery::Newest)
            .unwrap();
        let robot = Robot::start(DOMAIN, NO_SPORT_MODE, &[]);
        let mut tick = 0;
        let mut commands_in = |duration: Duration| {
            let (start, mut count) = (Instant::now(), 0);
            while start.elapsed() < duration {
                tick += 1;
                states.publish(lying_state(tick)).unwrap();
                while let Ok(Some((command, _))) = commands.take() {
                    assert_eq!(command.crc, command.checksum());
                    count += 1;
                }
                thread::sleep(Duration::from_millis(2));
            }
            count
        };
        let start = Instant::now();
        while commands_in(Duration::from_millis(100)) == 0 {
            assert!(start.elapsed() < PATIENCE, "{}", robot.said());
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let mut byte = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as u8
        };
        for round in 0..3000_usize {
            let mut packet: Vec<u8> = (0..1 + round % 300).map(|_| byte()).collect();
            // Half of them look like RTPS up to their submessages, some up to a known kind of submessage.
            if round % 2 == 0 && packet.len() > 24 {
                packet[..8].copy_from_slice(b"RTPS\x02\x03\x01\x12");
                if round % 4 == 0 {
                    packet[20] = [0x01, 0x06, 0x07, 0x08, 0x09, 0x0e, 0x15, 0x16][round / 4 % 8];
                }
            }
            // Those of this program, participant 0, are left out.
            let base = 7400 + 250 * DOMAIN;
            for port in [base + 12, base + 13] {
                let _ = socket.send_to(&packet, ("127.0.0.1", port));
            }
        }
        // It goes on, or it connects anew.
        let start = Instant::now();
        while commands_in(Duration::from_millis(500)) < 20 {
            assert!(start.elapsed() < PATIENCE, "{}", robot.said());
        }
        robot.end();
    });
}

#[test]
fn what_does_not_fit_is_told_in_one_line_and_the_robot_stays_damped() {
    in_own_network(
        "what_does_not_fit_is_told_in_one_line_and_the_robot_stays_damped",
        || {
            let robot = Robot::start(14, NO_SPORT_MODE, &[]);
            robot
                .wait_for("no state of the robot: nothing came on rt/lowstate in domain 14 on lo;");

            let mut ros = Ros::open(&network(14), "peer").unwrap();
            let _foreign = ros.publish::<Text>(STATE_TOPIC, Delivery::Newest).unwrap();
            robot.wait_for("rt/lowstate is of the foreign type std_msgs::msg::dds_::String_, expected unitree_go::msg::dds_::LowState_");

            let goals = ros
                .publish::<PoseStamped>("goal_pose", Delivery::Reliable)
                .unwrap();
            let operator = ros
                .publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)
                .unwrap();
            let states = ros
                .subscribe::<Text>(RUN_STATE_TOPIC, Delivery::Reliable)
                .unwrap();
            let start = Instant::now();
            let mut heard = Vec::new();
            while heard.is_empty()
                || !robot.said().contains("unknown frame `map`")
                || !robot.said().contains("no request `jump`")
            {
                assert!(start.elapsed() < PATIENCE, "{}", robot.said());
                let header = Header {
                    frame_id: "map".to_owned(),
                    ..Header::default()
                };
                let _ = goals.publish(PoseStamped {
                    header,
                    pose: Default::default(),
                });
                for data in ["jump", "stand", "start"] {
                    let _ = operator.publish(Text {
                        data: data.to_owned(),
                    });
                }
                while let Ok(Some((text, _))) = states.take() {
                    heard.push(text.data);
                }
                thread::sleep(Duration::from_millis(50));
            }
            assert!(heard.iter().all(|state| state == "damping"), "{heard:?}");
            let said = robot.end();
            let lines: Vec<_> = said
                .lines()
                .filter(|line| line.contains("frame `map`"))
                .collect();
            assert_eq!(lines.len(), 1, "told once, in one line: {said}");
        },
    );
}

#[test]
fn refusals_are_one_line_before_anything_is_sent() {
    let refused = |flags: &[&str], expected: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_abs-robot"))
            .args([
                "--bundle",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/bundles/go1"),
            ])
            .args(flags)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        std::io::stdout().write_all(text.as_bytes()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with(&format!("error: {expected}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    };
    refused(
        &["--interface", "wlan99"],
        "there is no network interface `wlan99`, this machine has ",
    );
    refused(&["--domain", "240"], "domain 240 does not exist");
    refused(&["--robot", "go2"], "");
    refused(
        &["--config", "no/such.toml"],
        "cannot read the config no/such.toml",
    );
}

#[test]
fn messages_of_the_log_are_named_as_in_ros() {
    // Foxglove and rosbags find their panels and types by these names.
    assert_eq!(
        format!("{}/msg/{}", LowCmd::PACKAGE, LowCmd::NAME),
        "unitree_go/msg/LowCmd"
    );
    assert_eq!(
        LowState::type_name().dds_msg_type(),
        "unitree_go::msg::dds_::LowState_"
    );
}
