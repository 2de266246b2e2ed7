"""A Unitree robot as a Cyclone DDS peer: feeds states, scans and odometry, answers the motion switcher, reads commands.

Its joints follow their commands at once. Ends 3 s after it stands, at the latest after SECONDS, and prints what it saw as one line of JSON.
usage: robot.py DOMAIN SECONDS
"""

import json
import math
import os
import random
import struct
import sys
import time
from dataclasses import dataclass

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float32, float64, int16, int32, int64, sequence, uint8, uint16, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration


@dataclass
class MotorCmd(IdlStruct, typename="unitree_go::msg::dds_::MotorCmd_"):
    mode: uint8
    q: float32
    dq: float32
    tau: float32
    kp: float32
    kd: float32
    reserve: array[uint32, 3]


@dataclass
class BmsCmd(IdlStruct, typename="unitree_go::msg::dds_::BmsCmd_"):
    off: uint8
    reserve: array[uint8, 3]


@dataclass
class LowCmd(IdlStruct, typename="unitree_go::msg::dds_::LowCmd_"):
    head: array[uint8, 2]
    level_flag: uint8
    frame_reserve: uint8
    sn: array[uint32, 2]
    version: array[uint32, 2]
    bandwidth: uint16
    motor_cmd: array[MotorCmd, 20]
    bms_cmd: BmsCmd
    wireless_remote: array[uint8, 40]
    led: array[uint8, 12]
    fan: array[uint8, 2]
    gpio: uint8
    reserve: uint32
    crc: uint32


@dataclass
class IMUState(IdlStruct, typename="unitree_go::msg::dds_::IMUState_"):
    quaternion: array[float32, 4]
    gyroscope: array[float32, 3]
    accelerometer: array[float32, 3]
    rpy: array[float32, 3]
    temperature: uint8


@dataclass
class MotorState(IdlStruct, typename="unitree_go::msg::dds_::MotorState_"):
    mode: uint8
    q: float32
    dq: float32
    ddq: float32
    tau_est: float32
    q_raw: float32
    dq_raw: float32
    ddq_raw: float32
    temperature: uint8
    lost: uint32
    reserve: array[uint32, 2]


@dataclass
class BmsState(IdlStruct, typename="unitree_go::msg::dds_::BmsState_"):
    version_high: uint8
    version_low: uint8
    status: uint8
    soc: uint8
    current: int32
    cycle: uint16
    bq_ntc: array[uint8, 2]
    mcu_ntc: array[uint8, 2]
    cell_vol: array[uint16, 15]


@dataclass
class LowState(IdlStruct, typename="unitree_go::msg::dds_::LowState_"):
    head: array[uint8, 2]
    level_flag: uint8
    frame_reserve: uint8
    sn: array[uint32, 2]
    version: array[uint32, 2]
    bandwidth: uint16
    imu_state: IMUState
    motor_state: array[MotorState, 20]
    bms_state: BmsState
    foot_force: array[int16, 4]
    foot_force_est: array[int16, 4]
    tick: uint32
    wireless_remote: array[uint8, 40]
    bit_flag: uint8
    adc_reel: float32
    temperature_ntc1: uint8
    temperature_ntc2: uint8
    power_v: float32
    power_a: float32
    fan_frequency: array[uint16, 4]
    reserve: uint32
    crc: uint32


@dataclass
class RequestIdentity(IdlStruct, typename="unitree_api::msg::dds_::RequestIdentity_"):
    id: int64
    api_id: int64


@dataclass
class RequestLease(IdlStruct, typename="unitree_api::msg::dds_::RequestLease_"):
    id: int64


@dataclass
class RequestPolicy(IdlStruct, typename="unitree_api::msg::dds_::RequestPolicy_"):
    priority: int32
    noreply: bool


@dataclass
class RequestHeader(IdlStruct, typename="unitree_api::msg::dds_::RequestHeader_"):
    identity: RequestIdentity
    lease: RequestLease
    policy: RequestPolicy


@dataclass
class Request(IdlStruct, typename="unitree_api::msg::dds_::Request_"):
    header: RequestHeader
    parameter: str
    binary: sequence[uint8]


@dataclass
class ResponseStatus(IdlStruct, typename="unitree_api::msg::dds_::ResponseStatus_"):
    code: int32


@dataclass
class ResponseHeader(IdlStruct, typename="unitree_api::msg::dds_::ResponseHeader_"):
    identity: RequestIdentity
    status: ResponseStatus


@dataclass
class Response(IdlStruct, typename="unitree_api::msg::dds_::Response_"):
    header: ResponseHeader
    data: str
    binary: sequence[uint8]


@dataclass
class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time
    frame_id: str


@dataclass
class String(IdlStruct, typename="std_msgs::msg::dds_::String_"):
    data: str


@dataclass
class LaserScan(IdlStruct, typename="sensor_msgs::msg::dds_::LaserScan_"):
    header: Header
    angle_min: float32
    angle_max: float32
    angle_increment: float32
    time_increment: float32
    scan_time: float32
    range_min: float32
    range_max: float32
    ranges: sequence[float32]
    intensities: sequence[float32]


