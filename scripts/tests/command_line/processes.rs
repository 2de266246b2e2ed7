//! Training by the processes of an MPI job. Skipped where mpirun does not work.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::training::TINY;

/// mpirun, told to start on any machine: as root, with fewer cores than processes, without ssh. None where it cannot.
fn mpirun() -> Option<Command> {
    let command = || {
        let mut command = Command::new("mpirun");
        command
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .env("OMPI_MCA_plm", "isolated")
            .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
            .args(["--oversubscribe", "--bind-to", "none"])
            .stdin(Stdio::null());
        command
    };
    let why_not = match command().args(["-n", "2", "true"]).output() {
        Ok(output) if output.status.success() => return Some(command()),
        Ok(output) => text(&output),
        Err(error) => format!("{error}; on Debian: apt install openmpi-bin"),
    };
    println!("skipped, mpirun does not work here: {why_not}");
    None
}

const ABS: &str = env!("CARGO_BIN_EXE_abs");

/// The tiny training with one worker in each process.
fn tiny(arguments: &[&str]) -> Vec<String> {
    let all = [&["train"], arguments, &TINY].concat();
    let mut all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let threads = all.iter().position(|argument| argument == "--threads");
    all[threads.unwrap() + 1] = "1".to_owned();
    all
}

fn two(arguments: &[String]) -> Option<Output> {
    let mut command = mpirun()?;
    command.args(["-n", "2", ABS]).args(arguments);
    Some(command.output().unwrap())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn errors(output: &Output) -> Vec<String> {
    let lines = text(output);
    lines
        .lines()
        .filter(|line| line.contains("error: "))
        .map(str::to_owned)
        .collect()
}

fn weights(run: &Path) -> Vec<u8> {
    fs::read(run.join("bundle/agile.safetensors")).unwrap()
}

/// One process with two workers.
fn by_threads(run: &Path) {
    let arguments = [
        &["train", "agile", "--out", run.to_str().unwrap()],
        &TINY[..],
    ]
    .concat();
    let output = Command::new(ABS).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn two_processes_learn_what_two_threads_learn() {
    let folder = tempfile::tempdir().unwrap();
    let (processes, threads) = (
        folder.path().join("processes"),
        folder.path().join("threads"),
    );
    let arguments = tiny(&["agile", "--out", processes.to_str().unwrap()]);
    let Some(output) = two(&arguments) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output));
    by_threads(&threads);
    assert_eq!(weights(&processes), weights(&threads), "bit for bit");
    let checkpoint = processes.join("checkpoints/checkpoint-3");
    for name in ["envs-0.bin", "envs-1.bin", "learner.safetensors"] {
        let of = |run: &Path| fs::read(run.join("checkpoints/checkpoint-3").join(name)).unwrap();
        assert!(checkpoint.join(name).is_file());
        assert_eq!(of(&processes), of(&threads), "{name}");
    }
    // One process writes.
    let events = fs::read_dir(&processes).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("events")
    });
    assert_eq!(events.count(), 1);
}

#[test]
fn mistakes_are_one_line_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let Some(mut command) = mpirun() else { return };
    let output = command
        .args(["-n", "1", ABS])
        .args(tiny(&["agile", "--out", out, "--seed", "1"]))
        .args([":", "-n", "1", ABS])
        .args(tiny(&["agile", "--out", out, "--seed", "2"]))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(
        errors(&output),
        [
            "error: rank 1 has seed = 2 where rank 0 has 1; start all processes with the same settings"
        ],
        "{}",
        text(&output)
    );
    let mut wrong = tiny(&["agile", "--out", out]);
    wrong.extend(["--set".into(), "algorithm.gamma=2".into()]);
    let output = two(&wrong).unwrap();
    assert_eq!(errors(&output).len(), 1, "{}", text(&output));
    assert!(errors(&output)[0].contains("algorithm.gamma"));
    let alone = ["train", "reach-avoid", "--out", out].map(str::to_owned);
    let output = two(&alone).unwrap();
    assert_eq!(errors(&output).len(), 1, "{}", text(&output));
    assert!(errors(&output)[0].contains("start it without mpirun"));
    assert!(!Path::new(out).exists());
}

/// A run without end, saved after every iteration.
fn endless(run: &Path) -> Option<Child> {
    let mut arguments = tiny(&["agile", "--out", run.to_str().unwrap()]);
    for set in [
        "total_policy_steps=1_000_000_000",
        "checkpoint_interval=1",
        "keep_checkpoints=1000",
    ] {
        arguments.extend(["--set".into(), format!("algorithm.{set}")]);
    }
    let mut command = mpirun()?;
    command
        .args(["-n", "2", ABS])
        .args(arguments)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begin = Instant::now();
    while !run.join("checkpoints/checkpoint-2").exists() {
        if begin.elapsed() > Duration::from_secs(120) || child.try_wait().unwrap().is_some() {
            let _ = child.kill();
            panic!(
                "does not begin: {}",
                text(&child.wait_with_output().unwrap())
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    Some(child)
}

/// Sends a signal to the second process of the run.
fn signal_second(run: &Path, signal: &str) {
    let has = |process: &PathBuf, file: &str, part: &str| {
        let bytes = fs::read(process.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(part)
    };
    let second = fs::read_dir("/proc")
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|process| {
            has(process, "comm", "abs")
                && has(process, "cmdline", run.to_str().unwrap())
                && has(process, "environ", "OMPI_COMM_WORLD_RANK=1")
        });
    let pid = second.expect("the second process");
    let status = Command::new("kill")
        .arg(signal)
        .arg(pid.file_name().unwrap())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_lost_process_ends_all_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let Some(child) = endless(&run) else { return };
    signal_second(&run, "-KILL");
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("rank 1"), "{}", text(&output));

    let path = run.to_str().unwrap();
    // To the length of the run that no one disturbed, if it has not come so far already.
    let done = fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("checkpoint-")
        });
    let steps = 32 * (done.count() as u64 + 2);
    let total = format!("algorithm.total_policy_steps={steps}");
    let resume = ["train", "--resume", path, "--set", &total].map(str::to_owned);
    let output = two(&resume).unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let undisturbed = folder.path().join("undisturbed");
    let mut arguments = tiny(&["agile", "--out", undisturbed.to_str().unwrap()]);
    arguments.extend(["--set".into(), total]);
    assert!(two(&arguments).unwrap().status.success());
    assert_eq!(weights(&run), weights(&undisturbed));
}

#[test]
fn a_process_that_is_told_to_stop_stops_all() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let Some(child) = endless(&run) else { return };
    signal_second(&run, "-TERM");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("stopped after"), "{}", text(&output));
}
