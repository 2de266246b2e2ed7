//! A gamepad, as the kernel shows it (Documentation/input/gamepad.rst): sticks and buttons have the same codes for every maker.

use std::{
    io,
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use controller::deploy::button;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use evdev::{AbsoluteAxisCode as Axis, AttributeSetRef, Device, EventSummary, KeyCode};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// A gamepad gives its state at least so often, as a heartbeat.
const PERIOD: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};
/// Time between two searches for one that is not there.
const SEARCH: Duration = Duration::from_millis(500);
/// After so long without one the operator is told.
const MISSING: Duration = Duration::from_secs(3);
/// Events that wait for the console.
const EVENTS: usize = 16;

/// What becomes of a gamepad.
#[derive(Clone, Debug, PartialEq)]
pub enum GamepadEvent {
    /// There is none, and why that may be.
    Missing(String),
    /// One of this name is there.
    Found(String),
    /// Its state.
    State(GamepadState),
    /// It is gone, and why.
    Lost(String),
}

/// Sticks and buttons.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GamepadState {
    /// The left stick forward, in [-1, 1].
    pub forward: f32,
    /// The left stick to the left, in [-1, 1].
    pub left: f32,
    /// The right stick to the left, in [-1, 1].
    pub turn_left: f32,
    /// The buttons that are down, as bits of [`button`].
    pub down: u16,
    /// The buttons that have been pressed since the last state, even if they are up again.
    pub pressed: u16,
}

/// Starts the thread that reads the first gamepad that there is, and the next one when that is lost.
///
/// # Errors
/// When the system refuses the thread.
pub fn listen() -> io::Result<Receiver<GamepadEvent>> {
    let (sender, events) = bounded(EVENTS);
    thread::Builder::new()
        .name("gamepad".to_owned())
        .spawn(move || while follow_one(&sender).is_some() {})?;
    Ok(events)
}

/// Follows one gamepad to its end. None when nobody listens any more.
fn follow_one(sender: &Sender<GamepadEvent>) -> Option<()> {
    let (layout, mut device) = find(sender)?;
    let name = device.name().unwrap_or("of no name").to_owned();
    sender.send(GamepadEvent::Found(name)).ok()?;
    let mut pressed = 0;
    let error = loop {
        let state = match layout.read(&mut device, &mut pressed) {
            Ok(state) => state,
            Err(error) => break error,
        };
        match sender.try_send(GamepadEvent::State(state)) {
            Ok(()) => pressed = 0,
            // The next state is as good, and has the buttons that this one tells.
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => return None,
        }
    };
    let lost = GamepadEvent::Lost(error.to_string());
    sender.send(lost).ok()?;
    // It may not have vanished yet.
    thread::sleep(SEARCH);
    Some(())
}

/// Waits until there is a gamepad. None when nobody listens any more.
fn find(sender: &Sender<GamepadEvent>) -> Option<(Layout, Device)> {
    let start = Instant::now();
    let mut is_told = false;
    loop {
        let found = evdev::enumerate().find_map(|(_, device)| {
            let layout = Layout::of(&device)?;
            device.set_nonblocking(true).ok()?;
            Some((layout, device))
        });
        if found.is_some() {
            return found;
        }
        let missing = "no gamepad: plug one in; if it is, allow this user to read /dev/input (on Debian: usermod -aG input USER)";
        if !is_told && start.elapsed() >= MISSING {
            is_told = true;
            let missing = GamepadEvent::Missing(missing.to_owned());
            sender.send(missing).ok()?;
        }
        thread::sleep(SEARCH);
    }
}

/// Which codes a gamepad has for what differs between makers.
#[derive(Clone, Debug, PartialEq)]
struct Layout {
    /// The right stick, from left to right.
    turn: Axis,
    /// The left trigger, where it is no button.
    trigger: Option<Axis>,
}

/// Buttons that all gamepads have in common. Some drivers exchange those at the top and at the left, so both count as X.
const BUTTONS: [(KeyCode, u16); 8] = [
    (KeyCode::BTN_SOUTH, button::A),
    (KeyCode::BTN_EAST, button::B),
    (KeyCode::BTN_NORTH, button::X),
    (KeyCode::BTN_WEST, button::X),
    (KeyCode::BTN_TL, button::L1),
    (KeyCode::BTN_TL2, button::L2),
    (KeyCode::BTN_SELECT, button::SELECT),
    (KeyCode::BTN_START, button::START),
];

impl Layout {
    /// None for a device that is no gamepad.
    fn of(device: &Device) -> Option<Self> {
        let (keys, axes) = (device.supported_keys()?, device.supported_absolute_axes()?);
        Self::with(keys, axes)
    }

    fn with(keys: &AttributeSetRef<KeyCode>, axes: &AttributeSetRef<Axis>) -> Option<Self> {
        let has = |axis| axes.contains(axis);
        if !keys.contains(KeyCode::BTN_SOUTH) || !has(Axis::ABS_X) || !has(Axis::ABS_Y) {
            return None;
        }
        // Where the right stick has no axes of its own, it has those of the triggers.
        let (turn, triggers): (_, &[_]) = match has(Axis::ABS_RX) {
            true => (Axis::ABS_RX, &[Axis::ABS_Z, Axis::ABS_BRAKE]),
            false => (Axis::ABS_Z, &[Axis::ABS_BRAKE]),
        };
        let trigger = triggers.iter().copied().find(|&axis| has(axis));
        Some(Self {
            turn,
            trigger: trigger.filter(|_| !keys.contains(KeyCode::BTN_TL2)),
        })
    }

    /// Waits for an event, but not for long, and reads the state. `pressed` collects buttons.
    fn read(&self, device: &mut Device, pressed: &mut u16) -> io::Result<GamepadState> {
        let mut fds = [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&PERIOD)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        match device.fetch_events() {
            Ok(events) => {
                for event in events {
                    if let EventSummary::Key(_, key, 1) = event.destructure() {
                        *pressed |= bits(|button| button == key);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        // The kernel's own state: it holds whatever became of the events.
        let (keys, axes) = (device.get_key_state()?, device.get_abs_state()?);
        let position = |axis: Axis| {
            let info = &axes[usize::from(axis.0)];
            position(info.value, info.minimum, info.maximum)
        };
        let mut down = bits(|button| keys.contains(button));
        if self.trigger.is_some_and(|axis| position(axis) > 0.0) {
            down |= button::L2;
        }
        Ok(GamepadState {
            forward: -position(Axis::ABS_Y),
            left: -position(Axis::ABS_X),
            turn_left: -position(self.turn),
            down,
            pressed: *pressed,
        })
    }
}

fn bits(is_set: impl Fn(KeyCode) -> bool) -> u16 {
    let set = BUTTONS.into_iter().filter(|&(key, _)| is_set(key));
    set.fold(0, |bits, (_, bit)| bits | bit)
}

/// From -1 at the least value to 1 at the greatest; NaN where there is no range.
fn position(value: i32, least: i32, greatest: i32) -> f32 {
    let [value, least, greatest] = [value, least, greatest].map(f64::from);
    ((2.0 * value - least - greatest) / (greatest - least)) as f32
}

#[cfg(test)]
mod tests;
