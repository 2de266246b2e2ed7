//! Damages the bytes of a file, as a broken disk, an editor or an attacker may. Included by the tests of several crates.

#![allow(dead_code, reason = "not all of them need all of it")]

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use rand::RngExt;
use rand_pcg::Pcg64;

/// How long reading one file may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// What numbers of a text are replaced with.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1e10",
    "9e18",
    "-9e18",
    "1e38",
    "1e300",
    "1e-300",
    "nan",
    "inf",
    "-inf",
    "18446744073709551615",
    "-9223372036854775808",
    "1.6",
];
/// What words of a binary file are replaced with, little endian.
const WORDS: [u64; 8] = [
    0,
    1,
    u64::MAX,
    i64::MAX as u64,
    1 << 32,
    1 << 40,
    0x7FC0_0000_7FC0_0000,
    0xFF80_0000_7F80_0000,
];

/// `bytes` damaged in one to three ways; the seed decides.
pub fn damaged(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Pcg64::new(u128::from(seed), 0x0da_3a6e);
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..=3) {
        damage(&mut bytes, &mut random);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, random: &mut Pcg64) {
    if bytes.is_empty() {
        return;
    }
    let at = random.random_range(0..bytes.len());
    let end = bytes.len().min(at + random.random_range(1..200));
    match random.random_range(0..11) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.random_range(0..8),
        2 => bytes[at..end]
            .iter_mut()
            .for_each(|byte| *byte = random.random()),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => {
            let long = [b"a", b"[", b"9", b"\n", b"."][random.random_range(0..5)];
            bytes.splice(at..at, long.repeat(random.random_range(1..100_000)));
        }
        6 => {
            let word = WORDS[random.random_range(0..WORDS.len())].to_le_bytes();
            let len = word.len().min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&word[..len]);
        }
        // Numbers are what most of a text file is read for.
        _ => {
            let number = NUMBERS[random.random_range(0..NUMBERS.len())];
            if let Some(range) = number_at(bytes, at) {
                bytes.splice(range, number.bytes());
            }
        }
    }
}

/// The first number in a text at or after a byte.
fn number_at(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + bytes[from..].iter().position(u8::is_ascii_digit)?;
    let is_part = |byte: &u8| byte.is_ascii_digit() || b".eE+-".contains(byte);
    let len = bytes[start..].iter().position(|byte| !is_part(byte));
    Some(start..len.map_or(bytes.len(), |len| start + len))
}

/// Damages `file`, and has `read` read it, many times. Prints how many were accepted nevertheless.
pub fn survive(file: &Path, read: impl Fn(&[u8]) -> Result<(), String> + Send + 'static) {
    let count = std::env::var("DAMAGED_FILES").map_or(300, |count| count.parse().unwrap());
    let original = fs::read(file).unwrap();
    read(&original).expect("the shipped file");
    let (path, (done, results)) = (file.to_owned(), channel());
    let reader = thread::spawn(move || {
        for seed in 0..count {
            let bytes = damaged(&original, seed);
            fs::write(&path, &bytes).unwrap();
            // The test has failed when nobody listens.
            let _ = done.send(read(&bytes));
        }
    });
    let mut accepted = 0;
    for seed in 0..count {
        match results.recv_timeout(DEADLINE) {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(line)) => assert!(
                !line.is_empty() && !line.contains('\n'),
                "seed {seed}: {:.300}",
                line.escape_debug().to_string()
            ),
            Err(RecvTimeoutError::Timeout) => panic!("{}: seed {seed} hangs", file.display()),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{}: seed {seed} makes a panic", file.display())
            }
        }
    }
    reader.join().unwrap();
    println!("{}: {accepted} of {count} accepted", file.display());
    assert!(peak_memory_mb() < 1000, "{} MB", peak_memory_mb());
}

fn peak_memory_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1000
}
