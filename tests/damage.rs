//! Damages the bytes of a file, as a broken disk, an editor or an attacker may. Included by the tests of several crates.

use std::ops::Range;

use rand::RngExt;
use rand_pcg::Pcg64;

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
