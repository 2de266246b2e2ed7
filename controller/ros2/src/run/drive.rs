//! What an operator's keys and sticks ask for: a twist, or a goal near the robot.

use controller::deploy::{
    Buttons, DriveConfig, GoalSample, Request, RequestSet, State, Status, button,
};
use nalgebra::{Point2, Rotation2, Vector2};
use policies::{Goal, Twist, TwistRange};
use robots::RobotState;

use super::{
    gamepad::{GamepadEvent, GamepadState},
    keyboard::Key,
};

/// A state of the gamepad that is older is not acted on, ns. Its thread gives ten in this time.
const LATE_NS: u64 = 200_000_000;

/// What an operator is told who does not hold the dead-man button.
const HOLD: &str = "go: hold L1 of the gamepad";

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intent {
    /// The twist to follow; none where the robot runs to goals.
    pub twist: Option<Twist>,
    /// A goal to run to at once.
    pub goal: Option<GoalSample>,
    /// Requests of buttons.
    pub requests: RequestSet,
    /// When the gamepad was heard last, ns; 0 for never.
    pub heard_ns: u64,
    /// Lines for the operator.
    pub lines: Vec<String>,
}

/// Drives by the gamepad where there is to be one, else by keys.
#[derive(Debug)]
pub struct Drive {
    config: DriveConfig,
    /// The twists that may be commanded; none where the robot runs to goals.
    range: Option<TwistRange>,
    /// Distance of a goal at the end of the stick's way, m.
    goal_m: f32,
    /// Time to reach a goal, s.
    goal_s: f32,
    /// Steps of velocity forward, to the left, and of the turning rate to the left.
    keys: [i16; 3],
    gamepad: Option<Gamepad>,
    lines: Vec<String>,
}

/// A gamepad, as it was heard last.
#[derive(Debug, Default)]
struct Gamepad {
    /// None before one is found, and after it is lost.
    state: Option<GamepadState>,
    heard_ns: u64,
    /// When a stick or a button moved last, or the robot was not driven, ns.
    moved_ns: u64,
    /// The dead-man button has been seen released.
    is_armed: bool,
    /// B was pressed together with L2, and is down yet.
    is_emergency: bool,
    buttons: Buttons,
}

impl Drive {
    /// `max_goal_m` bounds the distance of goals, each to be reached within `goal_s`.
    pub fn new(
        config: &DriveConfig,
        range: Option<TwistRange>,
        max_goal_m: f32,
        goal_s: f32,
        by_gamepad: bool,
    ) -> Self {
        Self {
            config: config.clone(),
            range,
            goal_m: config.goal_m.min(max_goal_m),
            goal_s,
            keys: [0; 3],
            gamepad: by_gamepad.then(Gamepad::default),
            lines: Vec::new(),
        }
    }

