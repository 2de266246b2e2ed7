//! PPO-Lagrangian: costs that are bounded.

use learning::{IterationReport, Runner};
use policies::training::{Algorithm, LagrangianConfig, PpoConfig, StdBound};

use crate::point_env::PointEnv;
use crate::ppo::small;

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
    let mut runner = Runner::new(config, PointEnv::shards(2, 64), 3).unwrap();
    (0..120).map(|_| runner.iterate().unwrap()).collect()
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
    let distance = |report: &IterationReport| report.environments[0].value;
    let free = course(Algorithm::Ppo, lagrangian);
    assert!(
        free.iter()
            .all(|report| report.learner("multiplier").is_none())
    );
    assert!(mean_of_last(&free, distance) < 0.3);

    let bounded = course(Algorithm::PpoLagrangian, lagrangian);
    let mut multiplier = f64::from(lagrangian.multiplier);
    for report in &bounded {
        let [new, cost, value_loss] =
            ["multiplier", "cost", "cost_value_loss"].map(|name| report.learner(name).unwrap());
        assert!(value_loss > 0.0);
        let step = f64::from(lagrangian.rate) * (cost - f64::from(lagrangian.cost_limit));
        multiplier = (multiplier + step).max(0.0);
        assert!((new - multiplier).abs() < 1e-5);
        multiplier = new;
    }
    let multiplier = |index: usize| bounded[index].learner("multiplier").unwrap();
    assert!(multiplier(0) < multiplier(10) && multiplier(10) < multiplier(20));
    assert!(multiplier(119) < multiplier(80));
    let cost = mean_of_last(&bounded, |report| report.learner("cost").unwrap());
    assert!(cost < 1.0, "{cost}");
    let far = mean_of_last(&bounded, distance);
    assert!(far > 0.5, "{far}");
}
