//! Requests of the operator, and the buttons of Unitree's remote control that make them.

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
        Request::ALL
            .into_iter()
            .find(|&request| self.contains(request))
    }
}

/// Bits of [`RobotSample::remote_buttons`](super::RobotSample::remote_buttons).
mod button {
    pub const START: u16 = 1 << 2;
    pub const SELECT: u16 = 1 << 3;
    pub const L2: u16 = 1 << 5;
    pub const A: u16 = 1 << 8;
    pub const B: u16 = 1 << 9;
    pub const X: u16 = 1 << 10;
}

/// Requests of the buttons: L2+B emergency stop, L2+A stand, L2+X lie down, start, and select for stop. All but the
/// emergency stop are made once, when the buttons are pressed.
pub(super) fn requests_of_buttons(buttons: u16, previous: u16) -> RequestSet {
    let mut requests = RequestSet::default();
    for (combination, request) in [
        (button::L2 | button::B, Request::EmergencyStop),
        (button::L2 | button::X, Request::LieDown),
        (button::SELECT, Request::Stop),
        (button::L2 | button::A, Request::Stand),
        (button::START, Request::Start),
    ] {
        let pressed = |buttons: u16| buttons & combination == combination;
        if pressed(buttons) && (request == Request::EmergencyStop || !pressed(previous)) {
            requests.insert(request);
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_make_one_request_and_the_emergency_stop_holds_while_pressed() {
        let asked = |buttons, previous| requests_of_buttons(buttons, previous).most_urgent();
        // L2 is bit 5, A bit 8, B bit 9, start bit 2.
        assert_eq!(asked(0x0120, 0x0020), Some(Request::Stand));
        assert_eq!(asked(0x0120, 0x0120), None);
        assert_eq!(asked(0x0100, 0), None, "A alone");
        assert_eq!(asked(0x0220, 0x0220), Some(Request::EmergencyStop));
        assert_eq!(asked(0x0324, 0), Some(Request::EmergencyStop));
        assert_eq!(asked(0x0004, 0), Some(Request::Start));
    }
}