    /// Its keys, sticks and buttons, in words.
    pub fn help(&self) -> &'static str {
        match (&self.range, &self.gamepad) {
            (Some(_), None) => "; arrows drive and turn, , and . move to the side, 0 halts",
            (None, None) => "",
            (Some(_), Some(_)) => {
                "; gamepad: hold L1, the left stick drives, the right one turns; L2+A stand up, Start go, B stop, L2+X lie down, L2+B emergency stop"
            }
            (None, Some(_)) => {
                "; gamepad: hold L1, the left stick places the goal, Start goes; L2+A stand up, B stop, L2+X lie down, L2+B emergency stop"
            }
        }
    }

    /// Whether another operator may let the robot run. To a goal it runs only while the dead-man button is held.
    pub fn may_start(&mut self, now_ns: u64) -> bool {
        let gamepad = self.gamepad.as_ref().filter(|_| self.range.is_none());
        let may = gamepad.is_none_or(|gamepad| gamepad.is_held(&gamepad.state_at(now_ns)));
        if !may {
            self.lines.push(HOLD.to_owned());
        }
        may
    }

    /// Takes a key that is no request.
    pub fn press(&mut self, key: Key, status: &Status) {
        let (Some(range), None) = (self.range, &self.gamepad) else {
            return;
        };
        let (direction, step) = match key {
            Key::Up => (0, 1),
            Key::Down => (0, -1),
            Key::Char(b',') => (1, 1),
            Key::Char(b'.') => (1, -1),
            Key::Left => (2, 1),
            Key::Right => (2, -1),
            Key::Char(b'0') => (0, 0),
            Key::Char(_) => return,
        };
        if status.state != State::Run {
            self.lines
                .push("it does not run; first u, then g".to_owned());
            return;
        }
        let before = self.twist_of_keys(&range);
        match step {
            0 => self.keys = [0; 3],
            _ => self.keys[direction] += step,
        }
        let twist = self.twist_of_keys(&range);
        if twist == before {
            // Nothing to take back later.
            self.keys[direction] -= step;
        }
        self.lines.push(format!(
            "{:.1} m/s forward, {:.1} m/s to the left, {:.1} rad/s to the left",
            twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps
        ));
    }

    /// Takes what became of the gamepad.
    pub fn take(&mut self, event: GamepadEvent, now_ns: u64) {
        let Some(gamepad) = &mut self.gamepad else {
            return;
        };
        match event {
            GamepadEvent::Missing(why) => self.lines.push(format!("warning: {why}")),
            GamepadEvent::Found(name) => {
                self.lines.push(format!("gamepad: {name}"));
                *gamepad = Gamepad {
                    heard_ns: gamepad.heard_ns,
                    ..Gamepad::default()
                };
            }
            GamepadEvent::State(state) => {
                if gamepad.state.is_none_or(|before| before != state) {
                    gamepad.moved_ns = now_ns;
                }
                gamepad.is_armed |= state.down & button::L1 == 0;
                // A button that was pressed counts until it is acted on.
                let pressed = gamepad.state.map_or(0, |before| before.pressed);
                gamepad.state = Some(GamepadState {
                    pressed: state.pressed | pressed,
                    ..state
                });
                gamepad.heard_ns = now_ns;
            }
            GamepadEvent::Lost(why) => {
                self.lines
                    .push(format!("warning: the gamepad is lost: {why}"));
                gamepad.state = None;
            }
        }
    }

    /// What is asked for now.
    pub fn intent(&mut self, now_ns: u64, status: &Status) -> Intent {
        if status.state != State::Run {
            self.keys = [0; 3];
        }
        let mut intent = match self.gamepad {
            Some(_) => self.intent_of_gamepad(now_ns, status),
            None => Intent {
                twist: self.range.map(|range| self.twist_of_keys(&range)),
                ..Intent::default()
            },
        };
        intent.lines = std::mem::take(&mut self.lines);
        intent
    }

    fn twist_of_keys(&self, range: &TwistRange) -> Twist {
        let [forward, left, turn_left] = self.keys.map(f32::from);
        range.clamp(Twist {
            vx_mps: forward * self.config.key_mps,
            vy_mps: left * self.config.key_mps,
            yaw_rate_radps: turn_left * self.config.key_radps,
        })
    }

    fn intent_of_gamepad(&mut self, now_ns: u64, status: &Status) -> Intent {
        let Some(gamepad) = &mut self.gamepad else {
            return Intent::default();
        };
        let state = gamepad.state_at(now_ns);
        let is_held = gamepad.is_held(&state);
        let sticks = match is_held {
            true => sticks(&state, self.config.deadband),
            false => [0.0; 3],
        };
        let is_deflected = sticks != [0.0; 3];
        if !is_deflected || self.range.is_none() {
            gamepad.moved_ns = now_ns;
        }
        let still_ns = now_ns.saturating_sub(gamepad.moved_ns);
        let is_silent = still_ns as f32 * 1e-9 > self.config.silence_s;
        let mut intent = Intent {
            twist: self.range.map(|range| match is_silent {
                true => Twist::default(),
                false => range.at(sticks),
            }),
            heard_ns: match is_silent {
                true => gamepad.moved_ns,
                false => gamepad.heard_ns,
            },
            ..Intent::default()
        };
        for request in gamepad.requests(&state, now_ns).iter() {
            match request {
                Request::Start if !is_held => self.lines.push(HOLD.to_owned()),
                Request::Start if is_deflected && self.range.is_none() => {
                    let goal = goal_at(&status.estimate, sticks, self.goal_m);
                    intent.goal = goal.map(|goal| GoalSample {
                        received_ns: now_ns,
                        goal,
                        duration_s: self.goal_s,
                    });
                }
                _ => intent.requests.insert(request),
            }
        }
        // To a goal the robot runs only as long as somebody holds the button.
        if self.range.is_none() && status.state == State::Run && !is_held {
            intent.requests.insert(Request::Stop);
        }
        intent
    }
}

impl Gamepad {
    /// The state, at rest where it is lost or late.
    fn state_at(&self, now_ns: u64) -> GamepadState {
        let is_late = now_ns.saturating_sub(self.heard_ns) > LATE_NS;
        self.state.filter(|_| !is_late).unwrap_or_default()
    }

    /// Whether somebody holds the dead-man button.
    fn is_held(&self, state: &GamepadState) -> bool {
        self.is_armed && state.down & button::L1 != 0
    }

    /// The requests of the buttons. B alone stops, with or without the dead-man button. After an emergency stop it has to be pressed
    /// anew, so that fingers that leave L2 first do not acknowledge it.
    fn requests(&mut self, state: &GamepadState, now_ns: u64) -> RequestSet {
        if let Some(state) = &mut self.state {
            state.pressed = 0;
        }
        let mut down = state.down | state.pressed;
        let is_down = down & button::B != 0;
        self.is_emergency = is_down && (self.is_emergency || down & button::L2 != 0);
        if is_down && !self.is_emergency {
            down |= button::SELECT;
        }
        self.buttons.take(down, now_ns)
    }
}

/// How far the sticks are beyond their centre: forward, to the left, and the right one to the left, each in [-1, 1]. At rest
/// where one of them is nowhere that a stick can be.
fn sticks(state: &GamepadState, deadband: f32) -> [f32; 3] {
    let sticks = [state.forward, state.left, state.turn_left];
    if !sticks.iter().all(|stick| (-1.0..=1.0).contains(stick)) {
        return [0.0; 3];
    }
    sticks.map(|stick| {
        let beyond = (stick.abs() - deadband) / (1.0 - deadband);
        match beyond > 0.0 {
            true => beyond.copysign(stick),
            false => 0.0,
        }
    })
}

/// The goal where the left stick points: ahead of the robot, to its left, at most `goal_m` away. It is reached facing that way.
fn goal_at(robot: &RobotState, [forward, left, _]: [f32; 3], goal_m: f32) -> Option<Goal> {
    let stick = Vector2::new(forward, left);
    let way_yaw = stick * goal_m / stick.norm().max(1.0);
    let way = Rotation2::new(robot.yaw_rad()) * way_yaw;
    let goal = Goal {
        position_world: Point2::from(robot.position_world.coords.xy() + way),
        heading_rad: way.y.atan2(way.x),
    };
    let is_place = stick != Vector2::zeros() && goal.position_world.iter().all(|m| m.is_finite());
    is_place.then_some(goal)
}

#[cfg(test)]
mod tests;
