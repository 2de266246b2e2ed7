//! Other programs that command the same motors.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ros2_client::dds::rustdds::{
    DomainParticipant, DomainParticipantStatusEvent, GUID, QosPolicyBuilder, RTPSEntity as _,
    ReadCondition, TopicKind, no_key::DataReaderCdr, policy,
};

use super::COMMAND_TOPIC;
use crate::messages::{LowCmd, Message as _};

/// Another program counts as present for this long after each of its commands, ns.
const PRESENT_NS: u64 = 1_000_000_000;
/// Nothing is sent before others were listened to for this long, ns.
const LISTEN_NS: u64 = 500_000_000;
/// Commands that are read in a row.
const BURST: usize = 64;

/// Listens to the motor commands of others, as soon as discovery finds a publisher of them: a publisher that is silent
/// does no harm.
pub struct Commanders {
    present: Arc<AtomicBool>,
    /// Participants of this program, those of connections that broke included.
    own: Vec<[u8; 12]>,
    /// Reads the commands of one connection, its own included.
    reader: Option<DataReaderCdr<LowCmd>>,
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
            reader: None,
            since_ns: 0,
            heard_ns: 0,
        }
    }

    /// Begins with another connection.
    pub fn connect(&mut self, participant: &DomainParticipant) {
        self.own.push(participant_of(participant.guid()));
        self.reader = None;
    }

    /// Takes note of a publisher that discovery has found.
    pub fn observe(
        &mut self,
        participant: &DomainParticipant,
        event: &DomainParticipantStatusEvent,
    ) {
        let DomainParticipantStatusEvent::WriterDetected { writer } = event else {
            return;
        };
        let is_command = writer.topic_name.strip_prefix("rt/") == Some(COMMAND_TOPIC);
        if is_command && !self.own.contains(&participant_of(writer.guid)) && self.reader.is_none() {
            self.reader = listen(participant);
        }
    }

    /// Reads what has come. A notice while another program commands.
    pub fn poll(&mut self, now_ns: u64) -> Option<String> {
        if self.since_ns == 0 {
            self.since_ns = now_ns;
        }
        let mut foreign = None;
        if let Some(reader) = &mut self.reader {
            let samples = reader.take(BURST, ReadCondition::any()).unwrap_or_default();
            let writers = samples
                .iter()
                .map(|sample| sample.sample_info().writer_guid());
            let mut participants = writers.map(participant_of).rev();
            foreign = participants.find(|id| !self.own.contains(id));
        }
        if foreign.is_some() {
            self.heard_ns = now_ns;
        }
        foreign.map(|id| {
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(
                "another program commands the motors: commands of participant {id} come on rt/{COMMAND_TOPIC}; end it, two do not command one robot"
            )
        })
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
fn participant_of(guid: GUID) -> [u8; 12] {
    let bytes = guid.to_bytes();
    std::array::from_fn(|index| bytes[index])
}

/// Subscribes to the motor commands; none where DDS refuses.
fn listen(participant: &DomainParticipant) -> Option<DataReaderCdr<LowCmd>> {
    let qos = QosPolicyBuilder::new()
        .reliability(policy::Reliability::BestEffort)
        .history(policy::History::KeepLast { depth: 16 })
        .build();
    let topic = participant
        .create_topic(
            format!("rt/{COMMAND_TOPIC}"),
            LowCmd::type_name().dds_msg_type(),
            &qos,
            TopicKind::NoKey,
        )
        .ok()?;
    let subscriber = participant.create_subscriber(&qos).ok()?;
    subscriber
        .create_datareader_no_key_cdr::<LowCmd>(&topic, None)
        .ok()
}
