//! Cyclone DDS is the robot: from PyPI, and as Debian has it, which is the version on the robot.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Once,
    thread,
    time::Duration,
};

use ros2::{Delivery, LogEnd, OPERATOR_TOPIC, RUN_STATE_TOPIC, Ros, messages::Text, replay};

use crate::{
    own_network::in_own_network,
    rig::{NO_SPORT_MODE, Robot, network},
};

/// The folder with the Python peers, fetched once; none, said in a line, when pip reaches no index.
fn python_peers() -> Option<PathBuf> {
    static ONCE: Once = Once::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
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

#[test]
fn cyclone_dds_is_the_robot_and_rosbags_reads_the_log() {
    // Before the way to the index is closed.
    if python_peers().is_none() {
        return;
    }
    in_own_network(
        "cyclone::cyclone_dds_is_the_robot_and_rosbags_reads_the_log",
        || {
            let Some(peers) = python_peers() else { return };
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("run.mcap");
            let peer = python(&peers, "robot.py", &["11", "40"])
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
            assert_eq!(report.end, LogEnd::Whole);
            assert_eq!((report.different, report.first_different), (0, None));
            assert!(said.contains("0 cycles and 0 messages lost"), "{said}");
            unreadable_logs(&log);
        },
    );
}

/// A log that was cut off, and a file that is none.
fn unreadable_logs(log: &Path) {
    let bytes = fs::read(log).unwrap();
    let other = log.with_extension("other");
    let replayed = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        replay(&other).map_err(|error| error.to_string())
    };
    let report = replayed(&bytes[..bytes.len() / 2]).unwrap();
    assert!(report.cycles > 100 && report.different == 0, "{report:?}");
    assert!(matches!(report.end, LogEnd::Cut { .. }), "{report:?}");
    let text = replayed(b"[ros2]\ndomain = 3\n").unwrap_err();
    assert!(text.ends_with(": is no MCAP file"), "{text}");
    let text = replay(Path::new("no/such.mcap")).unwrap_err().to_string();
    assert!(text.starts_with("no/such.mcap: cannot be read: "), "{text}");
}

/// The peer built against Cyclone DDS 0.10; none, said in a line, where it is not installed.
fn c_peer(folder: &Path) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let generated = Command::new("idlc")
        .arg(sources.join("unitree_go.idl"))
        .current_dir(folder)
        .stderr(Stdio::null())
        .status();
    if !generated.is_ok_and(|status| status.success()) {
        println!(
            "SKIPPED: there is no idlc of Cyclone DDS 0.10 here (Debian: cyclonedds-dev, cyclonedds-tools)"
        );
        return None;
    }
    let peer = folder.join("robot");
    let built = Command::new("cc")
        .args(["-O1", "-I"])
        .arg(folder)
        .arg(sources.join("robot.c"))
        .arg(folder.join("unitree_go.c"))
        .args(["-lddsc", "-o"])
        .arg(&peer)
        .status();
    assert!(built.unwrap().success());
    Some(peer)
}

#[test]
fn the_cyclone_dds_of_the_robot_is_understood_and_understands() {
    in_own_network(
        "cyclone::the_cyclone_dds_of_the_robot_is_understood_and_understands",
        || {
            let folder = tempfile::tempdir().unwrap();
            let Some(peer) = c_peer(folder.path()) else {
                return;
            };
            let mut peer = Command::new(peer)
                .args(["22", "10"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let robot = Robot::start(22, NO_SPORT_MODE, &[]);
            let mut ros = Ros::open(&network(22), "operator").unwrap();
            let operator = ros
                .publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)
                .unwrap();
            while peer.try_wait().unwrap().is_none() {
                for data in ["stop", "stand"] {
                    let data = data.to_owned();
                    // It may not be connected yet.
                    let _ = operator.publish(Text { data });
                    thread::sleep(Duration::from_millis(500));
                }
            }
            let seen = json(peer.wait_with_output().unwrap());
            let said = robot.end();
            assert!(seen["commands"].as_u64() > Some(100), "{seen}\n{said}");
            assert_eq!(seen["wrong_crc"], 0, "{seen}");
            assert!(seen["damping"].as_u64() > Some(0), "{seen}");
            // It stands up only when it knows where the robot is.
            assert!(seen["stiff"].as_u64() > Some(0), "{seen}\n{said}");
        },
    );
}

#[test]
fn a_run_that_is_killed_leaves_the_cyclone_dds_of_the_robot_damped() {
    in_own_network(
        "cyclone::a_run_that_is_killed_leaves_the_cyclone_dds_of_the_robot_damped",
        || {
            let folder = tempfile::tempdir().unwrap();
            let Some(peer) = c_peer(folder.path()) else {
                return;
            };
            let mut peer = Command::new(peer)
                .args(["30", "12"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut robot = Robot::start(30, NO_SPORT_MODE, &[]);
            let mut ros = Ros::open(&network(30), "operator").unwrap();
            let operator = ros
                .publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)
                .unwrap();
            let states = ros
                .subscribe::<Text>(RUN_STATE_TOPIC, Delivery::Reliable)
                .unwrap();
            let mut state = String::new();
            while peer.try_wait().unwrap().is_none() {
                while let Ok(Some((text, _))) = states.take() {
                    state = text.data;
                }
                let data = match state.as_str() {
                    "damping" => "stand",
                    "fault" => "stop",
                    _ => "heartbeat",
                };
                let data = data.to_owned();
                // It may not be connected yet.
                let _ = operator.publish(Text { data });
                if state == "ready" {
                    let _ = robot.child.kill();
                }
                thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(state, "ready", "{}", robot.said());
            let seen = json(peer.wait_with_output().unwrap());
            println!("SIGKILL, seen by Cyclone DDS 0.10: {seen}");
            assert!(seen["stiff"].as_u64() > Some(100), "{seen}");
            assert!(seen["to_damping_s"].as_f64().unwrap() < 0.04, "{seen}");
            assert!(seen["damping_s"].as_f64().unwrap() > 1.0, "{seen}");
        },
    );
}
