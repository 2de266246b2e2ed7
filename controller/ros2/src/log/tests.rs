use std::{
    fs,
    io::{self, SeekFrom},
    sync::Mutex,
    time::Instant,
};

use controller::{
    Method,
    deploy::{CYCLE_NS, DeployConfig, Pilot, RobotSample},
};
use crossbeam::channel::unbounded;
use mcap::records::op;
use nalgebra::Vector3;
use policies::{
    Layout, Linear, PolicySpec, RaySpec,
    observation::terms,
    spec::{NetworkSpec, Provenance, role},
};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use robots::{FootVec, Robot, RobotFiles};
use tempfile::TempDir;

use self::damage::damaged;
use super::{cycle::CYCLE_TOPIC, file::partial_path, *};
use crate::{messages::Text, run::RunConfig};

#[path = "../../../../tests/damage.rs"]
mod damage;

fn config() -> RunConfig {
    let mut config = RunConfig::default();
    config.deploy = DeployConfig {
        method: Method::agile(),
        ..config.deploy
    };
    config
}

/// A small network, so that the log is short.
fn bundle(robot: &Robot) -> Bundle {
    let rays = RaySpec::default();
    let mut bundle = Bundle::new(PolicySpec::new(robot, &rays, 0.02));
    let spec = NetworkSpec::policy(
        role::AGILE,
        terms::agile(&rays),
        0.25,
        Provenance::default(),
    );
    let layout = Layout::new(&spec.observations, &bundle.spec.robot, &rays).unwrap();
    let layer = |inputs: usize, outputs: usize| Linear {
        weight: (0..inputs * outputs)
            .map(|k| 0.05 * (k as f32).sin())
            .collect(),
        bias: vec![0.0; outputs],
        inputs,
    };
    let layers = vec![layer(layout.dim(), 4), layer(4, robot.num_joints())];
    bundle.insert(role::AGILE, spec, layers).unwrap();
    bundle
}

/// A run without a robot: its state is made up.
struct Course {
    pilot: Pilot,
    record: CycleRecord,
    queue: rtrb::Producer<CycleRecord>,
}

impl Course {
    fn new(robot: &Robot, bundle: &Bundle) -> (Self, rtrb::Consumer<CycleRecord>) {
        let config = config();
        let pilot = Pilot::new(robot, bundle, &config.controller, &config.deploy).unwrap();
        let (queue, cycles) = rtrb::RingBuffer::new(1000);
        let mut record = CycleRecord::default();
        record.input.time_ns = 1_000_000_000;
        (
            Self {
                pilot,
                record,
                queue,
            },
            cycles,
        )
    }

    fn cycles(&mut self, robot: &Robot, count: u64) {
        for _ in 0..count {
            let input = &mut self.record.input;
            let still = robot.control.standing_position_rad.iter().map(|_| 0.0);
            input.robot = RobotSample {
                received_ns: input.time_ns,
                tick: input.cycle as u32,
                crc_ok: true,
                joint_position_rad: robot
                    .control
                    .standing_position_rad
                    .iter()
                    .copied()
                    .collect(),
                joint_velocity_radps: still.clone().collect(),
                joint_torque_nm: still.collect(),
                imu_orientation_wxyz: [1.0, 0.0, 0.0, 0.0],
                imu_accelerometer_mps2: Vector3::new(0.0, 0.0, 9.81),
                foot_force: FootVec::default(),
                ..RobotSample::default()
            };
            self.pilot.cycle(&mut self.record);
            self.queue.push(self.record.clone()).unwrap();
            self.record.input.cycle += 1;
            self.record.input.time_ns += CYCLE_NS;
        }
    }
}

fn header() -> LogHeader {
    LogHeader {
        robot: "go1".to_owned(),
        bundle: "bundle".to_owned(),
        config: toml::to_string(&config()).unwrap(),
    }
}

/// A log of 90 cycles in several chunks, and a copy of the file before it was finished, 1 s after the first 60.
fn logs(folder: &TempDir) -> [Vec<u8>; 2] {
    let path = folder.path().join("run.mcap");
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot);
    let (mut course, cycles) = Course::new(&robot, &bundle);
    let log = Log::start(&path, false, &header(), &bundle, cycles, |line| {
        panic!("{line}")
    })
    .unwrap();
    for _ in 0..2 {
        course.cycles(&robot, 30);
        let data = "run".to_owned();
        log.recorder().message("abs/state", &Text { data });
        thread::sleep(Duration::from_millis(1000));
    }
    let unfinished = fs::read(partial_path(&path)).unwrap();
    course.cycles(&robot, 30);
    let expected = LogSummary {
        cycles: 90,
        messages: 2,
        lost: 0,
    };
    assert_eq!(log.finish().unwrap(), expected);
    assert!(!partial_path(&path).exists());
    [fs::read(&path).unwrap(), unfinished]
}

