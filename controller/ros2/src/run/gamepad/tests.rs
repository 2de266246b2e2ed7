use evdev::{
    AbsInfo, AttributeSet, InputEvent, UinputAbsSetup,
    uinput::{VirtualDevice, VirtualDeviceBuilder},
};

use super::*;

#[test]
fn a_stick_reaches_from_one_end_to_the_other() {
    for (least, greatest) in [(-32768, 32767), (0, 255), (0, 65535)] {
        assert_eq!(position(least, least, greatest), -1.0);
        assert_eq!(position(greatest, least, greatest), 1.0);
        let middle = position((least + greatest) / 2, least, greatest);
        assert!(middle.abs() < 0.01, "{middle}");
    }
    assert!(position(300, 0, 255) > 1.0, "beyond its range");
    assert!(!position(0, 0, 0).is_finite());
}

fn layout(keys: &[KeyCode], axes: &[Axis]) -> Option<Layout> {
    let keys: AttributeSet<KeyCode> = keys.iter().copied().collect();
    let axes: AttributeSet<Axis> = axes.iter().copied().collect();
    Layout::with(&keys, &axes)
}

#[test]
fn gamepads_are_told_from_other_devices_and_from_each_other() {
    use Axis as A;
    let south = KeyCode::BTN_SOUTH;
    // Triggers as axes (Xbox by cable), and as buttons too (PlayStation).
    let axes = [
        A::ABS_X,
        A::ABS_Y,
        A::ABS_Z,
        A::ABS_RX,
        A::ABS_RY,
        A::ABS_RZ,
    ];
    let xbox = layout(&[south], &axes).unwrap();
    assert_eq!((xbox.turn, xbox.trigger), (A::ABS_RX, Some(A::ABS_Z)));
    let playstation = layout(&[south, KeyCode::BTN_TL2], &axes).unwrap();
    assert_eq!((playstation.turn, playstation.trigger), (A::ABS_RX, None));
    // The right stick on the axes of the triggers (Xbox by Bluetooth).
    let axes = [
        A::ABS_X,
        A::ABS_Y,
        A::ABS_Z,
        A::ABS_RZ,
        A::ABS_GAS,
        A::ABS_BRAKE,
    ];
    let bluetooth = layout(&[south], &axes).unwrap();
    assert_eq!(bluetooth.turn, A::ABS_Z);
    assert_eq!(bluetooth.trigger, Some(A::ABS_BRAKE));
    // A touchpad, a keyboard, and the motion sensors of a gamepad.
    assert_eq!(layout(&[KeyCode::BTN_TOUCH], &[A::ABS_X, A::ABS_Y]), None);
    assert_eq!(layout(&[KeyCode::KEY_A], &[]), None);
    assert_eq!(layout(&[], &[A::ABS_X, A::ABS_Y, A::ABS_Z]), None);
}

#[test]
fn buttons_have_the_bits_of_the_remote_control() {
    let down = [KeyCode::BTN_TL2, KeyCode::BTN_EAST, KeyCode::BTN_MODE];
    assert_eq!(bits(|key| down.contains(&key)), button::L2 | button::B);
    for top_or_left in [KeyCode::BTN_NORTH, KeyCode::BTN_WEST] {
        assert_eq!(bits(|key| key == top_or_left), button::X);
    }
}

/// A gamepad of the kernel's; none where it makes no virtual devices.
fn virtual_gamepad() -> Option<VirtualDevice> {
    let make = || -> io::Result<VirtualDevice> {
        let keys: AttributeSet<KeyCode> = BUTTONS.into_iter().map(|(key, _)| key).collect();
        let mut builder: VirtualDeviceBuilder<'_> = VirtualDevice::builder()?
            .name("virtual gamepad")
            .with_keys(&keys)?;
        for axis in [Axis::ABS_X, Axis::ABS_Y, Axis::ABS_RX] {
            let range = AbsInfo::new(0, -32768, 32767, 16, 128, 0);
            builder = builder.with_absolute_axis(&UinputAbsSetup::new(axis, range))?;
        }
        builder.build()
    };
    if evdev::enumerate().any(|(_, device)| Layout::of(&device).is_some()) {
        println!("skipped, a gamepad is plugged in, which would be found first");
        return None;
    }
    match make() {
        Ok(device) => Some(device),
        Err(error) => {
            println!("skipped, /dev/uinput makes no gamepad here: {error}");
            None
        }
    }
}

/// The first state that is as expected.
#[track_caller]
fn wait_for(
    events: &Receiver<GamepadEvent>,
    is_expected: impl Fn(&GamepadState) -> bool,
) -> GamepadState {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        match events.recv_timeout(Duration::from_secs(1)) {
            Ok(GamepadEvent::State(state)) if is_expected(&state) => return state,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no such state");
}

#[test]
fn a_virtual_gamepad_is_read_and_its_loss_is_told() {
    let Some(mut gamepad) = virtual_gamepad() else {
        return;
    };
    let events = listen().unwrap();
    let found = events.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(found, GamepadEvent::Found("virtual gamepad".to_owned()));
    let rest = wait_for(&events, |_| true);
    assert_eq!((rest.down, rest.pressed), (0, 0));
    assert!(rest.forward.abs() < 0.01, "{rest:?}");

    let key = |key: KeyCode, value| InputEvent::new(evdev::EventType::KEY.0, key.0, value);
    let axis = |axis: Axis, value| InputEvent::new(evdev::EventType::ABSOLUTE.0, axis.0, value);
    let held = [
        key(KeyCode::BTN_TL, 1),
        axis(Axis::ABS_Y, -32768),
        axis(Axis::ABS_RX, 32767),
    ];
    gamepad.emit(&held).unwrap();
    let state = wait_for(&events, |state| state.down == button::L1);
    assert_eq!((state.forward, state.turn_left), (1.0, -1.0));
    // Down and up again within one report: it was pressed.
    let tap = [key(KeyCode::BTN_EAST, 1)];
    gamepad.emit(&tap).unwrap();
    gamepad.emit(&[key(KeyCode::BTN_EAST, 0)]).unwrap();
    wait_for(&events, |state| state.pressed & button::B != 0);
    let state = wait_for(&events, |state| state.pressed == 0);
    assert_eq!(state.down, button::L1);

    drop(gamepad);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(5), "not told");
        if let Ok(GamepadEvent::Lost(_)) = events.recv_timeout(Duration::from_secs(1)) {
            break;
        }
    }
}
