//! PPO-Lagrangian: costs that are bounded.

use learning::{IterationReport, Learner, Trajectories, estimate_advantages};
use policies::training::Done;
use policies::training::{Algorithm, LagrangianConfig, PpoConfig, StdBound};

use crate::point_env::PointEnv;
use crate::ppo::small;

#[test]
fn advantages_of_costs_by_hand() {
    let lambda = LagrangianConfig::default().cost_lambda;
    assert_eq!(lambda, 0.97);
    let mut advantages = [0.0; 3];
    let trajectories = Trajectories {
        num_envs: 1,
        rewards: &[0.0, 1.0, 0.0],
        done: &[Done::No, Done::No, Done::Terminated],
        values: &[0.5, 0.25, 0.125, 9.0],
        terminal_values: &[],
    };
    estimate_advantages(&trajectories, 0.99, lambda, &mut advantages);
    // deltas: 0.99*0.25 - 0.5 = -0.2525;  1 + 0.99*0.125 - 0.25 = 0.87375;  -0.125;  gamma * lambda = 0.9603
    // advantages: -0.125;  0.87375 - 0.9603*0.125 = 0.7537125;  -0.2525 + 0.9603*0.7537125 = 0.4712901
    for (advantage, expected) in advantages
        .into_iter()
        .zip([0.471_290_1, 0.753_712_5, -0.125])
    {
        assert!((advantage - expected).abs() < 1e-6, "{advantages:?}");
    }
}

/// Episodes of 16 steps pay for nearness to a goal where each step nearer than 0.5 costs 1.
fn course(name: Algorithm, lagrangian: LagrangianConfig) -> Vec<IterationReport> {
    let config = PpoConfig {
        name,
        lagrangian,
        std_bound: StdBound {
            enabled: true,
            start: 0,
            end: 100_000,
            from: 0.5,
            to: 0.1,
        },
        ..small()
    };
    let mut learner = Learner::new(config, PointEnv::shards(2, 64), 3).unwrap();
    (0..120).map(|_| learner.iterate().unwrap()).collect()
}

fn mean_of_last(reports: &[IterationReport], of: impl Fn(&IterationReport) -> f64) -> f64 {
    let last = &reports[reports.len() - 40..];
    last.iter().map(of).sum::<f64>() / last.len() as f64
}

#[test]
fn a_point_stays_as_far_from_its_goal_as_the_limit_of_the_costs_asks() {
    let lagrangian = LagrangianConfig {
        rate: 0.02,
        cost_limit: 1.0,
        ..LagrangianConfig::default()
    };
    let distance = |report: &IterationReport| report.scalars[0].value;
    let free = course(Algorithm::Ppo, lagrangian);
    assert!(free.iter().all(|report| report.costs.is_none()));
    assert!(mean_of_last(&free, distance) < 0.3);

    let bounded = course(Algorithm::PpoLagrangian, lagrangian);
    let mut multiplier = lagrangian.multiplier;
    for report in &bounded {
        let costs = report.costs.unwrap();
        assert!(costs.value_loss > 0.0);
        let step = lagrangian.rate * (costs.episode_cost.unwrap() - lagrangian.cost_limit);
        multiplier = (multiplier + step).max(0.0);
        assert!((costs.multiplier - multiplier).abs() < 1e-5);
        multiplier = costs.multiplier;
    }
    let multiplier = |index: usize| bounded[index].costs.unwrap().multiplier;
    assert!(multiplier(0) < multiplier(10) && multiplier(10) < multiplier(20));
    assert!(multiplier(119) < multiplier(80));
    let cost = mean_of_last(&bounded, |r| {
        f64::from(r.costs.unwrap().episode_cost.unwrap())
    });
    assert!(cost < 1.0, "{cost}");
    let far = mean_of_last(&bounded, distance);
    assert!(far > 0.5, "{far}");
}
