//! Other programs that command the same motors.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{COMMAND_TOPIC, dds::endpoints::Subscription, rtps::Guid};
use crate::messages::LowCmd;

/// Another program counts as present for this long after each of its commands, ns.
const PRESENT_NS: u64 = 1_000_000_000;
/// Nothing is sent before others were listened to for this long, ns.
const LISTEN_NS: u64 = 500_000_000;
/// Writers of this program that are remembered.
const OWN: usize = 16;

/// Listens to the motor commands of others.
pub struct Commanders {
    present: Arc<AtomicBool>,
    /// Participants of this program, those of connections that broke included.
    own: Vec<[u8; 12]>,
    /// When others were listened to first, and heard last, ns; 0 for never.
    since_ns: u64,
    heard_ns: u64,
}

impl Commanders {
    /// `present` tells the control thread; at first the joints belong to somebody else.
    pub fn new(present: Arc<AtomicBool>) -> Self {
        present.store(true, Ordering::Release);
        Self {
            present,
            own: Vec::new(),
            since_ns: 0,
            heard_ns: 0,
        }
    }

    /// Takes note that this writer is that of this program.
    pub fn is_ours(&mut self, writer: &Guid) {
        let participant = participant_of(writer);
        if !self.own.contains(&participant) {
            self.own.truncate(OWN - 1);
            self.own.insert(0, participant);
        }
    }

    /// Reads what has come. A notice while another program commands.
    pub fn poll(&mut self, commands: &Subscription<LowCmd>, now_ns: u64) -> Option<String> {
        if self.since_ns == 0 {
            self.since_ns = now_ns;
        }
        let mut foreign = None;
        while let Some((_, writer)) = commands.take_from() {
            let participant = participant_of(&writer);
            if !self.own.contains(&participant) {
                foreign = Some(participant);
            }
        }
        let id = foreign?;
        self.heard_ns = now_ns;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!(
            "another program commands the motors: commands of participant {id} come on rt/{COMMAND_TOPIC}; end it, two do not command one robot"
        ))
    }

    /// Tells the control thread that somebody else commands: another program, or a mode of the robot, until it is released.
    pub fn tell(&self, now_ns: u64, are_ours: bool) {
        let present = !are_ours || self.is_heard(now_ns);
        self.present.store(present, Ordering::Release);
    }

    /// Listens from now on anew, e.g. because the robot's own mode has only now released the joints.
    pub fn listen_again(&mut self) {
        (self.since_ns, self.heard_ns) = (0, 0);
    }

    /// Whether nobody else has commanded for long enough.
    pub fn are_absent(&self, now_ns: u64) -> bool {
        self.since_ns > 0
            && now_ns.saturating_sub(self.since_ns) >= LISTEN_NS
            && !self.is_heard(now_ns)
    }

    fn is_heard(&self, now_ns: u64) -> bool {
        self.heard_ns > 0 && now_ns.saturating_sub(self.heard_ns) < PRESENT_NS
    }
}

/// GUID prefix of the participant that an entity belongs to.
fn participant_of(guid: &Guid) -> [u8; 12] {
    std::array::from_fn(|index| guid[index])
}
