//! Attacks on the process: its terminal, its signals.

use std::time::Instant;

use crate::{
    own_network::in_own_network,
    rig::{NO_SPORT_MODE, PATIENCE, Peer, Robot},
};

/// Lets the robot stand up.
#[track_caller]
fn stand(peer: &mut Peer, robot: &mut Robot) {
    let start = Instant::now();
    loop {
        peer.step();
        if peer.lead_to("ready") {
            return;
        }
        let ended = robot.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?} in state `{}`", peer.state);
        assert!(
            start.elapsed() < PATIENCE,
            "in state `{}`:\n{}",
            peer.state,
            robot.said()
        );
    }
}

#[test]
fn a_closed_terminal_does_not_end_the_run() {
    in_own_network("process::a_closed_terminal_does_not_end_the_run", || {
        let mut robot = Robot::start_unheard(23, NO_SPORT_MODE, &[]);
        let mut peer = Peer::new(23);
        // Every change of state is printed.
        stand(&mut peer, &mut robot);
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
