//! Peers that fall silent, freeze, lose messages, have no clock, or talk nonsense.

use std::{net::UdpSocket, path::PathBuf, time::Instant};

use controller::deploy::{CYCLE_NS, CycleRecord, Fault, State};
use ros2::{
    Delivery,
    messages::{Header, LaserScan, Odometry, Pose, PoseWithCovariance, Twist, TwistWithCovariance},
};

use crate::{
    own_network::in_own_network,
    rig::{NO_SPORT_MODE, PATIENCE, Peer, Random, Robot, cycles},
};

/// `abs-robot` with a log, and the robot that it talks to.
struct Scene {
    robot: Robot,
    peer: Peer,
    log: PathBuf,
    start: Instant,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn start(domain: u16, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.mcap");
        let flags = [&["--log", log.to_str().unwrap()], flags].concat();
        Self {
            peer: Peer::new(domain),
            robot: Robot::start(domain, NO_SPORT_MODE, &flags),
            log,
            start: Instant::now(),
            _folder: folder,
        }
    }

    /// Goes on with `step` until it says that it is over.
    fn until(&mut self, mut step: impl FnMut(&mut Peer) -> bool) {
        while !step(&mut self.peer) {
            assert!(
                self.start.elapsed() < 2 * PATIENCE,
                "in state `{}`:\n{}",
                self.peer.state,
                self.robot.said()
            );
        }
    }

    /// Feeds states and asks until the robot is in `state`.
    fn lead_to(&mut self, state: &str) {
        self.until(|peer| {
            peer.step();
            peer.lead_to(state)
        });
    }

    /// Ends it as Ctrl-C does, and reads the log.
    fn end(self) -> Vec<CycleRecord> {
        self.robot.end();
        cycles(&self.log)
    }
}

fn is_damped(cycle: &CycleRecord) -> bool {
    let mut joints = cycle.command.joints.iter();
    joints.all(|joint| joint.stiffness == 0.0 && joint.damping > 0.0)
}

/// Checks that all joints are damped within 40 ms after the cycle `last_good`, by the clock of the control thread; a busy
/// machine misses deadlines, which are counted. Gives the first cycle in which they are.
#[track_caller]
fn damped_after(cycles: &[CycleRecord], last_good: usize) -> usize {
    let after = cycles[last_good + 1..].iter().position(is_damped);
    let damped = last_good + 1 + after.expect("damped at some time");
    let missed: u32 = cycles[last_good + 1..=damped]
        .iter()
        .map(|cycle| cycle.input.missed)
        .sum();
    let since_ns = cycles[damped].input.time_ns - cycles[last_good].input.time_ns;
    let allowed_ns = 40_000_000 + CYCLE_NS * u64::from(missed);
    assert!(since_ns <= allowed_ns, "{since_ns} ns, {missed} missed");
    damped
}

#[test]
fn a_killed_peer_is_answered_with_damping_within_40_ms_and_can_come_back() {
    in_own_network(
        "bad_network::a_killed_peer_is_answered_with_damping_within_40_ms_and_can_come_back",
        || {
            let mut scene = Scene::start(12, &[]);
            scene.lead_to("stand up");
            // No more states from here on.
            scene.robot.wait_for("F02 stale state");
            scene.lead_to("damping");
            scene.lead_to("stand up");
            let cycles = scene.end();
            let silent = cycles
                .iter()
                .position(|cycle| cycle.status.latched_faults.contains(Fault::StaleState))
                .unwrap();
            assert!(is_damped(&cycles[silent]));
            let input = &cycles[silent].input;
            let age_ns = input.time_ns - input.robot.received_ns;
            let allowed_ns = 22_000_000 + CYCLE_NS * u64::from(input.missed);
            assert!((20_000_000..=allowed_ns).contains(&age_ns), "{age_ns} ns");
            let back = &cycles[silent..];
            assert!(
                back.iter()
                    .any(|cycle| cycle.status.state == State::StandUp)
            );
        },
    );
}

#[test]
fn a_state_that_comes_frozen_is_answered_with_damping_within_40_ms() {
    in_own_network(
        "bad_network::a_state_that_comes_frozen_is_answered_with_damping_within_40_ms",
        || {
            let mut scene = Scene::start(16, &[]);
            scene.lead_to("ready");
            let tick = scene.peer.tick();
            // States go on to come, but say the same.
            scene.until(|peer| {
                peer.step_frozen();
                peer.state == "fault"
            });
            for _ in 0..200 {
                scene.peer.step_frozen();
            }
            let cycles = scene.end();
            let frozen = cycles
                .iter()
                .position(|cycle| cycle.input.robot.tick == tick)
                .unwrap();
            assert!(!is_damped(&cycles[frozen]));
            let damped = damped_after(&cycles, frozen);
            assert!(cycles[damped].status.faults.contains(Fault::StaleState));
            // Later ones are no news.
            let last = cycles.last().unwrap();
            let newer_ns = last.input.robot.received_ns - cycles[damped].input.robot.received_ns;
            assert!(newer_ns > 0 && last.input.robot.tick == tick && is_damped(last));
        },
    );
}

