//! Attacks on the processes: their terminal, their signals, their end.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    own_network::in_own_network,
    rig::{NO_SPORT_MODE, PATIENCE, Peer, Robot, signal},
};

/// Longer than the damping that is to be seen.
const AFTERWARDS: Duration = Duration::from_millis(1500);

/// A standing robot, and its peer.
fn standing(domain: u16) -> (Peer, Robot) {
    standing_with(domain, &[])
}

fn standing_with(domain: u16, flags: &[&str]) -> (Peer, Robot) {
    let mut peer = Peer::new(domain);
    let robot = Robot::start(domain, NO_SPORT_MODE, flags);
    peer.lead(&robot, "ready");
    (peer, robot)
}

/// Lets the robot stand up again, after its fault.
#[track_caller]
fn stands_again(peer: &mut Peer, robot: &Robot) {
    peer.lead(robot, "stand up");
    peer.lead(robot, "ready");
}

#[test]
fn a_closed_terminal_does_not_end_the_run() {
    in_own_network("process::a_closed_terminal_does_not_end_the_run", || {
        let mut robot = Robot::start_unheard(23, NO_SPORT_MODE, &[]);
        let mut peer = Peer::new(23);
        // Every change of state is printed.
        peer.lead(&robot, "ready");
        robot.signal("INT");
        let start = Instant::now();
        let status = loop {
            peer.step();
            if let Some(status) = robot.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "in state `{}`", peer.state);
        };
        assert_eq!((status.code(), peer.state.as_str()), (Some(0), "damping"));
    });
}

#[test]
fn a_run_that_is_killed_or_crashes_leaves_a_damped_robot() {
    in_own_network(
        "process::a_run_that_is_killed_or_crashes_leaves_a_damped_robot",
        || {
            // Not QUIT: a background job of a shell ignores it.
            for name in ["KILL", "ABRT", "ILL", "TRAP"] {
                let (mut peer, robot) = standing(24);
                let attack = Instant::now();
                robot.signal(name);
                peer.steps(AFTERWARDS);
                peer.assert_damped(&format!("SIG{name}"), attack);
            }
        },
    );
}

#[test]
fn a_thread_that_panics_leaves_a_damped_robot() {
    in_own_network(
        "process::a_thread_that_panics_leaves_a_damped_robot",
        || {
            for thread in ["control", "sender", "states", "link"] {
                let (mut peer, robot) = standing_with(32, &["--panic", thread]);
                let attack = Instant::now();
                peer.ask("panic");
                peer.steps(AFTERWARDS);
                peer.assert_damped(&format!("panic of {thread}"), attack);
                assert!(
                    robot.said().contains("panics on purpose"),
                    "{}",
                    robot.said()
                );
            }
        },
    );
}

#[test]
fn a_log_that_panics_is_told_and_the_run_goes_on() {
    in_own_network(
        "process::a_log_that_panics_is_told_and_the_run_goes_on",
        || {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("run.mcap");
            let flags = ["--panic", "log", "--log", log.to_str().unwrap()];
            let (mut peer, robot) = standing_with(33, &flags);
            peer.seen.clear();
            peer.ask("panic");
            // Without a heartbeat the operator is missed after a second.
            peer.steps(Duration::from_millis(700));
            peer.assert_never_left("panic of log");
            assert_eq!(peer.state, "ready", "{}", robot.said());
            assert!(
                robot.said().contains("its thread has panicked"),
                "{}",
                robot.said()
            );
            assert!(robot.end().contains("error: "));
        },
    );
}

#[test]
fn a_guardian_announces_the_run_while_dds_is_silent() {
    in_own_network(
        "process::a_guardian_announces_the_run_while_dds_is_silent",
        || {
            let (mut peer, robot) = standing(34);
            let run = peer.commander();
            for pid in [robot.child.id(), robot.helper("abs-dds")] {
                signal(pid, "STOP");
            }
            let group = Ipv4Addr::new(239, 255, 0, 1);
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket
                .bind(&SocketAddr::from((group, 7400 + 250 * 34)).into())
                .unwrap();
            socket
                .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
                .unwrap();
            socket.set_nonblocking(true).unwrap();
            let socket = UdpSocket::from(socket);
            let mut announced = Vec::new();
            let stopped = Instant::now();
            let mut packet = [0; 2048];
            while stopped.elapsed() < Duration::from_secs(7) {
                peer.step();
                while let Ok(length) = socket.recv(&mut packet) {
                    let packet = &packet[..length];
                    // Entity id of the writer that announces a participant (RTPS 9.3.1.5), and the id of the lease.
                    let has =
                        |bytes: &[u8]| packet.windows(bytes.len()).any(|found| found == bytes);
                    if packet[8..20] == run && has(&[0, 1, 0, 0xc2]) {
                        assert!(
                            packet.starts_with(b"RTPS") && has(&[2, 0, 8, 0]),
                            "{packet:02x?}"
                        );
                        announced.push(stopped.elapsed());
                    }
                }
            }
            println!("announced after {announced:.2?}");
            // Each guardian every 2 s, for 7 s.
            assert!((4..=8).contains(&announced.len()), "{announced:?}");
            let mut apart = announced.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(
                apart.all(|time| time < Duration::from_millis(2200)),
                "{announced:?}"
            );
            let damps = peer.seen.iter().rev().take(100).all(|(_, damps)| *damps);
            assert!(damps && peer.seen.len() > 1000);
        },
    );
}

