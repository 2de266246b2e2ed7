//! Operators who leave, programs that command as well, dry runs, and what others see.

use std::{
    thread,
    time::{Duration, Instant},
};

use ros2::{
    COMMAND_TOPIC, Delivery, OPERATOR_TOPIC, Ros,
    messages::{LowCmd, Odometry, Text, TfMessage},
};

use crate::{
    own_network::in_own_network,
    rig::{NO_SPORT_MODE, PATIENCE, Peer, Robot, network},
};

/// Goes on with `step` until it says that it is over.
#[track_caller]
fn until(peer: &mut Peer, robot: &Robot, mut step: impl FnMut(&mut Peer) -> bool) {
    let start = Instant::now();
    while !step(peer) {
        assert!(
            start.elapsed() < PATIENCE,
            "in state `{}`:\n{}",
            peer.state,
            robot.said()
        );
    }
}

#[test]
fn an_operator_who_leaves_is_missed_though_the_program_runs_without_a_terminal() {
    in_own_network(
        "people::an_operator_who_leaves_is_missed_though_the_program_runs_without_a_terminal",
        || {
            let mut peer = Peer::new(22);
            let robot = Robot::start(22, NO_SPORT_MODE, &[]);
            until(&mut peer, &robot, |peer| {
                peer.step();
                peer.lead_to("ready")
            });
            // Nothing is said from here on.
            until(&mut peer, &robot, |peer| {
                peer.step();
                // A busy machine may cause another fault while it lies down.
                matches!(peer.state.as_str(), "damping" | "fault")
            });
            let said = robot.end();
            let told = |line: &str| line.starts_with("lie down: ") && line.contains("F12");
            assert!(said.lines().any(told), "{said}");
        },
    );
}

#[test]
fn a_second_commander_is_not_joined_and_one_that_comes_later_is_a_fault() {
    in_own_network(
        "people::a_second_commander_is_not_joined_and_one_that_comes_later_is_a_fault",
        || {
            let mut peer = Peer::new(23);
            let robot = Robot::start(23, NO_SPORT_MODE, &[]);
            until(&mut peer, &robot, |peer| {
                peer.step();
                peer.lead_to("ready")
            });
            let second = Robot::start(23, NO_SPORT_MODE, &[]);
            until(&mut peer, &second, |peer| {
                peer.step();
                peer.lead_to("ready");
                second
                    .said()
                    .contains("another program commands the motors")
            });
            for _ in 0..500 {
                peer.step();
                peer.lead_to("ready");
            }
            // Until it had listened, the joints counted as another's.
            let said = robot.said();
            let mut later = said.lines().skip_while(|line| !line.starts_with("ready"));
            assert_eq!(later.find(|line| line.contains("F21")), None);
            second.end();

            let mut ros = Ros::open(&network(23), "intruder").unwrap();
            let commands = ros.publish(COMMAND_TOPIC, Delivery::Newest).unwrap();
            until(&mut peer, &robot, |peer| {
                peer.step();
                commands.publish(LowCmd::default().sealed()).unwrap();
                let told = |line: &str| line.starts_with("fault: ") && line.contains("F21");
                robot.said().lines().any(told)
            });
            robot.end();
        },
    );
}

#[test]
fn a_dry_run_sends_nothing_to_the_motors() {
    in_own_network("people::a_dry_run_sends_nothing_to_the_motors", || {
        let mut peer = Peer::new(24);
        let robot = Robot::start(24, NO_SPORT_MODE, &["--dry-run"]);
        robot.wait_for("dry run: nothing is sent to the motors");
        until(&mut peer, &robot, |peer| {
            peer.step();
            peer.lead_to("stand up")
        });
        for _ in 0..300 {
            peer.step();
        }
        assert_eq!(peer.commands_taken, 0);
        robot.end();
        assert_eq!(peer.commands_taken, 0);
    });
}

#[test]
fn what_an_operator_says_is_cut_and_cannot_control_the_terminal() {
    in_own_network(
        "people::what_an_operator_says_is_cut_and_cannot_control_the_terminal",
        || {
            let mut ros = Ros::open(&network(25), "peer").unwrap();
            let operator = ros
                .publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)
                .unwrap();
            let robot = Robot::start(25, NO_SPORT_MODE, &[]);
            let start = Instant::now();
            while !robot.said().contains("(100007 bytes)") {
                assert!(start.elapsed() < PATIENCE, "{}", robot.said());
                let data = "\u{1b}]0;a\r\n".to_owned() + &"x".repeat(100_000);
                let _ = operator.publish(Text { data });
                thread::sleep(Duration::from_millis(100));
            }
            let said = robot.end();
            let is_plain = |char: char| char == '\n' || !char.is_control();
            assert!(said.chars().all(is_plain), "{said:?}");
            assert!(said.lines().all(|line| line.len() < 400), "{said}");
        },
    );
}

#[test]
fn displays_get_odometry_transforms_and_the_robots_description() {
    in_own_network(
        "people::displays_get_odometry_transforms_and_the_robots_description",
        || {
            let mut peer = Peer::new(26);
            let robot = Robot::start(26, NO_SPORT_MODE, &[]);
            until(&mut peer, &robot, |peer| {
                peer.step();
                peer.state == "damping"
            });
            // They come later, and ask for the last description.
            let mut ros = Ros::open(&network(26), "display").unwrap();
            let description = ros
                .subscribe::<Text>("robot_description", Delivery::Kept)
                .unwrap();
            let odometry = ros
                .subscribe::<Odometry>("abs/odometry", Delivery::Reliable)
                .unwrap();
            let tf = ros
                .subscribe::<TfMessage>("tf", Delivery::Reliable)
                .unwrap();
            let (mut urdf, mut base, mut links) = (String::new(), String::new(), 0);
            until(&mut peer, &robot, |peer| {
                peer.step();
                while let Ok(Some((text, _))) = description.take() {
                    urdf = text.data;
                }
                while let Ok(Some((message, _))) = odometry.take() {
                    base = message.header.frame_id + " " + &message.child_frame_id;
                }
                while let Ok(Some((message, _))) = tf.take() {
                    links = message.transforms.len();
                }
                !urdf.is_empty() && !base.is_empty() && links > 0
            });
            assert!(
                urdf.contains("<robot name=") && urdf.contains("<visual"),
                "{urdf}"
            );
            assert_eq!((base.as_str(), links), ("odom base_link", 18));
            robot.end();
        },
    );
}