#[test]
fn with_thirty_percent_of_the_messages_lost_it_goes_on_or_damps() {
    in_own_network(
        "bad_network::with_thirty_percent_of_the_messages_lost_it_goes_on_or_damps",
        || {
            let mut scene = Scene::start(17, &[]);
            scene.peer.lost = 0.3;
            scene.lead_to("ready");
            let taken = scene.peer.commands_taken;
            let mut steps = 0;
            scene.until(|peer| {
                peer.step();
                peer.lead_to("ready");
                steps += 1;
                steps == 1000
            });
            assert!(scene.peer.commands_taken > taken + 100, "commands go on");
            let cycles = scene.end();
            let ready = |cycle: &&CycleRecord| cycle.status.state == State::Ready;
            assert!(cycles.iter().filter(ready).count() > 100);
            for cycle in &cycles {
                let age_ns = cycle
                    .input
                    .time_ns
                    .saturating_sub(cycle.input.robot.received_ns);
                assert!(age_ns < 22_000_000 || is_damped(cycle), "{cycle:?}");
            }
        },
    );
}

#[test]
fn stamps_that_stand_still_do_not_matter() {
    in_own_network("bad_network::stamps_that_stand_still_do_not_matter", || {
        let mut scene = Scene::start(18, &["--goal", "3,0"]);
        let newest = Delivery::Newest;
        let scans = scene.peer.ros.publish("scan", newest).unwrap();
        let odometries = scene.peer.ros.publish("odom", newest).unwrap();
        let header = |frame: &str| Header {
            frame_id: frame.to_owned(),
            ..Header::default()
        };
        let scan = LaserScan {
            header: header("base_link"),
            angle_min: -3.0,
            angle_max: 3.0,
            angle_increment: 0.01,
            time_increment: 0.0,
            scan_time: 0.0,
            range_min: 0.05,
            range_max: 20.0,
            ranges: vec![8.0; 601],
            intensities: Vec::new(),
        };
        let covariance = [0.0; 36];
        let odometry = Odometry {
            header: header("odom"),
            child_frame_id: "base_link".to_owned(),
            pose: PoseWithCovariance {
                pose: Pose::default(),
                covariance,
            },
            twist: TwistWithCovariance {
                twist: Twist::default(),
                covariance,
            },
        };
        let (mut steps, mut running) = (0, 0);
        scene.until(|peer| {
            peer.step();
            steps += 1;
            if steps % 10 == 0 {
                scans.publish(scan.clone()).unwrap();
                odometries.publish(odometry.clone()).unwrap();
            }
            running += u32::from(peer.lead_to("run"));
            running == 500
        });
        let cycles = scene.end();
        let mut running = cycles
            .iter()
            .filter(|cycle| cycle.status.state == State::Run);
        assert!(running.clone().count() > 300);
        assert!(running.all(|cycle| {
            let faults = cycle.status.faults;
            ![Fault::StaleRays, Fault::StaleOdometry, Fault::Clock]
                .iter()
                .any(|&fault| faults.contains(fault))
        }));
    });
}

#[test]
fn garbage_on_the_dds_ports_does_not_stop_it() {
    in_own_network(
        "bad_network::garbage_on_the_dds_ports_does_not_stop_it",
        || {
            const DOMAIN: u16 = 13;
            let mut scene = Scene::start(DOMAIN, &[]);
            scene.until(|peer| {
                peer.step();
                peer.commands_taken > 20
            });
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut random = Random(0x9E37_79B9_7F4A_7C15);
            for round in 0..3000_usize {
                let mut packet: Vec<u8> = (0..1 + round % 300).map(|_| random.byte()).collect();
                // Half of them look like RTPS up to their submessages, some up to a known kind of submessage.
                if round % 2 == 0 && packet.len() > 24 {
                    packet[..8].copy_from_slice(b"RTPS\x02\x03\x01\x12");
                    if round % 4 == 0 {
                        packet[20] =
                            [0x01, 0x06, 0x07, 0x08, 0x09, 0x0e, 0x15, 0x16][round / 4 % 8];
                    }
                }
                // Those of this program, participant 0, are left out.
                let base = 7400 + 250 * DOMAIN;
                for port in [base + 12, base + 13] {
                    let _ = socket.send_to(&packet, ("127.0.0.1", port));
                }
                if round % 10 == 0 {
                    scene.peer.step();
                }
            }
            // It goes on, or it connects anew.
            let taken = scene.peer.commands_taken;
            scene.until(|peer| {
                peer.step();
                peer.commands_taken > taken + 100
            });
            scene.end();
        },
    );
}
