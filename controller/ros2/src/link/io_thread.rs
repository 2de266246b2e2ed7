//! The thread that receives everything but the state of the robot, publishes status and visualization, releases the sport
//! mode, and reports problems.

use std::sync::{Arc, atomic::Ordering};

use crossbeam::channel::Sender;
use ros2_client::dds::rustdds::{
    DomainParticipantStatusEvent, StatusEvented,
    mio1::{Events, Poll},
};
use triple_buffer::{Input, Output};

use controller::deploy::{GoalSample, OdometrySample, Operator, Status, now_ns};

use super::{
    COMMAND_TOPIC, STATE_TOPIC, Shared, commanders::Commanders, notices::Notices,
    sport_mode::SportMode,
};
use crate::{
    config::Ros2Config,
    foreign_text::shown,
    log::Recorder,
    messages::{LowCmd, LowState, Message, Odometry, PoseStamped, Text},
    network::{POLL, Ros},
    publish::{Publishers, StatusPublisher, base_pose},
    sensors::{OPERATOR_TOPIC, Sensors, Sinks, Subscriptions, ray_topics},
};

/// Without a state for this long a notice is given, ns.
const SILENT_NS: u64 = 3_000_000_000;
/// Time between two publications of the status, ns.
const STATUS_PERIOD_NS: u64 = 40_000_000;

pub struct IoThread {
    pub sensors: Sensors,
    pub publisher: StatusPublisher,
    pub odometry: Input<OdometrySample>,
    pub goal: Input<GoalSample>,
    pub operator: Arc<Operator>,
    pub status: Output<Status>,
    /// For the operator console.
    pub statuses: Sender<Status>,
    pub notices: Notices,
    pub config: Ros2Config,
    pub commanders: Commanders,
    /// Send nothing to the motors.
    pub dry_run: bool,
    pub recorder: Option<Recorder>,
}

impl IoThread {
    pub fn run(
        &mut self,
        ros: &Ros,
        mut subscriptions: Subscriptions,
        publishers: &Publishers,
        mut sport_mode: SportMode,
        notices: &Sender<String>,
        shared: &Shared,
    ) {
        let mut events = Events::with_capacity(16);
        let poll = Poll::new().and_then(|poll| {
            subscriptions.register(poll.registry())?;
            Ok(poll)
        });
        let Ok(mut poll) = poll else {
            shared.broken.store(true, Ordering::Release);
            return;
        };
        let mut notice = |text: String| {
            let _ = notices.try_send(text);
        };
        let participant = ros.participant();
        let discovery = participant.status_listener();
        self.commanders.connect(&participant);
        let mut is_released = !self.config.release_sport_mode;
        let mut tells_dry = self.dry_run;
        let start_ns = now_ns();
        let mut published_ns = 0;
        while shared.is_running() {
            // A poll that was interrupted is followed by the next.
            let _ = poll.poll(&mut events, Some(POLL));
            let now_ns = now_ns();
            let base = base_pose(self.status.read());
            let mut sinks = Sinks {
                odometry: &mut self.odometry,
                goal: &mut self.goal,
                operator: &self.operator,
                recorder: self.recorder.as_ref(),
            };
            self.sensors
                .receive(&subscriptions, &base, now_ns, &mut sinks, &mut notice);
            if let Some(text) = self.commanders.poll(now_ns)
                && is_released
            {
                notice(text);
            }
            let are_ours = self.dry_run || shared.released.load(Ordering::Acquire);
            self.commanders.tell(now_ns, are_ours);
            if now_ns.saturating_sub(published_ns) < STATUS_PERIOD_NS {
                continue;
            }
            published_ns = now_ns;
            while let Some(event) = discovery.try_recv_status() {
                self.commanders.observe(&participant, &event);
                if let Some(text) = foreign_type(&self.config, &event) {
                    notice(text);
                }
            }
            let silent_ns = now_ns - start_ns;
            if shared.received_ns.load(Ordering::Acquire) == 0 && silent_ns > SILENT_NS {
                notice(format!(
                    "no state of the robot: nothing came on rt/{STATE_TOPIC} in {}; is it on, is the cable in, are domain and interface right?",
                    self.config.network()
                ));
            }
            if shared.returned.swap(false, Ordering::AcqRel) && self.config.release_sport_mode {
                shared.released.store(false, Ordering::Release);
                is_released = false;
                sport_mode.start_again();
            }
            if std::mem::take(&mut tells_dry) {
                notice("dry run: nothing is sent to the motors, and the sport mode is not asked to release them".to_owned());
            }
            let may_send = !self.dry_run && !shared.released.load(Ordering::Acquire);
            if may_send && !is_released && sport_mode.poll(now_ns, &mut notice) {
                is_released = true;
                // Until now the mode itself may have commanded.
                self.commanders.listen_again();
            }
            if may_send && is_released && self.commanders.are_absent(now_ns) {
                // The control thread first: who asks next is not refused.
                self.commanders.tell(now_ns, true);
                shared.released.store(true, Ordering::Release);
            }
            self.notices.tell(now_ns);
            let status = self.status.output_buffer();
            let _ = self.statuses.try_send(status.clone());
            self.publisher.publish(
                publishers,
                status,
                self.notices.last(now_ns),
                self.recorder.as_ref(),
            );
        }
        self.notices.tell(now_ns());
    }
}

/// A notice when a peer has one of our topics with another type.
fn foreign_type(config: &Ros2Config, event: &DomainParticipantStatusEvent) -> Option<String> {
    use DomainParticipantStatusEvent::{ReaderDetected, WriterDetected};
    let (ReaderDetected { reader: peer } | WriterDetected { writer: peer }) = event else {
        return None;
    };
    let (name, type_name) = (&peer.topic_name, &peer.type_name);
    let ours: [(&str, _); 5] = [
        (STATE_TOPIC, LowState::type_name()),
        (COMMAND_TOPIC, LowCmd::type_name()),
        (&config.odometry_topic, Odometry::type_name()),
        (&config.goal_topic, PoseStamped::type_name()),
        (OPERATOR_TOPIC, Text::type_name()),
    ];
    let topic = name.strip_prefix("rt/")?;
    let (_, expected) = ours
        .into_iter()
        .chain(ray_topics(config))
        .find(|(ours, _)| ours.trim_start_matches('/') == topic)?;
    let expected = expected.dds_msg_type();
    (*type_name != expected).then(|| {
        format!(
            "{} is of the foreign type {}, expected {expected}: its messages are ignored",
            shown(name),
            shown(type_name)
        )
    })
}
