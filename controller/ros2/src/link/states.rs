//! The thread that receives the state of the robot.

use std::sync::atomic::Ordering;

use ros2_client::{
    Subscription,
    dds::rustdds::mio1::{Events, Interest, Poll, Token},
};
use triple_buffer::Input;

use controller::deploy::{RobotSample, now_ns};

use super::{STATE_TOPIC, Shared};
use crate::{MotorMap, log::Recorder, messages::LowState, network::POLL, sensors::take};

/// A robot that was silent for this long may have restarted, ns.
const AWAY_NS: u64 = 200_000_000;

pub struct States {
    pub map: MotorMap,
    pub robot: Input<RobotSample>,
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
                recorder,
            } = self;
            take(
                &states,
                STATE_TOPIC,
                recorder.as_ref(),
                &mut ignore,
                |state, _| {
                    let now_ns = now_ns();
                    robot.write(map.sample(state, now_ns));
                    let before_ns = shared.received_ns.swap(now_ns, Ordering::AcqRel);
                    if before_ns > 0 && now_ns.saturating_sub(before_ns) > AWAY_NS {
                        shared.returned.store(true, Ordering::Release);
                    }
                },
            );
        }
    }
}