/// Replays bytes as a file. Errors have one line, and come soon.
fn replayed(folder: &TempDir, bytes: &[u8]) -> Result<ReplayReport, String> {
    let path = folder.path().join("damaged.mcap");
    fs::write(&path, bytes).unwrap();
    let start = Instant::now();
    let result = replay(&path).map_err(|error| {
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        text.replace(&path.display().to_string(), "FILE")
    });
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    result
}

#[test]
fn a_log_that_is_cut_off_anywhere_is_replayed_up_to_its_last_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, unfinished] = logs(&folder);
    let report = replayed(&folder, &whole).unwrap();
    assert_eq!(
        (report.cycles, report.different, report.end),
        (90, 0, LogEnd::Whole)
    );
    let refused = identify(&folder.path().join("run.mcap")).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("no joint is driven in it: record one with"),
        "{text}"
    );
    // What a killed program leaves: all but the last second.
    let report = replayed(&folder, &unfinished).unwrap();
    assert_eq!((report.cycles, report.different), (60, 0));
    assert!(matches!(report.end, LogEnd::Cut { .. }), "{report:?}");

    let mut random = Pcg64::new(1, 1);
    let mut lengths: Vec<usize> = (0..whole.len()).step_by(97).collect();
    lengths.extend((0..100).map(|_| random.random_range(0..whole.len())));
    lengths.push(whole.len() - 1);
    lengths.sort_unstable();
    let mut before = 0;
    for length in lengths {
        match replayed(&folder, &whole[..length]) {
            Ok(report) => {
                assert_eq!((report.different, report.cycles % 30), (0, 0));
                assert!(
                    report.cycles >= before,
                    "{length}: {} after {before}",
                    report.cycles
                );
                before = report.cycles;
                let LogEnd::Cut { whole_bytes, bytes } = report.end else {
                    panic!("{length}: {report:?}");
                };
                assert!(whole_bytes <= bytes && bytes == length as u64);
            }
            Err(text) => {
                assert!(before == 0, "{length}: {text} after {before}");
                let is_told = text == "FILE: is no MCAP file" || text.contains("is cut off");
                assert!(is_told, "{length}: {text}");
            }
        }
    }
    assert_eq!(before, 90);
}

#[test]
fn a_flipped_bit_is_refused_or_its_place_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, _] = logs(&folder);
    let mut random = Pcg64::new(2, 1);
    let mut located = 0;
    for _ in 0..500 {
        let mut bytes = whole.clone();
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
        match replayed(&folder, &bytes).map(|report| report.end) {
            Ok(LogEnd::Damaged {
                bytes: [first, last],
                ..
            }) => {
                located += u32::from((first..=last).contains(&(at as u64)));
            }
            Ok(end) => panic!("byte {at}: {end}"),
            Err(text) => located += u32::from(text.contains("is damaged between")),
        }
    }
    assert!(located > 480, "{located} of 500");
}

#[test]
fn lengths_that_cannot_be_are_refused_soon() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, unfinished] = logs(&folder);
    let LogEnd::Cut { whole_bytes, .. } = replayed(&folder, &unfinished).unwrap().end else {
        panic!("whole");
    };
    let cut = &unfinished[..whole_bytes as usize];
    for length in [u64::MAX, u64::MAX - 8, i64::MAX as u64, 1 << 40] {
        let bytes = [cut, &[op::CHUNK], &length.to_le_bytes(), &[0; 1000]].concat();
        let report = replayed(&folder, &bytes).unwrap();
        assert!(
            report.cycles == 60 && matches!(report.end, LogEnd::Cut { .. }),
            "{report:?}"
        );
        let bytes = [&whole[..8], &[op::HEADER], &length.to_le_bytes()].concat();
        assert!(
            replayed(&folder, &bytes)
                .unwrap_err()
                .contains("is cut off")
        );
    }
    // After a power cut the end of a file may be zeros; these take no space.
    let path = folder.path().join("sparse.mcap");
    fs::write(&path, cut).unwrap();
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.set_len(10 << 30).unwrap();
    let report = replay(&path).unwrap();
    let expected = format!(
        "is damaged between bytes {whole_bytes} and {whole_bytes}: no record begins with 0x00"
    );
    assert_eq!((report.cycles, report.end.to_string()), (60, expected));
    file.set_len(whole_bytes).unwrap();
    let head = [&[op::CHUNK][..], &(9_u64 << 30).to_le_bytes()].concat();
    (&file).write_all(&head).unwrap();
    file.set_len(10 << 30).unwrap();
    let text = replay(&path).unwrap().end.to_string();
    assert!(text.contains("a record of 9663676416 bytes"), "{text}");
}

