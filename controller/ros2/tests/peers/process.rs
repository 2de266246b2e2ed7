//! Attacks on the processes: their terminal, their signals, their end.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    own_network::in_own_network,
    rig::{NO_SPORT_MODE, PATIENCE, Peer, Robot, signal},
};

/// Longer than the damping that is to be seen.
const AFTERWARDS: Duration = Duration::from_millis(1500);

/// A standing robot, and its peer.
fn standing(domain: u16) -> (Peer, Robot) {
    let mut peer = Peer::new(domain);
    let robot = Robot::start(domain, NO_SPORT_MODE, &[]);
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
            robot.wait_for("its guardian has damped all joints");
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
            for name in ["KILL", "STOP"] {
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
                let guardian = robot.helper("abs-guardian");
                signal(guardian, name);
                let start = Instant::now();
                while robot.helper("abs-guardian") == guardian {
                    assert!(start.elapsed() < PATIENCE, "{}", robot.said());
                    peer.step();
                }
            }
            robot.wait_for("the guardian has ended: another is started");
            peer.lead(&robot, "ready");
            let attack = Instant::now();
            robot.signal("KILL");
            peer.steps(AFTERWARDS);
            peer.assert_damped("SIGKILL with another guardian", attack);
        },
    );
}