def crc_of(words):
    """CRC-32/MPEG-2, bit by bit."""
    crc = 0xFFFFFFFF
    for word in words:
        for bit in range(31, -1, -1):
            top = crc >> 31
            crc = (crc << 1) & 0xFFFFFFFF
            if top ^ (word >> bit & 1):
                crc ^= 0x04C11DB7
    return crc


def words_of(packed):
    return struct.unpack(f"<{len(packed) // 4}I", packed)


def command_crc(c):
    packed = struct.pack("<4B2I2IH2x", *c.head, c.level_flag, c.frame_reserve, *c.sn, *c.version, c.bandwidth)
    for m in c.motor_cmd:
        packed += struct.pack("<B3x5f3I", m.mode, m.q, m.dq, m.tau, m.kp, m.kd, *m.reserve)
    packed += bytes([c.bms_cmd.off, *c.bms_cmd.reserve, *c.wireless_remote, *c.led, *c.fan, c.gpio])
    packed += bytes(-len(packed) % 4) + struct.pack("<I", c.reserve)
    assert len(packed) == 812 - 4
    return crc_of(words_of(packed))


def state_of(position, tick):
    noise = random.uniform(-1e-3, 1e-3)
    motor = lambda q: MotorState(1, q + noise, noise, 0, 0.1, 0, 0, 0, 35, 0, [0, 0])
    return LowState(
        [0xFE, 0xEF], 0xFF, 0, [0, 0], [0, 0], 0,
        IMUState([1, 0, 0, 0], [noise, 0, 0], [0, noise, 9.81], [0, 0, 0], 40),
        [motor(q) for q in position] + [motor(0)] * 8,
        BmsState(0, 0, 0, 95, 0, 0, [0, 0], [0, 0], [0] * 15),
        [60] * 4, [0] * 4, tick, [0] * 40, 0, 0, 0, 0, 29, 0, [0] * 4, 0, 0,
    )


def topic(participant, name, kind):
    return Topic(participant, name, kind)


def main():
    domain, seconds = int(sys.argv[1]), float(sys.argv[2])
    try:
        # A robot is not held up by other programs.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(40))
    except PermissionError:
        pass
    participant = DomainParticipant(domain)
    newest = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(4))
    reliable = Qos(Policy.Reliability.Reliable(duration(milliseconds=100)), Policy.History.KeepLast(16))
    states = DataWriter(participant, topic(participant, "rt/lowstate", LowState), newest)
    scans = DataWriter(participant, topic(participant, "rt/scan", LaserScan), newest)
    responses = DataWriter(participant, topic(participant, "rt/api/motion_switcher/response", Response), reliable)
    operator = DataWriter(participant, topic(participant, "rt/abs/operator", String), reliable)
    commands = DataReader(participant, topic(participant, "rt/lowcmd", LowCmd), newest)
    requests = DataReader(participant, topic(participant, "rt/api/motion_switcher/request", Request), reliable)
    heard = DataReader(participant, topic(participant, "rt/abs/state", String), reliable)

    lying = [0.0, 1.3, -2.6] * 4
    position, owned = list(lying), True
    seen = {"commands": 0, "wrong_crc": 0, "before_release": 0, "damping": 0, "modes": [], "states": [], "requests": []}
    samples, state = [], ""
    start = time.monotonic()
    tick = 0
    asked = 0.0
    scan = LaserScan(Header(Time(0, 0), "base_link"), -math.pi, math.pi - 0.01, 0.01, 0, 0.1, 0.05, 20, [5.0] * 628, [])
    # On a slow machine it may take more than one attempt to stand.
    end = start + seconds
    while time.monotonic() < end:
        tick += 1
        states.write(state_of(position, tick))
        if tick % 10 == 0:
            scans.write(scan)
        for request in requests.take(16):
            api = request.header.identity.api_id
            seen["requests"].append(api)
            if api == 1003:
                owned = False
            name = "normal" if owned else ""
            data = json.dumps({"form": "0", "name": name}) if api == 1001 else ""
            responses.write(Response(ResponseHeader(request.header.identity, ResponseStatus(0)), data, []))
        for command in commands.take(64):
            seen["commands"] += 1
            # Bit by bit in Python takes a while: every twentieth, at the end.
            if seen["commands"] % 20 == 1:
                samples.append(command)
            if owned:
                seen["before_release"] += 1
            motors = command.motor_cmd[:12]
            if all(m.kp == 0 for m in motors):
                seen["damping"] += 1
            seen["modes"] = sorted({*seen["modes"], *(m.mode for m in command.motor_cmd)})
            seen["last"] = [round(m.q, 3) for m in motors]
            position = [m.q if m.kp > 0 else q for m, q in zip(motors, position)]
        for text in heard.take(16):
            state = text.data
            if text.data not in seen["states"]:
                seen["states"].append(text.data)
                if text.data == "ready":
                    end = min(end, time.monotonic() + 3)
        if not owned and time.monotonic() - asked > 0.3:
            asked = time.monotonic()
            # First the joints are seen to be damped. After a fault, which a slow machine may cause, the operator says
            # stop and begins again.
            damped = "stand" if seen["damping"] else "heartbeat"
            request = {"damping": damped, "fault": "stop"}.get(state, "heartbeat")
            operator.write(String(request))
        time.sleep(0.004)
    seen["wrong_crc"] = sum(command_crc(command) != command.crc for command in samples)
    seen["checked"] = len(samples)
    print(json.dumps(seen))


main()
