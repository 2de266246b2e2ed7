//! A robot that lies until it is commanded to stand, and its operator, as the attacked program sees them.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use controller::deploy::{RealtimeConfig, State, enter_realtime};
use ros2::{
    COMMAND_TOPIC, Delivery, Network, OPERATOR_TOPIC, RUN_STATE_TOPIC, Ros, STATE_TOPIC,
    messages::{ImuState, LowCmd, LowState, MotorState, Text},
};
use ros2_client::{Publisher, Subscription};

/// Time between two states.
const STEP: Duration = Duration::from_millis(2);
/// The program says its state every 40 ms.
const FRESH: Duration = Duration::from_millis(150);
/// Time between two requests.
const ASK: Duration = Duration::from_millis(100);
/// Between the priorities of the program's threads and of its DDS process, so that neither hides the other.
const PRIORITY: u8 = 65;

/// What the robot has seen since [`Peer::forget`].
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Longest time from a stiff command to the next command.
    pub silence: Duration,
    /// How often a stiff command was followed by one that damps.
    pub damped: usize,
    /// Longest time from one message of the program to the next.
    pub link_silence: Duration,
}

impl Seen {
    const NOTHING: Self = Self {
        silence: Duration::ZERO,
        damped: 0,
        link_silence: Duration::ZERO,
    };
}

/// The robot.
pub struct Peer {
    states: Publisher<LowState>,
    commands: Subscription<LowCmd>,
    requests: Publisher<Text>,
    said: Subscription<Text>,
    _ros: Ros,
    tick: u32,
    /// Where its motors are, in the vendor's order, rad.
    motors_rad: [f32; 12],
    state: String,
    asked: Instant,
    heard: Instant,
    /// The last command, and whether it was stiff.
    last: (Instant, bool),
    seen: Seen,
}

impl Peer {
    /// Joins the domain, on the loopback.
    ///
    /// # Errors
    /// When DDS refuses.
    pub fn new(domain: u16) -> Result<Self> {
        let realtime = RealtimeConfig {
            priority: PRIORITY,
            lock_memory: false,
        };
        // Without it other programs hold up the peer, which then sees silence where there is none.
        let _ = enter_realtime(&realtime);
        let network = Network {
            domain,
            interface: Some("lo".to_owned()),
        };
        let mut ros = Ros::open(&network, "peer")?;
        let now = Instant::now();
        Ok(Self {
            states: ros.publish(STATE_TOPIC, Delivery::Newest)?,
            commands: ros.subscribe(COMMAND_TOPIC, Delivery::Newest)?,
            requests: ros.publish(OPERATOR_TOPIC, Delivery::Reliable)?,
            said: ros.subscribe(RUN_STATE_TOPIC, Delivery::Reliable)?,
            _ros: ros,
            tick: 0,
            motors_rad: std::array::from_fn(|motor| [0.0, 1.3, -2.6][motor % 3]),
            state: String::new(),
            asked: now,
            heard: now,
            last: (now, false),
            seen: Seen::NOTHING,
        })
    }

    /// GUIDs of its writers: of states, and of requests.
    pub fn writers(&self) -> [[u8; 16]; 2] {
        [
            self.states.guid().to_bytes(),
            self.requests.guid().to_bytes(),
        ]
    }

    /// The last state that the program has published.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Begins to look anew.
    pub fn forget(&mut self) {
        self.seen = Seen::NOTHING;
    }

    /// What it has seen since then.
    pub fn seen(&self) -> Seen {
        let mut seen = self.seen;
        if self.last.1 {
            seen.silence = seen.silence.max(self.last.0.elapsed());
        }
        seen.link_silence = seen.link_silence.max(self.heard.elapsed());
        seen
    }

    /// Sends a state, and takes what has come.
    pub fn step(&mut self) {
        self.tick += 1;
        // It may not be matched yet.
        let _ = self.states.publish(state_at(self.tick, &self.motors_rad));
        while let Ok(Some((command, _))) = self.commands.take() {
            let is_stiff = command.motor_cmd.iter().any(|motor| motor.kp > 0.0);
            let (last, was_stiff) = std::mem::replace(&mut self.last, (Instant::now(), is_stiff));
            // The motors are where they are commanded.
            for (position_rad, motor) in self.motors_rad.iter_mut().zip(&command.motor_cmd) {
                if motor.kp > 0.0 {
                    *position_rad += (motor.q - *position_rad).clamp(-0.1, 0.1);
                }
            }
            if was_stiff {
                self.seen.silence = self.seen.silence.max(last.elapsed());
                self.seen.damped += usize::from(!is_stiff);
            }
        }
        while let Ok(Some((text, _))) = self.said.take() {
            self.seen.link_silence = self.seen.link_silence.max(self.heard.elapsed());
            self.heard = Instant::now();
            self.state = text.data;
        }
        thread::sleep(STEP);
    }

    /// A step, and now and then the request that leads to standing. True when it stands.
    pub fn step_to_ready(&mut self) -> bool {
        self.step();
        if self.asked.elapsed() > ASK {
            self.asked = Instant::now();
            let request = match self.state.as_str() {
                "damping" => "stand",
                "fault" => "stop",
                _ => "heartbeat",
            };
            let data = request.to_owned();
            let _ = self.requests.publish(Text { data });
        }
        // What was said before the link broke says nothing.
        let is_fresh = self.heard.elapsed() < FRESH;
        is_fresh && self.last.1 && self.state == State::Ready.name()
    }
}

/// A level robot at rest with these motor positions, which move a little, as measurements do.
fn state_at(tick: u32, motors_rad: &[f32; 12]) -> LowState {
    let mut state = LowState {
        tick,
        imu_state: ImuState {
            quaternion: [1.0, 0.0, 0.0, 0.0],
            gyroscope: [1e-3 * (tick % 7) as f32, 0.0, 0.0],
            accelerometer: [0.0, 0.0, 9.81],
            rpy: [0.0; 3],
            temperature: 30,
        },
        ..LowState::default()
    };
    for (motor, q) in motors_rad.iter().enumerate() {
        state.motor_state[motor] = MotorState {
            mode: 1,
            q: q + 1e-4 * (tick % 5) as f32,
            temperature: 30,
            ..MotorState::default()
        };
    }
    state.bms_state.soc = 90;
    state.sealed()
}
