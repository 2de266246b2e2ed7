//! RTPS packets, built without the DDS library: the best-effort samples of a writer that it has announced.

/// Protocol version 2.4, and the vendor id of RustDDS, which announces the writer.
const HEADER: [u8; 8] = *b"RTPS\x02\x04\x01\x12";
/// Kind and flags of a submessage with the time of its source, little endian.
const INFO_TIMESTAMP: [u8; 2] = [0x09, 0x01];
/// Kind and flags of a submessage with serialized data, little endian.
const DATA: [u8; 2] = [0x15, 0x05];
/// Bytes of a DATA submessage before the payload, without its header.
const DATA_HEADER_BYTES: u16 = 20;

/// A writer's globally unique id: the prefix of its participant and its entity id.
pub type Guid = [u8; 16];

/// Overwrites `packet` with a message that holds one sample: CDR with its encapsulation header, at most 65,000 bytes. It is
/// for all readers of `writer`, which drop it unless `sequence` is above that of the sample before.
pub fn write_sample(
    packet: &mut Vec<u8>,
    writer: &Guid,
    sequence: i64,
    unix_ns: u64,
    payload: &[u8],
) {
    let (seconds, nanoseconds) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    let fraction = (nanoseconds << 32) / 1_000_000_000;
    packet.clear();
    packet.extend(HEADER);
    packet.extend(&writer[..12]);
    packet.extend(INFO_TIMESTAMP);
    packet.extend(8u16.to_le_bytes());
    packet.extend((seconds as u32).to_le_bytes());
    packet.extend((fraction as u32).to_le_bytes());
    packet.extend(DATA);
    packet.extend((DATA_HEADER_BYTES + payload.len() as u16).to_le_bytes());
    // Extra flags, and the distance to the inline QoS, or without it to the payload.
    packet.extend([0, 0, 16, 0]);
    // Any reader.
    packet.extend([0; 4]);
    packet.extend(&writer[12..]);
    packet.extend(((sequence >> 32) as i32).to_le_bytes());
    packet.extend((sequence as u32).to_le_bytes());
    packet.extend(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{LowCmd, Message};

    #[test]
    fn a_sample_byte_by_byte() {
        let writer: Guid = std::array::from_fn(|index| index as u8 + 1);
        let mut packet = vec![7; 3];
        // 1.5 s after the epoch.
        write_sample(
            &mut packet,
            &writer,
            0x1_0000_0002,
            1_500_000_000,
            &[0, 1, 0, 0, 42],
        );
        let expected = [
            b"RTPS\x02\x04\x01\x12".as_slice(),
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            &[9, 1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0x80],
            &[0x15, 5, 25, 0, 0, 0, 16, 0, 0, 0, 0, 0, 13, 14, 15, 16],
            &[1, 0, 0, 0, 2, 0, 0, 0],
            &[0, 1, 0, 0, 42],
        ];
        assert_eq!(packet, expected.concat());
    }

    #[test]
    fn a_motor_command_is_one_packet_of_868_bytes() {
        let mut packet = Vec::new();
        write_sample(&mut packet, &[0; 16], 1, 0, &LowCmd::default().to_cdr());
        assert_eq!(packet.len(), 868);
    }
}
