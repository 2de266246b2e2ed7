//! The thread that receives the state of the robot.

use std::sync::{Arc, atomic::Ordering};

use ros2_client::{
    Subscription,
    dds::rustdds::mio1::{Events, Interest, Poll, Token},
};
use triple_buffer::Input;

use controller::deploy::{Operator, Request, RobotSample, is_emergency_stop, now_ns};

use super::{STATE_TOPIC, Shared};
use crate::{
    MotorMap, log::Recorder, messages::LowState, network::POLL, sensors::take_from,
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
    pub fn run(&mut self, mut states: Subscription<LowState>, shared: &Shared) {
        let Ok(mut poll) = Poll::new() else {
            shared.broken.store(true, Ordering::Release);
            return;
        };
        let mut events = Events::with_capacity(4);
        let registered = poll
            .registry()
            .register(&mut states, Token(0), Interest::READABLE);
        if registered.is_err() {
            shared.broken.store(true, Ordering::Release);
            return;
        }
        // Malformed messages are dropped; the I/O thread reports foreign types.
        let mut ignore = |_: String| ();
        while shared.is_running() {
            // A poll that was interrupted is followed by the next.
            let _ = poll.poll(&mut events, Some(POLL));
            shared.states_alive_ns.store(now_ns(), Ordering::Release);
            let Self {
                map,
                robot,
                source,
                operator,
                recorder,
            } = self;
            take_from(
                &states,
                STATE_TOPIC,
                recorder.as_ref(),
                &mut ignore,
                |state, publisher, _| {
                    let now_ns = now_ns();
                    let sample = source.sample(map, state, publisher, now_ns);
                    // The slot holds the newest state only.
                    if sample.crc_ok && is_emergency_stop(sample.remote_buttons) {
                        operator.request(Request::EmergencyStop);
                    }
                    robot.write(sample);
                    let before_ns = shared.received_ns.swap(now_ns, Ordering::AcqRel);
                    if before_ns > 0 && now_ns.saturating_sub(before_ns) > AWAY_NS {
                        shared.returned.store(true, Ordering::Release);
                    }
                },
            );
        }
    }
}
