use super::*;

#[test]
fn checksums_are_those_of_the_vendors_structs() {
    // Computed bit by bit over the words of the packed C structs, with another program.
    assert_eq!(LowCmd::default().checksum(), 0x6323_4fc1);
    assert_eq!(command().checksum(), 0x11f2_72a0);
    assert_eq!(state().checksum(), 0x2feb_4635);
    assert_eq!(state().sealed().crc, 0x2feb_4635);
}

#[test]
fn a_changed_bit_changes_the_checksum_and_the_checksum_is_not_part_of_it() {
    let mut command = command().sealed();
    assert_eq!(command.crc, command.checksum());
    command.motor_cmd[19].reserve[2] ^= 1;
    assert_ne!(command.crc, command.checksum());
}

#[test]
fn low_command_has_the_length_of_its_cdr_form() {
    let bytes = LowCmd::default().to_cdr();
    // CDR aligns numbers, not structs. Header 4; head to bandwidth 22; mode of the first motor and padding 2; five floats and
    // reserve 32; 19 motors of 36; bms 4, remote 40, led 12, fan 2, gpio 1 and padding 1, reserve 4, checksum 4.
    assert_eq!(bytes.len(), 4 + 24 + 32 + 19 * 36 + 60 + 4 + 4);
    assert_eq!(bytes[..8], [0, 1, 0, 0, 0xFE, 0xEF, 0xFF, 0]);
    assert_eq!(bytes[4 + 24..][..4], 2.146e9_f32.to_le_bytes());
}

#[test]
fn messages_survive_the_wire() {
    assert_eq!(LowState::from_cdr(&state().to_cdr()), Some(state()));
    assert_eq!(LowCmd::from_cdr(&command().to_cdr()), Some(command()));
    let scan = LaserScan {
        header: Header {
            stamp: Time::from_nanos(1_500_000_000),
            frame_id: "laser".to_owned(),
        },
        angle_min: -1.0,
        angle_max: 1.0,
        angle_increment: 1.0,
        time_increment: 0.0,
        scan_time: 0.1,
        range_min: 0.1,
        range_max: 10.0,
        ranges: vec![1.0, 2.0, f32::INFINITY],
        intensities: Vec::new(),
    };
    let bytes = scan.to_cdr();
    // Header; stamp 1 s, 5e8 ns; a string of 5 and its end, 6 bytes, padded to 8.
    assert_eq!(
        bytes[..22],
        [
            0, 1, 0, 0, 1, 0, 0, 0, 0, 0x65, 0xCD, 0x1D, 6, 0, 0, 0, b'l', b'a', b's', b'e', b'r',
            0
        ]
    );
    assert_eq!(LaserScan::from_cdr(&bytes), Some(scan));
}

#[test]
fn bytes_that_are_cut_or_of_another_encoding_are_no_message() {
    let bytes = state().to_cdr();
    assert_eq!(LowState::from_cdr(&bytes[..bytes.len() - 1]), None);
    let mut big_endian = bytes;
    big_endian[1] = 0;
    assert_eq!(LowState::from_cdr(&big_endian), None);
    assert_eq!(LowState::from_cdr(&[]), None);
}

#[test]
fn schema_holds_every_message_within_once() {
    let schema = PoseStamped::schema();
    assert!(schema.starts_with("std_msgs/Header header\ngeometry_msgs/Pose pose\n"));
    for name in [
        "std_msgs/Header",
        "builtin_interfaces/Time",
        "geometry_msgs/Pose",
        "geometry_msgs/Point",
        "geometry_msgs/Quaternion",
    ] {
        let found = schema.matches(&format!("MSG: {name}\n")).count();
        assert_eq!(found, 1, "{name} in {schema}");
    }
    let markers = MarkerArray::schema();
    assert!(markers.contains("int32 type\n") && markers.contains("geometry_msgs/Point[] points\n"));
    assert!(LowCmd::schema().contains("unitree_go/MotorCmd[20] motor_cmd\n"));
    assert!(LowCmd::schema().contains("uint8[40] wireless_remote\n"));
}

fn bytes_from_zero<const N: usize>() -> [u8; N] {
    std::array::from_fn(|index| index as u8)
}

/// Every field another.
fn command() -> LowCmd {
    let motor = |index: usize| MotorCmd {
        mode: 1,
        q: (0.1 * index as f64) as f32,
        dq: (0.2 * index as f64) as f32,
        tau: (0.3 * index as f64) as f32,
        kp: 30.0 + index as f32,
        kd: 0.65,
        reserve: [index, index + 1, index + 2].map(|value| value as u32),
    };
    LowCmd {
        frame_reserve: 7,
        sn: [1, 2],
        version: [3, 4],
        bandwidth: 5,
        motor_cmd: std::array::from_fn(motor),
        bms_cmd: BmsCmd {
            off: 1,
            reserve: [2, 3, 4],
        },
        level_flag: 0xFF,
        wireless_remote: bytes_from_zero(),
        led: bytes_from_zero(),
        fan: [8, 9],
        gpio: 10,
        reserve: 11,
        ..LowCmd::default()
    }
}

/// Every field another.
fn state() -> LowState {
    let motor = |index: usize| {
        let value = |place: usize| (0.1 * index as f64 + place as f64) as f32;
        MotorState {
            mode: 1,
            q: value(0),
            dq: value(1),
            ddq: value(2),
            tau_est: value(3),
            q_raw: value(4),
            dq_raw: value(5),
            ddq_raw: value(6),
            temperature: 40 + index as u8,
            lost: index as u32,
            reserve: [5, 6],
        }
    };
    LowState {
        imu_state: ImuState {
            quaternion: [1.0, 0.0, 0.0, 0.0],
            gyroscope: [0.1, 0.2, 0.3],
            accelerometer: [0.4, 0.5, 9.8],
            rpy: [0.01, 0.02, 0.03],
            temperature: 36,
        },
        motor_state: std::array::from_fn(motor),
        bms_state: BmsState {
            version_high: 1,
            version_low: 2,
            status: 3,
            soc: 87,
            current: -1200,
            cycle: 44,
            bq_ntc: [21, 22],
            mcu_ntc: [23, 24],
            cell_vol: std::array::from_fn(|index| 4000 + index as u16),
        },
        foot_force: [100, -1, 102, 103],
        foot_force_est: [4, 5, 6, 7],
        tick: 123_456,
        wireless_remote: bytes_from_zero(),
        bit_flag: 9,
        adc_reel: 1.5,
        temperature_ntc1: 30,
        temperature_ntc2: 31,
        power_v: 29.6,
        power_a: -2.5,
        fan_frequency: [1, 2, 3, 4],
        reserve: 77,
        ..LowState::default()
    }
}
