//! The thread that receives the state of the robot.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use triple_buffer::Input;

use controller::deploy::{Operator, Request, RobotSample, is_emergency_stop, now_ns};

use super::{
    STATE_TOPIC, Shared,
    dds::frames::{FrameReader, Kind},
    rtps::Guid,
};
use crate::{
    MotorMap,
    deliberate_panic::Panicking,
    log::Recorder,
    messages::{LowState, Message as _},
    network::POLL,
    state_source::StateSource,
};

/// A robot that was silent for this long may have restarted, ns.
const AWAY_NS: u64 = 200_000_000;

pub struct States {
    pub map: MotorMap,
    pub robot: Input<RobotSample>,
    pub source: StateSource,
    pub operator: Arc<Operator>,
    pub recorder: Option<Recorder>,
}

impl States {
    /// Receives until the link stops or breaks.
    ///
    /// # Errors
    /// When the DDS process has ended.
    pub fn run(&mut self, from: &mut FrameReader, shared: &Shared) -> io::Result<()> {
        while shared.is_running() {
            from.receive(POLL)?;
            Panicking::States.panic_if_due();
            while let Some(frame) = from.next()? {
                let now_ns = now_ns();
                shared.states_alive_ns.store(now_ns, Ordering::Release);
                if frame.kind == Kind::Sample
                    && let Some(state) = LowState::from_cdr(frame.body)
                {
                    self.handle(&state, frame.publisher, now_ns, shared);
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, state: &LowState, publisher: Guid, now_ns: u64, shared: &Shared) {
        if let Some(recorder) = &self.recorder {
            recorder.message(STATE_TOPIC, state);
        }
        let sample = self.source.sample(&self.map, state, publisher, now_ns);
        // The slot holds the newest state only.
        if sample.crc_ok && is_emergency_stop(sample.remote_buttons) {
            self.operator.request(Request::EmergencyStop);
        }
        self.robot.write(sample);
        let before_ns = shared.received_ns.swap(now_ns, Ordering::AcqRel);
        if before_ns > 0 && now_ns.saturating_sub(before_ns) > AWAY_NS {
            shared.returned.store(true, Ordering::Release);
        }
    }
}