/// Also with `DAMAGED_FILES=10000`, the number of logs.
#[test]
fn damaged_logs_make_no_panic_and_no_hang() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, _] = logs(&folder);
    let count = std::env::var("DAMAGED_FILES").map_or(400, |count| count.parse().unwrap());
    for seed in 0..count {
        let bytes = match seed % 2 {
            0 => damaged(&whole, seed),
            _ => with_damaged_chunk(&whole, seed),
        };
        if let Ok(report) = replayed(&folder, &bytes) {
            assert!(report.end != LogEnd::Whole || bytes == whole, "seed {seed}");
        }
    }
}

/// One chunk is damaged and has the right checksum, as if another program had written it.
fn with_damaged_chunk(log: &[u8], seed: u64) -> Vec<u8> {
    let mut at = mcap::MAGIC.len();
    let mut chunks = Vec::new();
    while at + 9 < log.len() {
        let len = u64::from_le_bytes(log[at + 1..at + 9].try_into().unwrap()) as usize;
        if log[at] == op::CHUNK {
            chunks.push(at..at + 9 + len);
        }
        at += 9 + len;
    }
    let range = chunks[seed as usize % chunks.len()].clone();
    // Opcode and length, times and length, checksum, no compression, length.
    let (head, records) = log[range.clone()].split_at(9 + 24 + 4 + 4 + 8);
    let records = damaged(records, seed);
    let len = records.len() as u64;
    let body = [
        &head[9..33],
        &crc32fast::hash(&records).to_le_bytes(),
        &[0; 4],
        &len.to_le_bytes(),
        &records,
    ]
    .concat();
    let length = (body.len() as u64).to_le_bytes();
    [
        &log[..range.start],
        &[op::CHUNK],
        &length,
        &body,
        &log[range.end..],
    ]
    .concat()
}

#[test]
fn every_channel_has_a_schema_that_readers_of_ros_2_know() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, _] = logs(&folder);
    let mut counts = BTreeMap::new();
    for message in mcap::MessageStream::new(&whole).unwrap() {
        let message = message.unwrap();
        let channel = &message.channel;
        let schema = channel.schema.as_ref().unwrap();
        assert_eq!(
            (channel.message_encoding.as_str(), schema.encoding.as_str()),
            ("cdr", "ros2msg")
        );
        // Little-endian CDR.
        assert_eq!(message.data[..4], [0, 1, 0, 0]);
        if channel.topic == CYCLE_TOPIC {
            assert_eq!(schema.name, "abs/msg/Cycle");
            let definition = str::from_utf8(&schema.data).unwrap();
            assert_eq!(definition, "uint64 cycle\nuint64 time_ns\nuint8[] record\n");
            let cycle = u64::from_le_bytes(message.data[4..12].try_into().unwrap());
            assert_eq!(decode_cycle(&message.data).unwrap().input.cycle, cycle);
        }
        *counts.entry(channel.topic.clone()).or_insert(0) += 1;
    }
    let expected = [("/abs/state".to_owned(), 2), (CYCLE_TOPIC.to_owned(), 90)];
    assert_eq!(counts, BTreeMap::from(expected));
    let summary = mcap::Summary::read(&whole).unwrap().unwrap();
    assert_eq!(summary.stats.unwrap().message_count, 92);
}

/// A disk with so many bytes left.
#[derive(Debug)]
struct Disk(Arc<Mutex<(io::Cursor<Vec<u8>>, usize)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (file, left) = &mut *self.0.lock().unwrap();
        let len = bytes.len().min(*left);
        if len == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *left -= len;
        file.write(&bytes[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.lock().unwrap().0.seek(to)
    }
}

#[test]
fn a_full_disk_is_told_at_once_and_what_was_written_can_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot);
    let (mut course, cycles) = Course::new(&robot, &bundle);
    let disk = Arc::new(Mutex::new((io::Cursor::default(), usize::MAX)));
    let (queue, entries) = bounded(QUEUE);
    let recorder = Recorder {
        queue,
        lost: Arc::default(),
        failure: Arc::default(),
    };
    let (said, heard) = bounded(8);
    let alarm = Alarm {
        failure: Arc::clone(&recorder.failure),
        notice: Box::new(move |line| said.send(line).unwrap()),
    };
    let writer = begin(Disk(Arc::clone(&disk)), &header(), &bundle).unwrap();
    let lost = Arc::clone(&recorder.lost);
    let writer = LogWriter::new(writer, entries, cycles, Arc::default(), lost);
    let thread = thread::spawn(move || {
        writer.run().map_err(|error| {
            let (path, reason) = ("run.mcap".to_owned(), reason(error.as_ref()));
            alarm.raise(&LogError { path, reason });
        })
    });
    course.cycles(&robot, 30);
    thread::sleep(Duration::from_millis(1000));
    assert_eq!((heard.try_recv().ok(), recorder.failure()), (None, None));
    disk.lock().unwrap().1 = 1000;
    course.cycles(&robot, 30);
    let line = heard.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(
        line.starts_with("cannot write the log run.mcap: no storage space;")
            && !line.contains('\n'),
        "{line}"
    );
    assert!(
        recorder.failure().unwrap().contains("no storage space"),
        "{line}"
    );
    // Nobody waits for it.
    thread.join().unwrap().unwrap_err();
    recorder.message(
        "abs/state",
        &Text {
            data: "run".to_owned(),
        },
    );
    assert_eq!(recorder.lost.load(Ordering::Relaxed), 1);
    let bytes = disk.lock().unwrap().0.get_ref().clone();
    let report = replayed(&folder, &bytes).unwrap();
    assert_eq!((report.cycles, report.different), (30, 0));
}

