//! The low-level interface of the Unitree Go2.

use crc::{CRC_32_MPEG_2, Crc};
use serde_big_array::BigArray;

use super::message;

message! {
    #[derive(Copy, Default)]
    "unitree_go" "MotorCmd" MotorCmd {
        mode: u8,
        q: f32,
        dq: f32,
        tau: f32,
        kp: f32,
        kd: f32,
        reserve: [u32; 3],
    }
    #[derive(Copy, Default)]
    "unitree_go" "BmsCmd" BmsCmd {
        off: u8,
        reserve: [u8; 3],
    }
    "unitree_go" "LowCmd" LowCmd {
        head: [u8; 2],
        level_flag: u8,
        frame_reserve: u8,
        sn: [u32; 2],
        version: [u32; 2],
        bandwidth: u16,
        motor_cmd: [MotorCmd; 20],
        bms_cmd: BmsCmd,
        #[serde(with = "BigArray")]
        wireless_remote: [u8; 40],
        led: [u8; 12],
        fan: [u8; 2],
        gpio: u8,
        reserve: u32,
        crc: u32,
    }
    /// Quaternion (w, x, y, z); rad/s and m/s^2 in the base frame.
    #[derive(Copy)]
    "unitree_go" "IMUState" ImuState {
        quaternion: [f32; 4],
        gyroscope: [f32; 3],
        accelerometer: [f32; 3],
        rpy: [f32; 3],
        temperature: u8,
    }
    #[derive(Copy, Default)]
    "unitree_go" "MotorState" MotorState {
        mode: u8,
        q: f32,
        dq: f32,
        ddq: f32,
        tau_est: f32,
        q_raw: f32,
        dq_raw: f32,
        ddq_raw: f32,
        temperature: u8,
        lost: u32,
        reserve: [u32; 2],
    }
    #[derive(Copy, Default)]
    "unitree_go" "BmsState" BmsState {
        version_high: u8,
        version_low: u8,
        status: u8,
        soc: u8,
        current: i32,
        cycle: u16,
        bq_ntc: [u8; 2],
        mcu_ntc: [u8; 2],
        cell_vol: [u16; 15],
    }
    "unitree_go" "LowState" LowState {
        head: [u8; 2],
        level_flag: u8,
        frame_reserve: u8,
        sn: [u32; 2],
        version: [u32; 2],
        bandwidth: u16,
        imu_state: ImuState,
        motor_state: [MotorState; 20],
        bms_state: BmsState,
        foot_force: [i16; 4],
        foot_force_est: [i16; 4],
        tick: u32,
        #[serde(with = "BigArray")]
        wireless_remote: [u8; 40],
        bit_flag: u8,
        adc_reel: f32,
        temperature_ntc1: u8,
        temperature_ntc2: u8,
        power_v: f32,
        power_a: f32,
        fan_frequency: [u16; 4],
        reserve: u32,
        crc: u32,
    }
}

/// First bytes of both messages.
const HEAD: [u8; 2] = [0xFE, 0xEF];
/// `level_flag` of joint-level control.
const LOW_LEVEL: u8 = 0xFF;

impl MotorCmd {
    /// `mode` in which the motor follows the command.
    pub const ENABLED: u8 = 1;
    /// Position that asks for no position control.
    pub const NO_POSITION: f32 = 2.146e9;
    /// Velocity that asks for no velocity control.
    pub const NO_VELOCITY: f32 = 16_000.0;
}

impl Default for LowCmd {
    /// Every motor disabled; the checksum is still to be set.
    fn default() -> Self {
        let motor = MotorCmd {
            q: MotorCmd::NO_POSITION,
            dq: MotorCmd::NO_VELOCITY,
            ..MotorCmd::default()
        };
        Self {
            head: HEAD,
            level_flag: LOW_LEVEL,
            frame_reserve: 0,
            sn: [0; 2],
            version: [0; 2],
            bandwidth: 0,
            motor_cmd: [motor; 20],
            bms_cmd: BmsCmd::default(),
            wireless_remote: [0; 40],
            led: [0; 12],
            fan: [0; 2],
            gpio: 0,
            reserve: 0,
            crc: 0,
        }
    }
}

impl Default for LowState {
    /// Level, at rest, everything else zero; the checksum is still to be set.
    fn default() -> Self {
        Self {
            head: HEAD,
            level_flag: LOW_LEVEL,
            frame_reserve: 0,
            sn: [0; 2],
            version: [0; 2],
            bandwidth: 0,
            imu_state: ImuState {
                quaternion: [1.0, 0.0, 0.0, 0.0],
                gyroscope: [0.0; 3],
                accelerometer: [0.0; 3],
                rpy: [0.0; 3],
                temperature: 0,
            },
            motor_state: [MotorState::default(); 20],
            bms_state: BmsState::default(),
            foot_force: [0; 4],
            foot_force_est: [0; 4],
            tick: 0,
            wireless_remote: [0; 40],
            bit_flag: 0,
            adc_reel: 0.0,
            temperature_ntc1: 0,
            temperature_ntc2: 0,
            power_v: 0.0,
            power_a: 0.0,
            fan_frequency: [0; 4],
            reserve: 0,
            crc: 0,
        }
    }
}

