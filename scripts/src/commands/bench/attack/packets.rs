//! RTPS datagrams as they should be, and damaged.

use rand::{Rng, RngExt as _};
use ros2::messages::{LowState, Message as _};

/// A writer's prefix and entity.
pub type Guid = [u8; 16];

/// Who a datagram pretends to come from.
#[derive(Clone, Copy, Debug)]
pub struct Writer(pub Guid);

impl Writer {
    /// Those of a participant that is known, its built-in ones included, and one that nobody knows.
    pub fn all(of_states_and_requests: [Guid; 2]) -> Vec<Self> {
        let [states, requests] = of_states_and_requests;
        // Of participants, publications, subscriptions and liveliness.
        let builtin = [[0, 1, 0], [0, 0, 3], [0, 0, 4], [0, 2, 0]].map(|key: [u8; 3]| {
            let mut writer = states;
            writer[12..15].copy_from_slice(&key);
            writer[15] = 0xc2;
            writer
        });
        let unknown = *b"\x01\x12nobodyhere\0\0\x01\x03";
        let known = [states, requests];
        known
            .iter()
            .chain(&builtin)
            .chain([&unknown])
            .map(|&guid| Self(guid))
            .collect()
    }
}

/// What is done to a datagram.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// Some bits are flipped.
    Bits,
    /// Some words have extreme values.
    Extremes,
    /// It is cut off.
    Cut,
}

impl Damage {
    pub const ALL: [Self; 3] = [Self::Bits, Self::Extremes, Self::Cut];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bits => "bits",
            Self::Extremes => "extremes",
            Self::Cut => "cut",
        }
    }
}

/// A kind of submessage.
pub struct Seed {
    pub name: &'static str,
    id: u8,
    body: fn(&Writer, sequence: i64) -> Vec<u8>,
}

fn seed(name: &'static str, id: u8, body: fn(&Writer, i64) -> Vec<u8>) -> Seed {
    Seed { name, id, body }
}

/// RTPS 2.3, section 9.4.5.
pub fn seeds() -> Vec<Seed> {
    vec![
        seed("PAD", 0x01, |_, _| vec![0; 16]),
        seed("ACKNACK", 0x06, |writer, number| {
            let set = number_set(number, 64);
            join(&[&READER, writer.entity(), &set, &COUNT])
        }),
        seed("HEARTBEAT", 0x07, |writer, number| {
            let [first, last] = [1, number].map(sequence_number);
            join(&[&READER, writer.entity(), &first, &last, &COUNT])
        }),
        seed("GAP", 0x08, |writer, number| {
            let (start, set) = (sequence_number(1), number_set(number, 64));
            join(&[&READER, writer.entity(), &start, &set])
        }),
        seed("INFO_TS", 0x09, |_, _| vec![1; 8]),
        seed("INFO_SRC", 0x0c, |writer, _| {
            join(&[&[0; 4], &[2, 4, 1, 0x12], writer.prefix()])
        }),
        seed("INFO_REPLY_IP4", 0x0d, |_, _| {
            vec![127, 0, 0, 1, 0, 0, 0x1d, 0]
        }),
        seed("INFO_DST", 0x0e, |writer, _| writer.prefix().to_vec()),
        seed("INFO_REPLY", 0x0f, |_, _| {
            join(&[&1_u32.to_le_bytes(), &[1; 24]])
        }),
        seed("NACK_FRAG", 0x12, |writer, number| {
            let (sample, fragments) = (sequence_number(number), fragment_set(64));
            join(&[&READER, writer.entity(), &sample, &fragments, &COUNT])
        }),
        seed("HEARTBEAT_FRAG", 0x13, |writer, number| {
            let sample = sequence_number(number);
            join(&[
                &READER,
                writer.entity(),
                &sample,
                &8_u32.to_le_bytes(),
                &COUNT,
            ])
        }),
        seed("DATA of a state", 0x15, |writer, number| {
            data(writer, number, &LowState::default().sealed().to_cdr())
        }),
        seed("DATA of a participant", 0x15, |writer, number| {
            data(
                writer,
                number,
                &parameters(&[PROTOCOL, (0x50, writer.0.to_vec()), LEASE]),
            )
        }),
        seed("DATA of a topic", 0x15, |writer, number| {
            let text = |text: &str| {
                let length = text.len() as u32 + 1;
                join(&[&length.to_le_bytes(), text.as_bytes(), &[0]])
            };
            let (topic, name) = (
                text("rt/lowstate"),
                text("unitree_go::msg::dds_::LowState_"),
            );
            data(
                writer,
                number,
                &parameters(&[(0x5a, writer.0.to_vec()), (5, topic), (7, name)]),
            )
        }),
        seed("DATA_FRAG", 0x16, |writer, number| {
            let sample = sequence_number(number);
            // One piece of 1000 bytes of a sample of 100 kB.
            let place = [1, 0, 0, 0, 1, 0, 0xe8, 3];
            let size = 100_000_u32.to_le_bytes();
            let before = [0, 0, 28, 0];
            join(&[
                &before,
                &READER,
                writer.entity(),
                &sample,
                &place,
                &size,
                &[0; 1000],
            ])
        }),
    ]
}

