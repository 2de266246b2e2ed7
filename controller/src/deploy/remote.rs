//! The buttons of Unitree's remote control.

use super::{Request, RequestSet};

/// Bits of [`RobotSample::remote_buttons`](super::RobotSample::remote_buttons).
mod button {
    pub const START: u16 = 1 << 2;
    pub const SELECT: u16 = 1 << 3;
    pub const L2: u16 = 1 << 5;
    pub const A: u16 = 1 << 8;
    pub const B: u16 = 1 << 9;
    pub const X: u16 = 1 << 10;
}

/// What the buttons ask for: L2+B emergency stop, L2+A stand, L2+X lie down, start, and select for stop. All but the
/// emergency stop ask once, when they are pressed.
pub fn requests(buttons: u16, previous: u16) -> RequestSet {
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
    fn buttons_ask_once_and_the_emergency_stop_as_long_as_it_is_pressed() {
        let asked = |buttons, previous| requests(buttons, previous).most_urgent();
        // L2 is bit 5, A bit 8, B bit 9, start bit 2.
        assert_eq!(asked(0x0120, 0x0020), Some(Request::Stand));
        assert_eq!(asked(0x0120, 0x0120), None);
        assert_eq!(asked(0x0100, 0), None, "A alone");
        assert_eq!(asked(0x0220, 0x0220), Some(Request::EmergencyStop));
        assert_eq!(asked(0x0324, 0), Some(Request::EmergencyStop));
        assert_eq!(asked(0x0004, 0), Some(Request::Start));
    }
}
