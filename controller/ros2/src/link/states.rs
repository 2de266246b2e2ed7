//! The thread that receives the state of the robot.

use std::{io, sync::atomic::Ordering};

use triple_buffer::Input;

use controller::deploy::{RobotSample, now_ns};

use super::{
    STATE_TOPIC, Shared,
    dds::frames::{FrameReader, Kind},
};
use crate::{
    MotorMap,
    log::Recorder,
    messages::{LowState, Message as _},
    network::POLL,
};

/// A robot that was silent for this long may have restarted, ns.
const AWAY_NS: u64 = 200_000_000;

pub struct States {
    pub map: MotorMap,
    pub robot: Input<RobotSample>,
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
            while let Some(frame) = from.next()? {
                let now_ns = now_ns();
                shared.states_alive_ns.store(now_ns, Ordering::Release);
                if frame.kind == Kind::Sample
                    && let Some(state) = LowState::from_cdr(frame.body)
                {
                    self.handle(&state, now_ns, shared);
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, state: &LowState, now_ns: u64, shared: &Shared) {
        if let Some(recorder) = &self.recorder {
            recorder.message(STATE_TOPIC, state);
        }
        self.robot.write(self.map.sample(state, now_ns));
        let before_ns = shared.received_ns.swap(now_ns, Ordering::AcqRel);
        if before_ns > 0 && now_ns.saturating_sub(before_ns) > AWAY_NS {
            shared.returned.store(true, Ordering::Release);
        }
    }
}
