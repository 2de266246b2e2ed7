//! Datagrams that exploit the DDS library, of a spoofed writer and of one that nobody knows; and a network that goes away.

use std::{
    net::UdpSocket,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    own_network::{in_own_network, is_own_network},
    rig::{NO_SPORT_MODE, Peer, Robot, peak_mb},
};

/// Built-in writers of every participant: of publications, of subscriptions, of liveliness.
const BUILTIN_WRITERS: [[u8; 4]; 3] = [[0, 0, 3, 0xc2], [0, 0, 4, 0xc2], [0, 2, 0, 0xc2]];
/// Any reader.
const READER: [u8; 4] = [0; 4];
/// Memory that a process may take beyond what it had before the attack.
const MORE_MB: f64 = 64.0;

fn sequence_number(number: i64) -> Vec<u8> {
    let halves = [(number >> 32) as u32, number as u32];
    halves.map(u32::to_le_bytes).concat()
}

/// A message with one little-endian submessage.
fn message(writer: &[u8; 16], kind: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut bytes = b"RTPS\x02\x04\x01\x12".to_vec();
    bytes.extend(&writer[..12]);
    bytes.extend([kind, 1]);
    bytes.extend((body.len() as u16).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// HEARTBEAT: samples up to 2^40 are there.
fn heartbeat(writer: &[u8; 16]) -> Vec<u8> {
    let [first, last] = [1, 1 << 40].map(sequence_number);
    let count = 1_000_000_u32.to_le_bytes();
    message(writer, 7, &[&READER, &writer[12..], &first, &last, &count])
}

/// GAP: the samples from 2^20 to 2^40 are not.
fn gap(writer: &[u8; 16]) -> Vec<u8> {
    let [start, base] = [1 << 20, 1 << 40].map(sequence_number);
    message(writer, 8, &[&READER, &writer[12..], &start, &base, &[0; 4]])
}

/// DATA_FRAG: the first piece of a sample of 500 MB.
fn fragment(writer: &[u8; 16], sequence: i64) -> Vec<u8> {
    let before = [0, 0, 28, 0];
    let number = sequence_number(sequence);
    let place = [1, 0, 0, 0, 1, 0, 0xe8, 3];
    let size = 500_000_000_u32.to_le_bytes();
    let body: [&[u8]; 7] = [
        &before,
        &READER,
        &writer[12..],
        &number,
        &place,
        &size,
        &[0; 1000],
    ];
    message(writer, 0x16, &body)
}

/// Sends to the ports of participants 1 to 9; 0 is the peer of this test.
fn send(domain: u16, packets: &[Vec<u8>]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let base = 7400 + 250 * domain;
    for port in base + 12..base + 30 {
        for packet in packets {
            let _ = socket.send_to(packet, ("127.0.0.1", port));
        }
    }
}

/// Attacks a standing robot with what `packets` makes for each writer: it is never left stiff, memory is bounded, the link is
/// back in 3 s, and it stands up again.
fn attack(domain: u16, what: &str, packets: fn(&[u8; 16]) -> Vec<Vec<u8>>) {
    let mut peer = Peer::new(domain);
    let robot = Robot::start(domain, NO_SPORT_MODE, &[]);
    peer.lead(&robot, "ready");
    let [states, requests] = peer.writers();
    let builtin = BUILTIN_WRITERS.map(|entity| {
        let mut writer = states;
        writer[12..].copy_from_slice(&entity);
        writer
    });
    let unknown = *b"\x01\x12nobodyhere\0\0\x01\x03";
    let run = robot.child.id();
    let mut dds = robot.helper("abs-dds");
    let before_mb = [run, dds].map(|pid| peak_mb(pid).unwrap());
    let mut more_mb = [0.0, 0.0_f64];
    let mut restarts = 0;
    let mut back = Duration::ZERO;
    for writer in [states, requests, unknown].iter().chain(&builtin) {
        peer.longest_silence = Duration::ZERO;
        send(domain, &packets(writer));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            peer.steps(Duration::from_millis(10));
            for (index, pid) in [run, dds].into_iter().enumerate() {
                let peak = peak_mb(pid).unwrap_or_default();
                more_mb[index] = more_mb[index].max(peak - before_mb[index]);
            }
        }
        peer.lead(&robot, "ready");
        let now = robot.helper("abs-dds");
        restarts += u32::from(now != dds);
        dds = now;
        back = back.max(peer.longest_silence);
    }
    println!(
        "{what}: memory of run and DDS grew by {more_mb:.1?} MB, DDS started again {restarts} times, back after {back:.2?}"
    );
    peer.assert_never_left(what);
    assert!(
        more_mb.iter().all(|&mb| mb <= MORE_MB),
        "{what}: {more_mb:?} MB"
    );
    assert!(back < Duration::from_secs(3), "{what}: {back:?}");
    robot.end();
}

#[test]
fn a_heartbeat_of_endless_samples_leaves_no_stiff_robot() {
    in_own_network(
        "hostile::a_heartbeat_of_endless_samples_leaves_no_stiff_robot",
        || {
            attack(31, "HEARTBEAT to 2^40", |writer| vec![heartbeat(writer)]);
        },
    );
}

#[test]
fn a_gap_of_endless_samples_leaves_no_stiff_robot() {
    in_own_network(
        "hostile::a_gap_of_endless_samples_leaves_no_stiff_robot",
        || {
            attack(32, "GAP from 2^20 to 2^40", |writer| vec![gap(writer)]);
        },
    );
}

#[test]
fn fragments_of_huge_samples_leave_no_stiff_robot() {
    in_own_network(
        "hostile::fragments_of_huge_samples_leave_no_stiff_robot",
        || {
            attack(33, "DATA_FRAG of 500 MB", |writer| {
                let numbers = 1_000_001..1_000_005;
                numbers.map(|number| fragment(writer, number)).collect()
            });
        },
    );
}

/// Runs `ip` with these arguments.
#[track_caller]
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

#[test]
fn a_network_that_is_gone_is_told_and_comes_back() {
    in_own_network(
        "hostile::a_network_that_is_gone_is_told_and_comes_back",
        || {
            if !is_own_network() {
                return;
            }
            let mut peer = Peer::new(34);
            let robot = Robot::start(34, NO_SPORT_MODE, &[]);
            peer.lead(&robot, "ready");
            ip("addr del 127.0.0.1/8 dev lo");
            robot.wait_for("motor commands do not leave this computer: ");
            // What had arrived before.
            peer.steps(Duration::from_millis(20));
            let back = Instant::now();
            ip("addr add 127.0.0.1/8 dev lo");
            peer.steps(Duration::from_secs(1));
            let is_after = |(time, _): &&(Instant, bool)| *time > back;
            let after: Vec<_> = peer.seen.iter().filter(is_after).collect();
            assert!(after.len() > 50, "{} commands", after.len());
            assert!(
                after.iter().all(|(_, damps)| *damps),
                "it lost sight of the robot"
            );
            peer.lead(&robot, "ready");
            robot.end();
        },
    );
}
