//! A run that resumes equals one that never stopped; damage is named in one line.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use learning::{Communicator, Resumed, Runner, ThreadCommunicator, checkpoint};
use policies::training::Times;
use policies::training::{Algorithm, PpoConfig, Precision};

use crate::point_env::PointEnv;
use crate::ppo::small;

fn runner(config: &PpoConfig, seed: u64) -> Runner {
    Runner::new(config.clone(), PointEnv::shards(2, 32), seed).unwrap()
}

/// Everything of an iteration but its duration, and the weights after it.
fn fingerprint(runner: &mut Runner) -> String {
    let mut report = runner.iterate().unwrap();
    (report.steps_per_s, report.times) = (0.0, Times::default());
    format!("{report:?} {:?}", runner.actor_layers())
}

#[test]
fn resumed_equals_never_stopped_bit_for_bit() {
    for (name, precision, averaged_iterations) in [
        (Algorithm::Ppo, Precision::F32, 0),
        (Algorithm::Ppo, Precision::Bf16, 4),
        (Algorithm::PpoLagrangian, Precision::F32, 0),
    ] {
        let mut config = PpoConfig {
            name,
            precision,
            averaged_iterations,
            ..small()
        };
        config.lagrangian.rate = 0.1;
        let folder = tempfile::tempdir().unwrap();
        let mut first = runner(&config, 11);
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
        let mut second = runner(&config, 99);
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
fn the_exported_actor_averages_the_weights_of_iterations() {
    let averaging = |averaged_iterations| PpoConfig {
        averaged_iterations,
        ..small()
    };
    let weights = |runner: &Runner| {
        let layers = runner.actor_layers();
        layers
            .iter()
            .flat_map(|layer| layer.weight.iter().chain(&layer.bias).copied())
            .collect::<Vec<f32>>()
    };
    let (mut newest, mut average) = (runner(&averaging(0), 5), runner(&averaging(4), 5));
    let mut expected = weights(&newest);
    for _ in 0..3 {
        newest.iterate().unwrap();
        average.iterate().unwrap();
        for (expected, newest) in expected.iter_mut().zip(weights(&newest)) {
            *expected = 0.75 * *expected + 0.25 * newest;
        }
    }
    let error = |(a, b): (&f32, &f32)| (a - b).abs();
    let errors = weights(&average)
        .iter()
        .zip(&expected)
        .map(error)
        .fold(0.0, f32::max);
    assert!(errors < 1e-6, "{errors}");

    // A run may begin to average, and stop.
    let folder = tempfile::tempdir().unwrap();
    let saved = newest.save(folder.path()).unwrap();
    average.resume(&saved).unwrap();
    assert_eq!(weights(&average), weights(&newest));
    average.iterate().unwrap();
    let saved = average.save(folder.path()).unwrap();
    newest.resume(&saved).unwrap();
    assert_ne!(weights(&average), weights(&newest));
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let run = |seed| {
        let mut runner = runner(&small(), seed);
        (0..3).map(|_| fingerprint(&mut runner)).collect::<Vec<_>>()
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
    let mut threads = runner(&config, 11);
    let expected: Vec<_> = (0..3).map(|_| fingerprint(&mut threads)).collect();

    let folder = tempfile::tempdir().unwrap();
    let process = |outer: ThreadCommunicator| {
        let rank = outer.rank();
        let env = PointEnv::shards(2, 32).swap_remove(rank);
        let outer = Box::new(outer);
        let mut runner = Runner::among_processes(config.clone(), vec![env], 11, outer).unwrap();
        let mut course: Vec<_> = (0..2).map(|_| fingerprint(&mut runner)).collect();
        let path = runner.save(folder.path()).unwrap();
        runner.iterate().unwrap();
        assert!(runner.resume(&path).unwrap().environments);
        course.push(fingerprint(&mut runner));
        // Any of them can stop all.
        assert!(!runner.agree(rank != 1).unwrap());
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
    let mut first = runner(&small(), 1);
    first.iterate().unwrap();
    let path = first.save(folder.path()).unwrap();
    // Another number of workers cannot take the environments either.
    let mut one = Runner::new(small(), PointEnv::shards(1, 32), 1).unwrap();
    assert!(!one.resume(&path).unwrap().environments);
    fs::remove_file(path.join("envs-1.bin")).unwrap();
    let mut second = runner(&small(), 1);
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
fn other_settings_in_memory_equal_other_settings_through_a_checkpoint() {
    let (first, second) = (
        PpoConfig {
            name: Algorithm::PpoLagrangian,
            ..small()
        },
        PpoConfig {
            name: Algorithm::PpoLagrangian,
            steps_per_rollout: 8,
            minibatches: 3,
            desired_kl: 0.002,
            ..small()
        },
    );
    // With as many environments their episodes go on, with more they begin afresh.
    for num_envs in [32, 48] {
        let folder = tempfile::tempdir().unwrap();
        let mut one = runner(&first, 11);
        for _ in 0..3 {
            one.iterate().unwrap();
        }
        let path = one.save(folder.path()).unwrap();
        let envs = || PointEnv::shards(2, num_envs);
        assert_eq!(
            one.reconfigure(second.clone(), envs()).unwrap(),
            num_envs == 32
        );

        let mut other = Runner::new(second.clone(), envs(), 11).unwrap();
        assert_eq!(other.resume(&path).unwrap().environments, num_envs == 32);
        for _ in 0..2 {
            assert_eq!(fingerprint(&mut one), fingerprint(&mut other));
        }
        let files = |runner: &Runner| {
            let path = runner.save(&folder.path().join("again")).unwrap();
            ["learner.toml", "learner.safetensors", "envs-1.bin"]
                .map(|name| fs::read(path.join(name)).unwrap())
        };
        assert!(files(&one) == files(&other));
    }
}

#[test]
fn settings_that_change_the_networks_are_refused_with_one_line() {
    let refusal = |config: PpoConfig, envs| {
        let result = runner(&small(), 1).reconfigure(config, envs);
        result.unwrap_err().to_string()
    };
    let wider = PpoConfig {
        hidden: vec![32, 32],
        ..small()
    };
    assert_eq!(
        refusal(wider, PointEnv::shards(2, 32)),
        "this cannot change during a run: actor.layers.1.weight is F32 [16, 32], must be F32 [32, 32] for this config and robot"
    );
    let line = refusal(small(), PointEnv::shards(1, 32));
    assert_eq!(line, "1 shards of environments for 2 workers");
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
    let observer = |runner: &Runner, _: &_| {
        stop.store(runner.iteration() == 7, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    runner(&config, 1)
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
    let mut runner = runner(&small(), 1);
    runner.iterate().unwrap();
    let first = runner.save(folder.path()).unwrap();
    runner.iterate().unwrap();
    // A file where the temporary folder should go.
    fs::write(folder.path().join(".checkpoint-2.partial"), "in the way").unwrap();
    let error = runner.save(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(".checkpoint-2.partial") && !error.contains('\n'),
        "{error}"
    );
    assert_eq!(
        checkpoint::latest(folder.path()).unwrap(),
        Some(first.clone())
    );
    assert!(runner.resume(&first).unwrap().environments);
}

/// Leaves the beginning: what follows in `learner.toml` has defaults.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 8]).unwrap();
}

#[test]
fn damaged_or_foreign_checkpoints_are_refused_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = runner(&small(), 1);
    let refusal = |runner: &mut Runner, path: &Path| {
        let line = runner.resume(path).unwrap_err().to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    };
    assert!(
        refusal(&mut runner, &folder.path().join("nothing")).contains("learner.toml: No such file")
    );

    for file in ["learner.toml", "learner.safetensors", "envs-0.bin"] {
        let path = runner.save(folder.path()).unwrap();
        cut(&path.join(file));
        assert!(refusal(&mut runner, &path).contains(file), "{file}");
    }
    // Cut after any byte, and with any digit changed.
    let path = runner.save(folder.path()).unwrap();
    let learner = path.join("learner.toml");
    let text = fs::read_to_string(&learner).unwrap();
    for end in 0..text.len() {
        fs::write(&learner, &text[..end]).unwrap();
        refusal(&mut runner, &path);
    }
    for (at, _) in text.match_indices(|c: char| c.is_ascii_digit()) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        fs::write(&learner, bytes).unwrap();
        let line = refusal(&mut runner, &path);
        assert!(line.contains("learner.toml: "), "{line}");
    }
    // An earlier program wrote no checksum.
    let (_, earlier) = text.split_once('\n').unwrap();
    fs::write(&learner, earlier).unwrap();
    assert!(runner.resume(&path).unwrap().environments);

    let path = runner.save(folder.path()).unwrap();
    let wider = PpoConfig {
        hidden: vec![32, 32],
        ..small()
    };
    let mut other = Runner::new(wider, PointEnv::shards(2, 32), 1).unwrap();
    let line = refusal(&mut other, &path);
    assert!(
        line.contains("actor.layers.1.weight is F32 [16, 32], must be F32 [32, 32]"),
        "{line}"
    );
    let with_costs = PpoConfig {
        name: Algorithm::PpoLagrangian,
        ..small()
    };
    let mut other = Runner::new(with_costs, PointEnv::shards(2, 32), 1).unwrap();
    let line = refusal(&mut other, &path);
    assert!(line.contains("has no tensor cost_critic"), "{line}");
    // Not touched by all that.
    runner.iterate().unwrap();
}
