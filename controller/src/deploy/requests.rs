//! Requests of the operator, and the buttons of Unitree's remote control and of a gamepad that make them.

use serde::{Deserialize, Serialize};

/// A request of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Request {
    /// Damp all joints, at once and until a stop.
    EmergencyStop,
    /// Lie down, then damp.
    LieDown,
    /// While running: brake, then stand. In a fault that is over: back to damping.
    Stop,
    /// Stand up.
    Stand,
    /// Run to the goal.
    Start,
}

impl Request {
    /// All requests, the most urgent first.
    pub const ALL: [Self; 5] = [
        Self::EmergencyStop,
        Self::LieDown,
        Self::Stop,
        Self::Stand,
        Self::Start,
    ];
}

/// The requests between two cycles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestSet(u32);

impl RequestSet {
    /// The requests of the set, the most urgent first.
    pub fn iter(self) -> impl Iterator<Item = Request> {
        Request::ALL
            .into_iter()
            .filter(move |&request| self.contains(request))
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Adds a request.
    pub fn insert(&mut self, request: Request) {
        self.0 |= 1 << request as u8;
    }

    /// Whether a request is in the set.
    pub fn contains(self, request: Request) -> bool {
        self.0 & (1 << request as u8) != 0
    }

    /// Requests of this set or of another.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The most urgent request.
    pub fn most_urgent(self) -> Option<Request> {
        self.iter().next()
    }
}

/// Bits of [`RobotSample::remote_buttons`](super::RobotSample::remote_buttons) and of [`Buttons`].
#[expect(missing_docs, reason = "the letters on the buttons")]
pub mod button {
    pub const L1: u16 = 1 << 1;
    pub const START: u16 = 1 << 2;
    pub const SELECT: u16 = 1 << 3;
    pub const L2: u16 = 1 << 5;
    pub const A: u16 = 1 << 8;
    pub const B: u16 = 1 << 9;
    pub const X: u16 = 1 << 10;
}

/// Buttons that make a robot move are held for this long, so that no single message moves it, ns.
const HELD_NS: u64 = 50_000_000;

/// Whether the buttons of the emergency stop are pressed. Whoever receives states looks at each of them: the slot holds only
/// the newest.
pub fn is_emergency_stop(buttons: u16) -> bool {
    let combination = button::L2 | button::B;
    buttons & combination == combination
}

/// Requests of the buttons: L2+B emergency stop, L2+A stand, L2+X lie down, start, and select for stop. The emergency stop
/// is made as long as it is pressed; the others once.
#[derive(Clone, Debug, Default)]
pub struct Buttons {
    /// Since when each combination is pressed, ns; 0 if it is not.
    since_ns: [u64; 5],
    /// Whether its request has been made.
    made: [bool; 5],
}

impl Buttons {
    const COMBINATIONS: [(u16, Request); 5] = [
        (button::L2 | button::B, Request::EmergencyStop),
        (button::L2 | button::X, Request::LieDown),
        (button::SELECT, Request::Stop),
        (button::L2 | button::A, Request::Stand),
        (button::START, Request::Start),
    ];

    /// Takes the buttons that are pressed at `now_ns`.
    pub fn take(&mut self, buttons: u16, now_ns: u64) -> RequestSet {
        let mut requests = RequestSet::default();
        for (index, (combination, request)) in Self::COMBINATIONS.into_iter().enumerate() {
            let (since_ns, made) = (&mut self.since_ns[index], &mut self.made[index]);
            if buttons & combination != combination {
                (*since_ns, *made) = (0, false);
                continue;
            }
            if *since_ns == 0 {
                *since_ns = now_ns;
            }
            let moves = matches!(request, Request::Stand | Request::Start);
            let is_held = !moves || now_ns.saturating_sub(*since_ns) >= HELD_NS;
            if is_held && (!*made || request == Request::EmergencyStop) {
                requests.insert(request);
                *made = true;
            }
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn buttons_make_one_request_and_the_emergency_stop_holds_while_pressed() {
        let mut buttons = Buttons::default();
        let mut asked = |pressed, ms: u64| buttons.take(pressed, ms * MS).most_urgent();
        // L2 is bit 5, A bit 8, B bit 9, start bit 2, select bit 3.
        assert_eq!(asked(0x0120, 1), None, "not yet held");
        assert_eq!(asked(0x0120, 50), None, "not yet held");
        assert_eq!(asked(0x0120, 51), Some(Request::Stand));
        assert_eq!(asked(0x0120, 200), None);
        assert_eq!(asked(0x0100, 210), None, "A alone");
        assert_eq!(asked(0x0220, 220), Some(Request::EmergencyStop));
        assert_eq!(asked(0x0220, 222), Some(Request::EmergencyStop));
        assert_eq!(asked(0x0324, 224), Some(Request::EmergencyStop));
        assert_eq!(asked(0x0008, 226), Some(Request::Stop));
        assert_eq!(asked(0x0008, 228), None);
    }

    #[test]
    fn a_single_message_does_not_move_the_robot() {
        let mut buttons = Buttons::default();
        for cycle in 1..500_u64 {
            // L2+A and start in every other message.
            let pressed = if cycle % 2 == 0 { 0x0124 } else { 0 };
            let requests = buttons.take(pressed, 2 * MS * cycle);
            assert_eq!(requests, RequestSet::default());
        }
        assert!(is_emergency_stop(0x0220) && !is_emergency_stop(0x0200));
    }
}