#[test]
fn a_run_that_is_interrupted_twice_leaves_a_damped_robot() {
    in_own_network(
        "process::a_run_that_is_interrupted_twice_leaves_a_damped_robot",
        || {
            let (mut peer, mut robot) = standing(25);
            let attack = Instant::now();
            robot.signal("INT");
            robot.signal("INT");
            peer.steps(AFTERWARDS);
            peer.assert_damped("SIGINT twice", attack);
            while robot.child.try_wait().unwrap().is_none() {
                assert!(attack.elapsed() < PATIENCE, "{}", robot.said());
                peer.step();
            }
        },
    );
}

#[test]
fn a_run_that_is_stopped_for_a_moment_goes_on() {
    in_own_network(
        "process::a_run_that_is_stopped_for_a_moment_goes_on",
        || {
            let (mut peer, robot) = standing(26);
            // A system call that is interrupted ends the threads of the DDS library.
            for pid in [robot.child.id(), robot.helper("abs-dds")] {
                signal(pid, "STOP");
                thread::sleep(Duration::from_millis(5));
                signal(pid, "CONT");
                peer.steps(Duration::from_millis(500));
                let taken = peer.commands_taken;
                peer.steps(Duration::from_millis(500));
                assert!(peer.commands_taken > taken + 50, "{}", robot.said());
                stands_again_if_it_lies(&mut peer, &robot);
            }
            let attack = Instant::now();
            peer.ask("emergency-stop");
            peer.steps(AFTERWARDS);
            peer.assert_damped("emergency stop afterwards", attack);
            robot.end();
        },
    );
}

/// To stop a process takes the shell that does it some time, longer than a state may be old on a busy machine.
#[track_caller]
fn stands_again_if_it_lies(peer: &mut Peer, robot: &Robot) {
    peer.lead(robot, "ready");
}

#[test]
fn a_run_that_is_stopped_is_replaced_and_does_not_go_on_with_old_commands() {
    in_own_network(
        "process::a_run_that_is_stopped_is_replaced_and_does_not_go_on_with_old_commands",
        || {
            let (mut peer, robot) = standing(27);
            let attack = Instant::now();
            robot.signal("STOP");
            peer.steps(AFTERWARDS);
            peer.assert_damped("SIGSTOP", attack);
            let revived = Instant::now();
            robot.signal("CONT");
            peer.steps(AFTERWARDS);
            let is_after = |(time, _): &&(Instant, bool)| *time > revived;
            let after: Vec<_> = peer.seen.iter().filter(is_after).collect();
            // What it was about to send when it was stopped may still leave.
            let num_old = after.iter().filter(|(_, damps)| !damps).count();
            println!("SIGCONT: {num_old} of {} commands are old", after.len());
            assert!(
                num_old <= 1 && after.len() > 100,
                "{num_old} of {}",
                after.len()
            );
            robot.wait_for("a guardian has damped all joints");
            stands_again(&mut peer, &robot);
            robot.end();
        },
    );
}

#[test]
fn dds_that_is_killed_leaves_a_damped_robot_and_comes_back() {
    in_own_network(
        "process::dds_that_is_killed_leaves_a_damped_robot_and_comes_back",
        || {
            // ABRT is what a panic in it ends with.
            for name in ["KILL", "STOP", "ABRT"] {
                let (mut peer, robot) = standing(28);
                peer.longest_silence = Duration::ZERO;
                let attack = Instant::now();
                signal(robot.helper("abs-dds"), name);
                peer.steps(2 * AFTERWARDS);
                peer.assert_damped(&format!("SIG{name} to DDS"), attack);
                stands_again(&mut peer, &robot);
                println!("SIG{name} to DDS: back after {:?}", peer.longest_silence);
                assert!(peer.longest_silence < Duration::from_secs(3));
                robot.end();
            }
        },
    );
}

#[test]
fn a_guardian_that_is_killed_or_hangs_is_replaced() {
    in_own_network(
        "process::a_guardian_that_is_killed_or_hangs_is_replaced",
        || {
            let (mut peer, robot) = standing(29);
            for name in ["KILL", "STOP"] {
                let before = robot.helpers("abs-guardian");
                assert_eq!(before.len(), 2);
                signal(before[0], name);
                let start = Instant::now();
                let is_replaced = |now: &[u32]| now.len() == 2 && !now.contains(&before[0]);
                while !is_replaced(&robot.helpers("abs-guardian")) {
                    assert!(start.elapsed() < PATIENCE, "{}", robot.said());
                    peer.step();
                }
            }
            robot.wait_for("a guardian has ended: another is started");
            peer.lead(&robot, "ready");
            let attack = Instant::now();
            robot.signal("KILL");
            peer.steps(AFTERWARDS);
            peer.assert_damped("SIGKILL with another guardian", attack);
        },
    );
}

#[test]
fn a_guardian_that_ends_or_hangs_together_with_the_run_is_not_missed() {
    in_own_network(
        "process::a_guardian_that_ends_or_hangs_together_with_the_run_is_not_missed",
        || {
            for (name, place) in [("KILL", 0), ("KILL", 1), ("STOP", 0)] {
                let (mut peer, robot) = standing(35);
                let guardian = robot.helpers("abs-guardian")[place];
                let attack = Instant::now();
                signal(guardian, name);
                robot.signal("KILL");
                peer.steps(AFTERWARDS);
                peer.assert_damped(
                    &format!("SIG{name} to a guardian, SIGKILL to the run"),
                    attack,
                );
                if name == "STOP" {
                    // It outlives the test otherwise.
                    signal(guardian, "KILL");
                }
            }
        },
    );
}
