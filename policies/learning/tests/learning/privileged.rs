//! Critics that see more than the actor, and networks that begin with those of another run.

use learning::{KnownInputs, Runner};
use policies::training::{PpoConfig, Scalar, StepOut, VecEnv};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::{point_env::PointEnv, ppo::small};

/// The point on a line, whose reward also depends on luck that is drawn a step ahead: the last of three elements.
struct Lucky {
    point: PointEnv,
    /// How many elements the actor sees.
    actor_dim: usize,
    luck: Vec<f32>,
    random: Pcg64,
}

impl Lucky {
    fn new(num_envs: usize, actor_dim: usize) -> Self {
        Self {
            point: PointEnv::new(num_envs, 0),
            actor_dim,
            luck: vec![0.0; num_envs],
            random: Pcg64::seed_from_u64(3),
        }
    }

    fn add_luck(&self, pairs: &[f32], rows: &mut [f32]) {
        let rows = rows.chunks_exact_mut(3).zip(pairs.chunks_exact(2));
        for ((row, pair), luck) in rows.zip(&self.luck) {
            row.copy_from_slice(&[pair[0], pair[1], *luck]);
        }
    }
}

impl VecEnv for Lucky {
    fn num_envs(&self) -> usize {
        self.point.num_envs()
    }

    fn observation_dim(&self) -> usize {
        3
    }

    fn actor_dim(&self) -> usize {
        self.actor_dim
    }

    fn action_dim(&self) -> usize {
        1
    }

    fn observe(&mut self, observations: &mut [f32]) {
        let mut pairs = vec![0.0; 2 * self.num_envs()];
        self.point.observe(&mut pairs);
        self.add_luck(&pairs, observations);
    }

    fn step(&mut self, actions: &[f32], out: StepOut<'_>) {
        let mut pairs = vec![0.0; 2 * self.num_envs()];
        let mut terminal = pairs.clone();
        self.point.step(
            actions,
            StepOut {
                observations: &mut pairs,
                rewards: out.rewards,
                costs: out.costs,
                done: out.done,
                terminal_observations: &mut terminal,
            },
        );
        for (reward, luck) in out.rewards.iter_mut().zip(&mut self.luck) {
            *reward += *luck;
            *luck = if self.random.random() { 5.0 } else { -5.0 };
        }
        self.add_luck(&pairs, out.observations);
        self.add_luck(&terminal, out.terminal_observations);
    }

    fn take_log(&mut self) -> Vec<Scalar> {
        self.point.take_log()
    }

    fn save(&self) -> Vec<u8> {
        self.point.save()
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.point.load(bytes)
    }
}

fn runner(env: impl VecEnv + 'static) -> Runner {
    Runner::new(small(), vec![Box::new(env)], 1).unwrap()
}

#[test]
fn a_critic_learns_from_what_the_actor_does_not_see() {
    // Of the future only the next reward counts: luck is most of its variance, and no critic without it could tell.
    let config = PpoConfig {
        gamma: 0.0,
        lambda: 0.0,
        ..small()
    };
    let mut runner = Runner::new(config, vec![Box::new(Lucky::new(128, 2))], 1).unwrap();
    let reports: Vec<_> = (0..40).map(|_| runner.iterate().unwrap()).collect();
    let explained = reports[39].learner("explained_variance").unwrap();
    assert!(explained > 0.8, "{explained}");
    assert_eq!(runner.actor_layers()[0].inputs, 2);
}

#[test]
fn networks_begin_as_they_were_and_take_no_notice_of_new_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = runner(PointEnv::new(64, 0));
    for _ in 0..5 {
        old.iterate().unwrap();
    }
    let checkpoint = old.save(dir.path()).unwrap();
    let observations = [[0.5, 0.5], [-1.5, 1.5], [0.1, 0.1]];
    let expected = old.mean_actions(observations.as_flattened());

    // The critic sees more.
    let mut new = runner(Lucky::new(64, 2));
    let inputs = KnownInputs {
        actor_before: 2,
        observation_before: 2,
        same: vec![Some(0), Some(1), None],
    };
    new.begin_from(&checkpoint, &inputs).unwrap();
    assert_eq!(new.mean_actions(observations.as_flattened()), expected);
    assert_eq!((new.iteration(), new.policy_steps()), (0, 0));
    assert!(new.iterate().unwrap().learner("kl").unwrap().is_finite());

    // The actor sees more.
    let mut new = runner(Lucky::new(64, 3));
    new.begin_from(&checkpoint, &inputs).unwrap();
    let with_luck = observations.map(|[x, distance]| [x, distance, 5.0]);
    assert_eq!(new.mean_actions(with_luck.as_flattened()), expected);

    // Elements in another place.
    let mut new = runner(PointEnv::new(64, 0));
    let swapped = KnownInputs {
        same: vec![Some(1), Some(0)],
        ..inputs
    };
    new.begin_from(&checkpoint, &swapped).unwrap();
    let other_way = observations.map(|[x, distance]| [distance, x]);
    let actions = new.mean_actions(other_way.as_flattened());
    for (action, expected) in actions.iter().zip(&expected) {
        assert!((action - expected).abs() < 1e-5, "{action} {expected}");
    }
}

#[test]
fn networks_of_another_size_are_refused_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = runner(PointEnv::new(8, 0)).save(dir.path()).unwrap();
    let other = PpoConfig {
        hidden: vec![24, 16],
        ..small()
    };
    let mut other = Runner::new(other, vec![Box::new(PointEnv::new(8, 0))], 1).unwrap();
    let inputs = KnownInputs {
        actor_before: 2,
        observation_before: 2,
        same: vec![Some(0), Some(1)],
    };
    let error = other
        .begin_from(&checkpoint, &inputs)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("actor.layers.0.weight is F32 [32, 2], must be F32 [24, 2]"),
        "{error}"
    );
    assert!(!error.contains('\n'));
}
