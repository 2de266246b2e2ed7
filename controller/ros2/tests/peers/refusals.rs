//! What does not fit is told in one line.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ros2::{
    Delivery, OPERATOR_TOPIC, RUN_STATE_TOPIC, Ros, STATE_TOPIC,
    messages::{Header, LowCmd, LowState, Message, PoseStamped, Text},
};

use crate::{
    own_network::in_own_network,
    rig::{BUNDLE, NO_SPORT_MODE, PATIENCE, Robot, network},
};

#[test]
fn what_does_not_fit_is_told_in_one_line_and_the_robot_stays_damped() {
    in_own_network(
        "refusals::what_does_not_fit_is_told_in_one_line_and_the_robot_stays_damped",
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
            .args(["--bundle", BUNDLE])
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
    refused(
        &["--robot", "go2"],
        "robot is go2, but the bundle was trained with go1",
    );
    refused(
        &["--set", "ros2.domian=3"],
        "--set ros2.domian=3: unknown key `ros2.domian`; did you mean `ros2.domain`?",
    );
    refused(
        &["--config", "no/such.toml"],
        "no/such.toml: cannot read the config: ",
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

#[test]
fn what_cannot_be_driven_is_refused_before_anything_is_sent() {
    let refused = |flags: &[&str], parts: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_abs-robot"))
            .args(["--bundle", &format!("{BUNDLE}-velocity")])
            .args(["--set", "deploy.method=velocity"])
            .args(flags)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        for part in parts {
            assert!(said.contains(part), "{flags:?}: {said}");
        }
    };
    let twists = ["`velocity` follows twists", "--gamepad"];
    refused(&["--goal", "2,0"], &twists);
    let both = ["--gamepad", "--go", "cannot be used with"];
    refused(&["--gamepad", "--go", "--goal", "2,0"], &both);
    let deadband = ["deploy.drive.deadband is 0.9, must be from 0.02 to 0.5"];
    refused(&["--set", "deploy.drive.deadband=0.9"], &deadband);
}