/// On a busy machine the writer falls behind the messages. The queue of the cycles must not overflow meanwhile.
#[test]
fn cycles_do_not_wait_for_all_messages() {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot);
    let (mut course, cycles) = Course::new(&robot, &bundle);
    course.cycles(&robot, 30);
    let (queue, entries) = unbounded();
    let recorder = Recorder {
        queue,
        lost: Arc::default(),
        failure: Arc::default(),
    };
    let text = Text {
        data: "run".to_owned(),
    };
    for _ in 0..300_000 {
        recorder.message("abs/state", &text);
    }
    let output = io::Cursor::new(Vec::new());
    let writer = begin(output, &header(), &bundle).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = LogWriter::new(writer, entries, cycles, Arc::clone(&stop), Arc::default());
    let thread = thread::spawn(move || writer.run().unwrap());
    while !recorder.queue.is_empty() {
        thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::Release);
    let (summary, output) = thread.join().unwrap();
    assert_eq!((summary.cycles, summary.messages), (30, 300_000));
    let mut topics = mcap::MessageStream::new(output.get_ref())
        .unwrap()
        .map(|message| message.unwrap().channel.topic.clone());
    let before = topics.position(|topic| topic == CYCLE_TOPIC).unwrap();
    assert!(before < 300_000);
}

#[test]
fn a_run_that_does_not_begin_leaves_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot);
    for cycles in [0, 3] {
        let (mut course, queue) = Course::new(&robot, &bundle);
        let log = Log::start(&path, false, &header(), &bundle, queue, |line| {
            panic!("{line}")
        });
        let log = log.unwrap();
        assert!(partial_path(&path).exists());
        course.cycles(&robot, cycles);
        drop(log);
        assert_eq!(partial_path(&path).exists(), cycles > 0);
    }
    let (_, queue) = Course::new(&robot, &bundle);
    let again = Log::start(&path, false, &header(), &bundle, queue, |line| {
        panic!("{line}")
    });
    let text = again.unwrap_err().to_string();
    assert!(text.contains("run.mcap.part is there already"), "{text}");
}

#[test]
fn damage_of_the_settings_is_seen_in_an_unfinished_log() {
    let folder = tempfile::tempdir().unwrap();
    let [_, mut unfinished] = logs(&folder);
    let config = header().config.into_bytes();
    let mut windows = unfinished.windows(config.len());
    let at = windows.position(|window| window == config).unwrap();
    let digit = (at..).find(|at| unfinished[*at].is_ascii_digit()).unwrap();
    unfinished[digit] ^= 1;
    let text = replayed(&folder, &unfinished).unwrap_err();
    assert!(
        text.contains("the checksum is wrong, before its first control cycle"),
        "{text}"
    );
}

#[test]
fn the_robot_of_a_bundle_is_replayed_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    let own = folder.path().join("own");
    RobotFiles::read("go1").unwrap().write(&own).unwrap();
    let robot = Robot::load("go1").unwrap();
    let mut bundle = bundle(&robot);
    bundle.robot_files = RobotFiles::in_folder(&own).unwrap();
    let place = own.display().to_string();
    let header = LogHeader {
        robot: place.clone(),
        bundle: place,
        ..header()
    };
    let (mut course, cycles) = Course::new(&robot, &bundle);
    let log = Log::start(&path, false, &header, &bundle, cycles, |line| {
        panic!("{line}")
    })
    .unwrap();
    course.cycles(&robot, 30);
    log.finish().unwrap();
    fs::remove_dir_all(&own).unwrap();
    let report = replay(&path).unwrap();
    assert_eq!((report.cycles, report.different), (30, 0));
}
