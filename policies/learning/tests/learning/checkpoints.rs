//! A run that resumes equals one that never stopped; damage is named in one line.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use learning::{Communicator, Learner, Resumed, ThreadCommunicator, checkpoint};
use policies::training::TimeShares;
use policies::training::{Algorithm, PpoConfig, Precision};

use crate::point_env::PointEnv;
use crate::ppo::small;

fn learner(config: &PpoConfig, seed: u64) -> Learner {
    Learner::new(config.clone(), PointEnv::shards(2, 32), seed).unwrap()
}

/// Everything of an iteration but its duration, and the weights after it.
fn fingerprint(learner: &mut Learner) -> String {
    let mut report = learner.iterate().unwrap();
    (report.steps_per_s, report.collect_share) = (0.0, 0.0);
    report.time_shares = TimeShares::default();
    format!("{report:?} {:?}", learner.actor_layers())
}

#[test]
fn resumed_equals_never_stopped_bit_for_bit() {
    for (name, precision) in [
        (Algorithm::Ppo, Precision::F32),
        (Algorithm::Ppo, Precision::Bf16),
        (Algorithm::PpoLagrangian, Precision::F32),
    ] {
        let mut config = PpoConfig {
            name,
            precision,
            ..small()
        };
        config.lagrangian.rate = 0.1;
        let folder = tempfile::tempdir().unwrap();
        let mut first = learner(&config, 11);
        for _ in 0..3 {
            first.iterate().unwrap();
        }
        let path = first.save(folder.path()).unwrap();
        assert_eq!(
            checkpoint::latest(folder.path()).unwrap(),
            Some(path.clone())
        );
        let unstopped: Vec<_> = (0..3).map(|_| fingerprint(&mut first)).collect();

        // Another seed at the start: everything must come from the checkpoint.
        let mut second = learner(&config, 99);
        let resumed = second.resume(&path).unwrap();
        assert_eq!(
            resumed,
            Resumed {
                iteration: 3,
                policy_steps: 3 * 32 * 16,
                environments: true
            }
        );
        let again: Vec<_> = (0..3).map(|_| fingerprint(&mut second)).collect();
        assert_eq!(unstopped, again);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let run = |seed| {
        let mut learner = learner(&small(), seed);
        (0..3)
            .map(|_| fingerprint(&mut learner))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn processes_learn_log_and_resume_like_the_threads_of_one() {
    let config = PpoConfig {
        name: Algorithm::PpoLagrangian,
        ..small()
    };
    let mut threads = learner(&config, 11);
    let expected: Vec<_> = (0..3).map(|_| fingerprint(&mut threads)).collect();

    let folder = tempfile::tempdir().unwrap();
    let process = |outer: ThreadCommunicator| {
        let env = PointEnv::shards(2, 32).swap_remove(outer.rank());
        let outer = Box::new(outer);
        let mut learner = Learner::among_processes(config.clone(), vec![env], 11, outer).unwrap();
        let mut course: Vec<_> = (0..2).map(|_| fingerprint(&mut learner)).collect();
        let path = learner.save(folder.path()).unwrap();
        learner.iterate().unwrap();
        assert!(learner.resume(&path).unwrap().environments);
        course.push(fingerprint(&mut learner));
        // Any of them can stop all.
        assert!(!learner.agree(learner.rank() != 1).unwrap());
        course
    };
    std::thread::scope(|scope| {
        let members = ThreadCommunicator::group(2).into_iter();
        let processes: Vec<_> = members.map(|m| scope.spawn(|| process(m))).collect();
        for process in processes {
            assert_eq!(process.join().unwrap(), expected);
        }
    });
}

#[test]
fn without_its_environments_a_checkpoint_goes_on_with_fresh_episodes() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = learner(&small(), 1);
    first.iterate().unwrap();
    let path = first.save(folder.path()).unwrap();
    // Another number of workers cannot take the environments either.
    let mut one = Learner::new(small(), PointEnv::shards(1, 32), 1).unwrap();
    assert!(!one.resume(&path).unwrap().environments);
    fs::remove_file(path.join("envs-1.bin")).unwrap();
    let mut second = learner(&small(), 1);
    assert_eq!(
        second.resume(&path).unwrap(),
        Resumed {
            iteration: 1,
            policy_steps: 512,
            environments: false
        }
    );
    assert_eq!(second.actor_layers(), first.actor_layers());
    assert_eq!(second.iterate().unwrap().iteration, 2);
}

#[test]
fn run_saves_at_its_interval_keeps_the_last_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = PpoConfig {
        checkpoint_interval: 2,
        keep_checkpoints: 2,
        ..small()
    };
    let stop = AtomicBool::new(false);
    let observer = |learner: &Learner, _: &_| {
        stop.store(learner.iteration() == 7, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    learner(&config, 1)
        .run(Some(folder.path()), &stop, observer)
        .unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["checkpoint-6", "checkpoint-7"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_harms_no_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut learner = learner(&small(), 1);
    learner.iterate().unwrap();
    let first = learner.save(folder.path()).unwrap();
    learner.iterate().unwrap();
    // A file where the temporary folder should go.
    fs::write(folder.path().join(".checkpoint-2.partial"), "in the way").unwrap();
    let error = learner.save(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(".checkpoint-2.partial") && !error.contains('\n'),
        "{error}"
    );
    assert_eq!(
        checkpoint::latest(folder.path()).unwrap(),
        Some(first.clone())
    );
    assert!(learner.resume(&first).unwrap().environments);
}

/// Leaves the beginning: what follows in `learner.toml` has defaults.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 8]).unwrap();
}

#[test]
fn damaged_or_foreign_checkpoints_are_refused_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut learner = learner(&small(), 1);
    let refusal = |learner: &mut Learner, path: &Path| {
        let line = learner.resume(path).unwrap_err().to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    };
    assert!(
        refusal(&mut learner, &folder.path().join("nothing"))
            .contains("learner.toml: No such file")
    );

    for file in ["learner.toml", "learner.safetensors", "envs-0.bin"] {
        let path = learner.save(folder.path()).unwrap();
        cut(&path.join(file));
        assert!(refusal(&mut learner, &path).contains(file), "{file}");
    }
    let path = learner.save(folder.path()).unwrap();
    let wider = PpoConfig {
        hidden: vec![32, 32],
        ..small()
    };
    let mut other = Learner::new(wider, PointEnv::shards(2, 32), 1).unwrap();
    let line = refusal(&mut other, &path);
    assert!(
        line.contains("actor.layers.1.weight is F32 [16, 32], must be F32 [32, 32]"),
        "{line}"
    );
    let with_costs = PpoConfig {
        name: Algorithm::PpoLagrangian,
        ..small()
    };
    let mut other = Learner::new(with_costs, PointEnv::shards(2, 32), 1).unwrap();
    let line = refusal(&mut other, &path);
    assert!(line.contains("has no tensor cost_critic"), "{line}");
    // Not touched by all that.
    learner.iterate().unwrap();
}
