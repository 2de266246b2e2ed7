//! `abs sim-robot` and `abs deploy` as two processes over DDS, one of which is killed.

#[path = "../../../controller/ros2/tests/peers/own_network.rs"]
mod own_network;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use controller::deploy::{CYCLE_NS, CycleRecord, Fault, State};
use ros2::{Delivery, Network, OPERATOR_TOPIC, RUN_STATE_TOPIC, Ros, messages::Text};

use self::own_network::in_own_network;

const DOMAIN: u16 = 23;
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(80);

/// `abs` with what it says. It does not outlive this.
struct Process {
    child: Child,
    says: PathBuf,
}

impl Process {
    fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let says = folder.join(name);
        let file = File::create(&says).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_abs"))
            .args(arguments)
            .args(["--robot", "go1", "--interface", "lo"])
            .args(["--domain", &DOMAIN.to_string()])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, says }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.says).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The control cycles of a log.
fn cycles(log: &Path) -> Vec<CycleRecord> {
    let bytes = fs::read(log).unwrap();
    mcap::MessageStream::new(&bytes)
        .unwrap()
        .map(Result::unwrap)
        .filter(|message| message.channel.topic == "abs/cycle")
        .map(|message| ros2::decode_cycle(&message.data).unwrap())
        .collect()
}

fn is_damped(cycle: &CycleRecord) -> bool {
    let mut joints = cycle.command.joints.iter();
    joints.all(|joint| joint.stiffness == 0.0 && joint.damping > 0.0)
}

/// A robot is killed while it runs: its last state is followed by damping within 40 ms. Another one comes, its sport mode
/// in charge of the joints and a third of all messages lost, and is led to run.
#[test]
fn a_robot_that_is_killed_while_it_runs_is_damped_and_another_one_runs() {
    let name = "over_dds::a_robot_that_is_killed_while_it_runs_is_damped_and_another_one_runs";
    in_own_network(name, || {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.mcap");
        let network = Network {
            domain: DOMAIN,
            interface: Some("lo".to_owned()),
        };
        let mut ros = Ros::open(&network, "operator").unwrap();
        let operator = ros
            .publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)
            .unwrap();
        let states = ros
            .subscribe::<Text>(RUN_STATE_TOPIC, Delivery::Reliable)
            .unwrap();

        let first = Process::start(folder.path(), "first", &["sim-robot"]);
        let deploy = ["deploy", "--goal", "1.2,0", "--set", "ros2.goal_s=3"];
        let deploy = [&deploy[..], &["--log", log.to_str().unwrap()]].concat();
        let mut deploy = Process::start(folder.path(), "deploy", &deploy);

        let mut state = String::new();
        // Asks for what leads to a state; a busy machine may cause faults on the way.
        let mut lead_to = |goals: &[&str]| {
            let start = Instant::now();
            while !goals.contains(&state.as_str()) {
                assert!(start.elapsed() < PATIENCE, "{state}:\n{}", deploy.said());
                let data = match state.as_str() {
                    "damping" if goals != ["fault"] => "stand",
                    "ready" if goals == ["run"] => "start",
                    "fault" => "stop",
                    _ => "heartbeat",
                };
                // It may not be connected yet.
                let _ = operator.publish(Text {
                    data: data.to_owned(),
                });
                thread::sleep(Duration::from_millis(50));
                while let Ok(Some((text, _))) = states.take() {
                    state = text.data;
                }
            }
            state.clone()
        };
        lead_to(&["run"]);
        drop(first);
        lead_to(&["fault"]);
        // Longer than a busy machine keeps any other state.
        thread::sleep(Duration::from_secs(3));
        let second = Process::start(folder.path(), "second", &["sim-robot", "--lose", "0.3"]);
        // Until the time for a goal is over without a fault.
        let runs = Instant::now();
        loop {
            lead_to(&["run"]);
            if lead_to(&["ready", "damping", "fault"]) == "ready" {
                break;
            }
            assert!(runs.elapsed() < PATIENCE, "no run without a fault");
        }
        drop(second);
        let pid = deploy.child.id().to_string();
        let interrupt = Command::new("kill").args(["-INT", &pid]).status();
        assert!(interrupt.unwrap().success());
        assert!(deploy.child.wait().unwrap().success(), "{}", deploy.said());

        let cycles = cycles(&log);
        // The longest silence is the one between the two robots.
        let silence_ns = |pair: &[CycleRecord]| {
            let [before, after] = [&pair[0], &pair[1]].map(|cycle| cycle.input.robot.received_ns);
            if before == 0 { 0 } else { after - before }
        };
        let pairs = cycles.windows(2).enumerate();
        let (back, _) = pairs.max_by_key(|(_, pair)| silence_ns(pair)).unwrap();
        let last_ns = cycles[back].input.robot.received_ns;
        let heard = |cycle: &&CycleRecord| cycle.input.robot.received_ns == last_ns;
        let damped = cycles.iter().filter(heard).find(|cycle| is_damped(cycle));
        let damped = damped.unwrap();
        assert!(damped.status.faults.contains(Fault::StaleState));
        let missed: u32 = cycles
            .iter()
            .filter(heard)
            .take_while(|cycle| cycle.input.time_ns <= damped.input.time_ns)
            .map(|cycle| cycle.input.missed)
            .sum();
        let age_ns = damped.input.time_ns - last_ns;
        let allowed_ns = 40_000_000 + CYCLE_NS * u64::from(missed);
        assert!(age_ns <= allowed_ns, "{age_ns} ns, {missed} missed");

        // It runs: the sport mode has let go of the joints.
        let is_run = |cycle: &CycleRecord| cycle.status.state == State::Run;
        let runs = cycles[back + 1..].chunk_by(|a, b| is_run(a) && is_run(b));
        let way_m = runs
            .filter(|run| is_run(&run[0]))
            .map(|run| {
                let [first, last] = [&run[0], &run[run.len() - 1]];
                (last.status.estimate.position_world - first.status.estimate.position_world).norm()
            })
            .fold(0.0, f32::max);
        assert!(way_m > 0.4, "{way_m} m");
    });
}
