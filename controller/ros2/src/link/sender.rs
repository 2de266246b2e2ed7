//! The thread that sends every command, and gives the heartbeat.
//!
//! It depends on no other thread, nor on DDS: damping goes out whatever happens to them.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    thread,
};

use crossbeam::channel::{Receiver, Sender};
use triple_buffer::Output;

use controller::deploy::{Heartbeat, MotorCommand, now_ns};

use super::{
    COMMAND_TOPIC, Shared,
    command_writer::CommandWriter,
    guardian::{GUARDIANS, Guardian, messages::Beat},
    route::Route,
};
use crate::{
    MotorMap,
    deliberate_panic::Panicking,
    log::Recorder,
    messages::{LowCmd, Message as _},
    network::POLL,
};

/// A command older than this is replaced by damping: the control thread has ended, ns.
const COMMAND_TIMEOUT_NS: u64 = 30_000_000;
/// When no command has left this computer for this long, the link is dead, ns.
const UNSENT_NS: u64 = 20_000_000;
/// The threads that receive and publish everything but states and commands may be held up for this long, ns.
const OTHERS_TIMEOUT_NS: u64 = 500_000_000;

/// The `sender` thread.
pub struct CommandSender {
    pub map: MotorMap,
    pub command: Output<MotorCommand>,
    pub heartbeat: Arc<Heartbeat>,
    /// Damps all joints.
    pub damping: LowCmd,
    pub routes: Receiver<Route>,
    /// New ones, and in which place.
    pub guardians: Receiver<(usize, Guardian)>,
    pub notices: Sender<String>,
    pub recorder: Option<Recorder>,
    pub shared: Arc<Shared>,
    pub state: SenderState,
}

/// What the `sender` thread remembers.
#[derive(Default)]
pub struct SenderState {
    writer: CommandWriter,
    route: Option<Route>,
    guardians: [Option<Guardian>; GUARDIANS],
    /// Time of the last command that was sent, ns.
    sent_ns: u64,
    /// Since when no command leaves this computer, ns.
    unsent_since_ns: Option<u64>,
    /// Damping is sent instead of commands, until the control thread damps by itself. It does, without a heartbeat.
    is_held: bool,
}

impl CommandSender {
    /// Sends until the link stops.
    pub fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            thread::park_timeout(POLL);
            let step = AssertUnwindSafe(|| self.step(now_ns()));
            if std::panic::catch_unwind(step).is_err() {
                self.state.is_held = true;
                let _ = self.notices.try_send(
                    "the thread that sends has panicked: all joints are damped".to_owned(),
                );
            }
        }
    }

    fn step(&mut self, now_ns: u64) {
        Panicking::Sender.panic_if_due();
        self.take_news();
        let state = &mut self.state;
        let leaves = (state.unsent_since_ns)
            .is_none_or(|since_ns| now_ns.saturating_sub(since_ns) < UNSENT_NS);
        if !state.is_held && leaves {
            self.heartbeat
                .beat(self.shared.alive_ns(now_ns).min(now_ns));
        }
        let newest = self.command.read();
        if newest.time_ns == 0 || !self.shared.released.load(Ordering::Acquire) {
            self.beat(false, false);
            return;
        }
        let is_old = now_ns.saturating_sub(newest.time_ns) > COMMAND_TIMEOUT_NS;
        let damps = !is_old && newest.joints.iter().all(|joint| joint.stiffness == 0.0);
        if state.is_held && damps {
            state.is_held = false;
        }
        if newest.time_ns == state.sent_ns && !is_old {
            self.beat(true, damps);
            return;
        }
        state.sent_ns = newest.time_ns;
        let message = match is_old || state.is_held {
            true => self.damping.clone(),
            false => self.map.command(newest),
        };
        self.send(&message, now_ns);
        self.beat(true, damps);
    }

    /// What other threads and the guardians have to tell.
    fn take_news(&mut self) {
        let state = &mut self.state;
        for (place, mut guardian) in self.guardians.try_iter() {
            if let Some(route) = &state.route {
                guardian.set_route(route);
            }
            state.guardians[place] = Some(guardian);
        }
        for route in self.routes.try_iter() {
            // After a restart of DDS the readers are not known yet, and still listen to the former writer.
            if route.addresses.is_empty() && state.route.is_some() {
                continue;
            }
            state.writer.set_route(route.clone());
            for guardian in state.guardians.iter_mut().flatten() {
                guardian.set_route(&route);
            }
            state.route = Some(route);
        }
        for (place, is_lost) in state
            .guardians
            .iter_mut()
            .zip(&self.shared.guardian_is_lost)
        {
            let Some(guardian) = place else { continue };
            if guardian.has_taken_over(&mut state.writer) {
                state.is_held = true;
                let _ = self.notices.try_send(
                    "this program did not run for 25 ms or more, and a guardian has damped all joints"
                        .to_owned(),
                );
            }
            if guardian.is_lost() {
                *place = None;
                is_lost.store(true, Ordering::Release);
            }
        }
    }

    fn beat(&mut self, commands: bool, damps: bool) {
        let state = &mut self.state;
        let beat = Beat {
            sequence: state.writer.sequence(),
            commands,
            damps,
        };
        for guardian in state.guardians.iter_mut().flatten() {
            guardian.beat(beat);
        }
    }

    fn send(&mut self, message: &LowCmd, now_ns: u64) {
        if let Some(recorder) = &self.recorder {
            recorder.message(COMMAND_TOPIC, message);
        }
        let state = &mut self.state;
        match state.writer.send(&message.to_cdr()) {
            Ok(()) => state.unsent_since_ns = None,
            Err(error) => {
                let since_ns = *state.unsent_since_ns.get_or_insert(now_ns);
                if now_ns.saturating_sub(since_ns) >= UNSENT_NS {
                    let _ = self.notices.try_send(format!(
                        "motor commands do not leave this computer: {error}; is the cable in, has the interface its address?"
                    ));
                }
            }
        }
    }
}