/// Any reader.
const READER: [u8; 4] = [0; 4];
/// Of a heartbeat, higher than those before.
const COUNT: [u8; 4] = [0, 0, 0x10, 0];
/// A parameter: its id, and its value.
type Parameter = (u16, Vec<u8>);
const PROTOCOL: Parameter = (0x15, Vec::new());
const LEASE: Parameter = (0x02, Vec::new());
/// Words that a sum, a product or a loop does not expect.
const EXTREMES: [u32; 8] = [
    0,
    1,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX,
    1 << 20,
    1 << 30,
    0xffff,
];

impl Writer {
    fn prefix(&self) -> &[u8] {
        &self.0[..12]
    }

    fn entity(&self) -> &[u8] {
        &self.0[12..]
    }
}

impl Seed {
    /// A damaged datagram.
    pub fn packet(&self, writer: &Writer, damage: Damage, random: &mut impl Rng) -> Vec<u8> {
        let number = random.random_range(1..1_000_000);
        let mut body = (self.body)(writer, number);
        // The writer stays, so that the datagram is not dropped for that.
        match damage {
            Damage::Bits => {
                for _ in 0..random.random_range(1..9) {
                    let bit = random.random_range(0..8 * body.len());
                    body[bit / 8] ^= 1 << (bit % 8);
                }
            }
            Damage::Extremes => {
                for _ in 0..random.random_range(1..4) {
                    let word = random.random_range(0..body.len() / 4);
                    let value = EXTREMES[random.random_range(0..EXTREMES.len())];
                    body[4 * word..][..4].copy_from_slice(&value.to_le_bytes());
                }
            }
            Damage::Cut => {}
        }
        let length = body.len() as u16;
        if let Damage::Cut = damage {
            body.truncate(random.random_range(0..body.len()));
        }
        // Half of those that are cut say so.
        let told = match random.random::<bool>() {
            true => length,
            false => body.len() as u16,
        };
        // Little endian, and for DATA with data.
        let flags = if self.id == 0x15 { 5 } else { 1 };
        let header = join(&[b"RTPS\x02\x04\x01\x12", writer.prefix(), &[self.id, flags]]);
        join(&[&header, &told.to_le_bytes(), &body])
    }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn sequence_number(number: i64) -> Vec<u8> {
    let halves = [(number >> 32) as u32, number as u32];
    halves.map(u32::to_le_bytes).concat()
}

/// Sequence numbers from `base`, with a bit for each.
fn number_set(base: i64, bits: u32) -> Vec<u8> {
    join(&[&sequence_number(base), &bits.to_le_bytes(), &[0x55; 8]])
}

/// The same of fragments.
fn fragment_set(bits: u32) -> Vec<u8> {
    join(&[&1_u32.to_le_bytes(), &bits.to_le_bytes(), &[0x55; 8]])
}

fn data(writer: &Writer, number: i64, payload: &[u8]) -> Vec<u8> {
    let before = [0, 0, 16, 0];
    join(&[
        &before,
        &READER,
        writer.entity(),
        &sequence_number(number),
        payload,
    ])
}

/// A list of parameters, with its encapsulation header.
fn parameters(list: &[Parameter]) -> Vec<u8> {
    let mut bytes = vec![0, 3, 0, 0];
    for (id, value) in list {
        let mut value = value.clone();
        value.resize(value.len().next_multiple_of(4).max(8), 0);
        bytes.extend(id.to_le_bytes());
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(value);
    }
    bytes.extend([1, 0, 0, 0]);
    bytes
}
