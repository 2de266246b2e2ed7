//! The thread that receives everything but the state of the robot, publishes status and visualization, releases the sport
//! mode, and reports problems.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use crossbeam::channel::{Receiver, Sender};
use triple_buffer::{Input, Output};

use controller::deploy::{GoalSample, OdometrySample, Operator, Request, Status, now_ns};

use super::{
    STATE_TOPIC, Shared,
    commanders::Commanders,
    dds::{
        Topics,
        endpoints::Endpoints,
        frames::{self, FrameReader, Kind},
    },
    notices::Notices,
    route::Route,
    supervisor::GuardianKeeper,
};
use crate::{
    config::Ros2Config,
    deliberate_panic::Panicking,
    log::Recorder,
    network::POLL,
    publish::{StatusPublisher, base_pose},
    sensors::{Sensors, Sinks},
};

/// Without a state for this long a notice is given, ns.
const SILENT_NS: u64 = 3_000_000_000;
/// When the states stop for this long, DDS is started again, once: something in it may hang, ns.
const HANGS_NS: u64 = 1_000_000_000;
/// A goal that waited for this long while DDS was started again is not run to, ns.
const OLD_GOAL_NS: u64 = 200_000_000;
/// Time between two publications of the status, ns.
const STATUS_PERIOD_NS: u64 = 40_000_000;

pub struct IoThread {
    pub sensors: Sensors,
    pub publisher: StatusPublisher,
    pub endpoints: Endpoints,
    pub topics: Topics,
    /// To the thread that sends motor commands.
    pub routes: Sender<Route>,
    pub guardians: GuardianKeeper,
    pub odometry: Input<OdometrySample>,
    pub goal: Input<GoalSample>,
    /// Of the operator console.
    pub goals: Receiver<GoalSample>,
    pub operator: Arc<Operator>,
    pub status: Output<Status>,
    /// For the operator console.
    pub statuses: Sender<Status>,
    pub notices: Notices,
    pub config: Ros2Config,
    pub commanders: Commanders,
    /// No mode of the robot owns the joints.
    pub is_released: bool,
    /// Send nothing to the motors.
    pub dry_run: bool,
    pub recorder: Option<Recorder>,
}

impl IoThread {
    /// Runs until the link stops or breaks.
    ///
    /// # Errors
    /// When the DDS process has ended, or hangs.
    pub fn run(
        &mut self,
        dds: &mut FrameReader,
        notices: &Sender<String>,
        shared: &Shared,
    ) -> io::Result<()> {
        let mut notice = |text: String| {
            let _ = notices.try_send(text);
        };
        if self.dry_run {
            notice("dry run: nothing is sent to the motors, and the sport mode is not asked to release them".to_owned());
        }
        let start_ns = now_ns();
        let mut published_ns = 0;
        while shared.is_running() {
            dds.receive(POLL)?;
            Panicking::Link.panic_if_due();
            self.take(dds, &mut notice)?;
            let now_ns = now_ns();
            shared.others_alive_ns.store(now_ns, Ordering::Release);
            self.take_goals(now_ns);
            let base = base_pose(self.status.read());
            let mut sinks = Sinks {
                odometry: &mut self.odometry,
                goal: &mut self.goal,
                operator: &self.operator,
                recorder: self.recorder.as_ref(),
            };
            self.sensors.receive(
                &self.topics.subscriptions,
                &base,
                now_ns,
                &mut sinks,
                &mut notice,
            );
            if let Some(text) = self.commanders.poll(&self.topics.commands, now_ns)
                && self.is_released
            {
                notice(text);
            }
            let are_ours = self.dry_run || shared.released.load(Ordering::Acquire);
            self.commanders.tell(now_ns, are_ours);
            for (index, sample) in self.endpoints.outgoing().try_iter() {
                frames::write(dds.stream(), Kind::Sample, index, &sample)?;
            }
            if now_ns.saturating_sub(published_ns) < STATUS_PERIOD_NS {
                continue;
            }
            published_ns = now_ns;
            self.publish(now_ns, start_ns, &mut notice, shared);
            let received_ns = shared.received_ns.load(Ordering::Acquire);
            if received_ns > start_ns && now_ns.saturating_sub(received_ns) > HANGS_NS {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.notices.tell(now_ns());
        Ok(())
    }

    /// Takes the goals of the operator console. The request comes after its goal.
    fn take_goals(&mut self, now_ns: u64) {
        for goal in self.goals.try_iter() {
            if now_ns.saturating_sub(goal.received_ns) < OLD_GOAL_NS {
                self.goal.write(goal);
                self.operator.request(Request::Start);
            }
        }
    }

    /// Takes what the DDS process has sent.
    fn take(&mut self, dds: &mut FrameReader, notice: &mut impl FnMut(String)) -> io::Result<()> {
        while let Some(frame) = dds.next()? {
            match frame.kind {
                Kind::Sample => self.endpoints.deliver(&frame),
                Kind::Notice => notice(String::from_utf8_lossy(frame.body).into_owned()),
                Kind::Route => {
                    let route: Route =
                        postcard::from_bytes(frame.body).map_err(io::Error::other)?;
                    self.commanders.is_ours(&route.writer);
                    let _ = self.routes.try_send(route);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What is done 25 times a second.
    fn publish(
        &mut self,
        now_ns: u64,
        start_ns: u64,
        notice: &mut impl FnMut(String),
        shared: &Shared,
    ) {
        if let Some(text) = self.guardians.check(shared) {
            notice(text);
        }
        let silent_ns = now_ns - start_ns;
        if shared.received_ns.load(Ordering::Acquire) == 0 && silent_ns > SILENT_NS {
            notice(format!(
                "no state of the robot: nothing came on rt/{STATE_TOPIC} in {}; is it on, is the cable in, are domain and interface right?",
                self.config.network()
            ));
        }
        let sport_mode = &mut self.topics.sport_mode;
        if shared.returned.swap(false, Ordering::AcqRel) && self.config.release_sport_mode {
            shared.released.store(false, Ordering::Release);
            self.is_released = false;
            sport_mode.start_again();
        }
        let may_send = !self.dry_run && !shared.released.load(Ordering::Acquire);
        if may_send && !self.is_released && sport_mode.poll(now_ns, notice) {
            self.is_released = true;
            // Until now the mode itself may have commanded.
            self.commanders.listen_again();
        }
        if may_send && self.is_released && self.commanders.are_absent(now_ns) {
            // The control thread first: who asks next is not refused.
            self.commanders.tell(now_ns, true);
            shared.released.store(true, Ordering::Release);
        }
        self.notices.tell(now_ns);
        let status = self.status.output_buffer();
        let _ = self.statuses.try_send(status.clone());
        self.publisher.publish(
            &self.topics.publishers,
            status,
            self.notices.last(now_ns),
            self.recorder.as_ref(),
        );
    }
}