impl Shared {
    /// When the slowest of the threads and processes that talk to the robot gave a sign of life, ns.
    fn alive_ns(&self, now_ns: u64) -> u64 {
        let states_ns = self.states_alive_ns.load(Ordering::Acquire);
        let others_ns = self.others_alive_ns.load(Ordering::Acquire);
        match now_ns.saturating_sub(others_ns) > OTHERS_TIMEOUT_NS {
            true => states_ns.min(others_ns),
            false => states_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use controller::deploy::JointCommand;
    use crossbeam::channel::unbounded;
    use robots::Robot;
    use triple_buffer::{Input, TripleBuffer};

    use super::*;

    const MS: u64 = 1_000_000;
    /// Of the stiffness of the first motor in a packet.
    const STIFFNESS_AT: usize = 868 - 808 + 36;

    /// A sender without guardian, its input, and the socket of a robot.
    struct Scene {
        sender: CommandSender,
        command: Input<MotorCommand>,
        robot: UdpSocket,
    }

    fn command(map: &MotorMap, stiffness: f32, time_ns: u64) -> MotorCommand {
        let joint = JointCommand {
            mode: 1,
            stiffness,
            damping: 1.0,
            ..JointCommand::default()
        };
        MotorCommand {
            time_ns,
            joints: map.motors().iter().map(|_| joint).collect(),
        }
    }

    impl Scene {
        fn new() -> Self {
            let map = MotorMap::new(&Robot::load("go1").unwrap()).unwrap();
            let robot = UdpSocket::bind("127.0.0.1:0").unwrap();
            robot.set_nonblocking(true).unwrap();
            let SocketAddr::V4(address) = robot.local_addr().unwrap() else {
                panic!("IPv4")
            };
            let (routes_in, routes) = unbounded();
            let route = Route {
                writer: [7; 16],
                source: Ipv4Addr::LOCALHOST,
                addresses: vec![address],
                announced_to: address,
                announcement: Vec::new(),
            };
            routes_in.send(route).unwrap();
            let shared = Arc::new(Shared::default());
            shared.released.store(true, Ordering::Release);
            let (input, output) = TripleBuffer::new(&command(&map, 0.0, 0)).split();
            let sender = CommandSender {
                damping: map.command(&command(&map, 0.0, 0)),
                map,
                command: output,
                heartbeat: Arc::default(),
                routes,
                guardians: unbounded().1,
                notices: unbounded().0,
                recorder: None,
                shared,
                state: SenderState::default(),
            };
            Self {
                sender,
                command: input,
                robot,
            }
        }

        /// A step after a new command, if there is one. Gives the stiffness that the robot receives.
        fn step(&mut self, stiffness: Option<f32>, now_ns: u64) -> Option<f32> {
            if let Some(stiffness) = stiffness {
                let command = command(&self.sender.map, stiffness, now_ns);
                self.command.write(command);
            }
            self.sender.step(now_ns);
            let mut packet = [0; 1000];
            let length = self.robot.recv(&mut packet).ok()?;
            assert_eq!(length, 868);
            let bytes = packet[STIFFNESS_AT..][..4].try_into().unwrap();
            Some(f32::from_le_bytes(bytes))
        }
    }

    #[test]
    fn every_command_is_sent_once_and_damping_when_the_control_thread_has_ended() {
        let mut scene = Scene::new();
        assert_eq!(scene.step(None, MS), None, "no command yet");
        assert_eq!(scene.step(Some(30.0), 10 * MS), Some(30.0));
        assert_eq!(scene.step(None, 15 * MS), None);
        assert_eq!(scene.step(Some(31.0), 20 * MS), Some(31.0));
        assert_eq!(scene.step(None, 50 * MS), None);
        for now_ms in (51..2000).step_by(5) {
            assert_eq!(scene.step(None, now_ms * MS), Some(0.0), "{now_ms} ms");
        }
    }

    #[test]
    fn commands_are_held_back_until_the_control_thread_damps() {
        let mut scene = Scene::new();
        assert_eq!(scene.step(Some(30.0), 10 * MS), Some(30.0));
        scene.sender.state.is_held = true;
        assert_eq!(scene.step(Some(30.0), 12 * MS), Some(0.0));
        assert_eq!(scene.step(Some(29.0), 14 * MS), Some(0.0));
        assert_eq!(scene.step(Some(0.0), 16 * MS), Some(0.0));
        assert_eq!(scene.step(Some(29.0), 18 * MS), Some(29.0));
    }

    #[test]
    fn while_the_robots_own_mode_has_the_joints_nothing_is_sent() {
        let mut scene = Scene::new();
        scene.sender.shared.released.store(false, Ordering::Release);
        assert_eq!(scene.step(Some(30.0), 10 * MS), None);
        assert_eq!(scene.step(None, 100 * MS), None);
    }
}