impl LowCmd {
    /// Size of the C struct.
    pub const SIZE: usize = 812;

    /// The checksum that `crc` must be.
    pub fn checksum(&self) -> u32 {
        let mut c = CStruct::<{ Self::SIZE }>::new();
        c.bytes(&self.head);
        c.bytes(&[self.level_flag, self.frame_reserve]);
        c.each(&self.sn, u32::to_le_bytes);
        c.each(&self.version, u32::to_le_bytes);
        c.put(self.bandwidth.to_le_bytes());
        for motor in &self.motor_cmd {
            c.align(4);
            c.bytes(&[motor.mode]);
            let MotorCmd {
                q, dq, tau, kp, kd, ..
            } = *motor;
            c.each(&[q, dq, tau, kp, kd], f32::to_le_bytes);
            c.each(&motor.reserve, u32::to_le_bytes);
        }
        c.bytes(&[self.bms_cmd.off]);
        c.bytes(&self.bms_cmd.reserve);
        c.bytes(&self.wireless_remote);
        c.bytes(&self.led);
        c.bytes(&self.fan);
        c.bytes(&[self.gpio]);
        c.put(self.reserve.to_le_bytes());
        c.checksum()
    }

    /// The same with its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.crc = self.checksum();
        self
    }
}

impl LowState {
    /// Size of the C struct.
    pub const SIZE: usize = 1180;

    /// The checksum that `crc` must be.
    pub fn checksum(&self) -> u32 {
        let mut c = CStruct::<{ Self::SIZE }>::new();
        c.bytes(&self.head);
        c.bytes(&[self.level_flag, self.frame_reserve]);
        c.each(&self.sn, u32::to_le_bytes);
        c.each(&self.version, u32::to_le_bytes);
        c.put(self.bandwidth.to_le_bytes());
        let imu = &self.imu_state;
        c.each(&imu.quaternion, f32::to_le_bytes);
        c.each(&imu.gyroscope, f32::to_le_bytes);
        c.each(&imu.accelerometer, f32::to_le_bytes);
        c.each(&imu.rpy, f32::to_le_bytes);
        c.bytes(&[imu.temperature]);
        for motor in &self.motor_state {
            c.align(4);
            c.bytes(&[motor.mode]);
            let MotorState {
                q,
                dq,
                ddq,
                tau_est,
                q_raw,
                dq_raw,
                ddq_raw,
                ..
            } = *motor;
            let values = [q, dq, ddq, tau_est, q_raw, dq_raw, ddq_raw];
            c.each(&values, f32::to_le_bytes);
            c.bytes(&[motor.temperature]);
            c.put(motor.lost.to_le_bytes());
            c.each(&motor.reserve, u32::to_le_bytes);
        }
        let bms = &self.bms_state;
        c.align(4);
        c.bytes(&[bms.version_high, bms.version_low, bms.status, bms.soc]);
        c.put(bms.current.to_le_bytes());
        c.put(bms.cycle.to_le_bytes());
        c.bytes(&bms.bq_ntc);
        c.bytes(&bms.mcu_ntc);
        c.each(&bms.cell_vol, u16::to_le_bytes);
        c.align(4);
        c.each(&self.foot_force, i16::to_le_bytes);
        c.each(&self.foot_force_est, i16::to_le_bytes);
        c.put(self.tick.to_le_bytes());
        c.bytes(&self.wireless_remote);
        c.bytes(&[self.bit_flag]);
        c.put(self.adc_reel.to_le_bytes());
        c.bytes(&[self.temperature_ntc1, self.temperature_ntc2]);
        c.put(self.power_v.to_le_bytes());
        c.put(self.power_a.to_le_bytes());
        c.each(&self.fan_frequency, u16::to_le_bytes);
        c.put(self.reserve.to_le_bytes());
        c.checksum()
    }

    /// The same with its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.crc = self.checksum();
        self
    }
}

/// The vendor's C struct with its padding, all of it zero, up to the checksum at its end.
struct CStruct<const SIZE: usize> {
    bytes: [u8; SIZE],
    end: usize,
}

impl<const SIZE: usize> CStruct<SIZE> {
    fn new() -> Self {
        Self {
            bytes: [0; SIZE],
            end: 0,
        }
    }

    fn align(&mut self, to: usize) {
        self.end = self.end.next_multiple_of(to);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// A number; it is aligned to its size.
    fn put<const N: usize>(&mut self, number: [u8; N]) {
        self.align(N);
        self.bytes(&number);
    }

    fn each<T: Copy, const N: usize>(&mut self, values: &[T], to_bytes: impl Fn(T) -> [u8; N]) {
        for value in values {
            self.put(to_bytes(*value));
        }
    }

    /// Of the little-endian words before the last, each taken most significant byte first.
    fn checksum(mut self) -> u32 {
        static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);
        debug_assert_eq!(self.end.next_multiple_of(4) + 4, SIZE);
        let words = &mut self.bytes[..SIZE - 4];
        for word in words.chunks_exact_mut(4) {
            word.reverse();
        }
        CRC.checksum(words)
    }
}
