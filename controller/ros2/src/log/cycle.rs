//! A control cycle as a message of the log, which every ROS 2 reader of MCAP understands.

use controller::deploy::CycleRecord;

use crate::messages::{Message, message};

/// Channel of the control cycles.
pub const CYCLE_TOPIC: &str = "abs/cycle";
/// Version of the layout of cycle records and their settings.
pub const CYCLE_LAYOUT: &str = "4";
/// What the channel says of [`Cycle::record`].
pub const RECORD_FORMAT: &str = "deploy::CycleRecord in postcard";

message! {
    /// The whole record, and what is worth seeing without this program.
    "abs" "Cycle" Cycle {
        cycle: u64,
        time_ns: u64,
        record: Vec<u8>,
    }
}

/// The bytes of a message with `record`.
///
/// # Errors
/// Only if postcard refuses.
pub(super) fn encode(record: &CycleRecord) -> postcard::Result<Vec<u8>> {
    let message = Cycle {
        cycle: record.input.cycle,
        time_ns: record.input.time_ns,
        record: postcard::to_stdvec(record)?,
    };
    Ok(message.to_cdr())
}

/// The record in the bytes of a message.
///
/// # Errors
/// What is wrong with them.
pub fn decode_cycle(message: &[u8]) -> Result<CycleRecord, String> {
    let message = Cycle::from_cdr(message).ok_or("is no message `abs/msg/Cycle`")?;
    postcard::from_bytes(&message.record).map_err(|error| error.to_string())
}
