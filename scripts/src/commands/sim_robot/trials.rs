//! `abs sim-robot --trials`: the same scenes over DDS and in the evaluation.

use std::fs;

use anyhow::Result;
use controller::{Method, deploy::State};
use policies::file::write_atomic;
use serde::Serialize;
use sim::{
    engine::PhysicsConfig,
    eval::{EpisodeRecord, Evaluation, Outcome, Trial},
    scene::TestScene,
};

use super::{Running, Session, SimRobotCommand, Spawner};
use crate::commands::subject::Subject;

/// A scene with the outcomes over DDS and in the evaluation.
#[derive(Debug, Serialize)]
struct TrialRow {
    episode: u64,
    /// `None` if a fault ended the run.
    over_dds: Option<Outcome>,
    /// The error of `abs deploy`.
    error: Option<String>,
    collided: Option<String>,
    final_distance_m: f32,
    duration_s: f32,
    in_eval: Outcome,
    eval_distance_m: f32,
    /// In the evaluation, with the physics step of the simulated robot.
    in_eval_fine: Outcome,
    /// By how much the simulated robot was late at most, s: after 0.015 s its states are stale in truth.
    late_s: f32,
}

/// Time limit for `abs deploy` to start and to end, s.
const WITHIN_S: f32 = 60.0;

/// Runs each scene over DDS and in the evaluation.
pub fn compare(
    command: &SimRobotCommand,
    session: &mut Session,
    subject: &Subject,
    trials: u64,
) -> Result<()> {
    command.prepare(session)?;
    let episodes: Vec<u64> = (0..trials).collect();
    let evaluate = |physics: &PhysicsConfig| -> Result<Vec<EpisodeRecord>> {
        let evaluation = Evaluation::new(
            &session.robot,
            &subject.bundle,
            subject.method,
            &session.config.eval,
            physics,
            &session.config.controller,
            session.config.seed,
        )?;
        Ok(evaluation.run(&episodes, false, &|| ())?)
    };
    let physics = &session.config.physics;
    let records = evaluate(physics)?;
    let step_s = session.simulated.step_s();
    let fine_records = evaluate(&PhysicsConfig {
        step_s,
        decimation: (physics.policy_step_s() / step_s).round() as usize,
        ..physics.clone()
    })?;
    let mut rows = Vec::new();
    for (record, fine) in records.iter().zip(&fine_records) {
        let scene = &record.scene;
        let says = command.out.join(format!("deploy-{}.txt", scene.index));
        let goal = command.goal(scene);
        let (x, y) = (goal.position_world.x, goal.position_world.y);
        let goal = format!("{x},{y},{}", goal.heading_rad.to_degrees());
        let flags = ["--goal", &goal, "--go"];
        let deploy = |spawner: &_| command.deploy(spawner, subject, &flags, &says);
        let Some(trial) = session.trial(scene, deploy)? else {
            return Ok(());
        };
        let said = fs::read_to_string(&says)?;
        let error = said.lines().find_map(|line| line.strip_prefix("error: "));
        let over_dds = error.is_none().then(|| trial.outcome());
        let row = TrialRow {
            episode: scene.index,
            over_dds,
            error: error.map(str::to_owned),
            collided: trial.collided().map(str::to_owned),
            final_distance_m: trial.distance_m(),
            duration_s: trial.time_s(),
            in_eval: record.outcome,
            eval_distance_m: record.final_distance_m,
            in_eval_fine: fine.outcome,
            late_s: session.pace.latest_s,
        };
        println!("{}", row.line());
        rows.push(row);
    }
    let (followed, refused) = session.simulated.commands();
    let summary = summary(&session.robot.name, subject.method, step_s, &rows);
    println!("{summary}");
    println!("{followed} commands followed, {refused} refused for their checksum");
    let json = serde_json::to_string_pretty(&rows)? + "\n";
    write_atomic(&command.out.join("trials.json"), json.as_bytes())?;
    Ok(())
}

impl Session {
    /// Runs one scene with `abs deploy`; `None` after Ctrl-C.
    fn trial(
        &mut self,
        scene: &TestScene,
        deploy: impl FnOnce(&Spawner) -> Result<Running>,
    ) -> Result<Option<Trial>> {
        let eval = &self.config.eval;
        let mut trial = Trial::new(scene, eval.episode_s, eval.reach_m);
        self.simulated.reset(&scene.start(&self.robot))?;
        let mut deploy = deploy(&self.spawner)?;
        let mut waited_s = 0.0;
        let step_s = self.simulated.step_s();
        while !self.is_interrupted() {
            self.step();
            // While the other program starts, nobody misses a state.
            if self.simulated.run_state().is_empty() {
                self.pace.latest_s = 0.0;
            }
            let run = self.simulated.run_state() == State::Run.name();
            waited_s += step_s;
            let over = match run {
                true => {
                    let physics = self.simulated.simulated().physics();
                    trial.observe(&self.robot, physics, step_s)
                }
                // It has ended, or did not start: its output says why.
                false => waited_s > WITHIN_S || deploy.0.try_wait()?.is_some(),
            };
            if over {
                return Ok(Some(trial));
            }
        }
        Ok(None)
    }
}

impl TrialRow {
    fn line(&self) -> String {
        let over_dds = match (self.over_dds, &self.collided, &self.error) {
            (Some(outcome), Some(body), _) => format!("{outcome} of the {body}"),
            (Some(outcome), None, _) => outcome.to_string(),
            (None, _, error) => error.clone().unwrap_or_default(),
        };
        format!(
            "episode {:>3}: {over_dds:<20} {:>5.2} m after {:>4.1} s; eval: {} {:.2} m; robot late by {:.0} ms at most",
            self.episode,
            self.final_distance_m,
            self.duration_s,
            self.in_eval,
            self.eval_distance_m,
            1e3 * self.late_s
        )
    }
}

fn summary(robot: &str, method: Method, step_s: f32, rows: &[TrialRow]) -> String {
    let share = |outcome: Outcome, of: &dyn Fn(&TrialRow) -> Option<Outcome>| {
        let count = rows.iter().filter(|row| of(row) == Some(outcome)).count();
        100.0 * count as f64 / rows.len().max(1) as f64
    };
    let mut text = format!(
        "{robot}, {method}: {:<3} scenes  over DDS   in eval   in eval, steps of {:.0} ms",
        rows.len(),
        1e3 * step_s
    );
    for outcome in [Outcome::Reach, Outcome::Collision, Outcome::Timeout] {
        let over_dds = share(outcome, &|row| row.over_dds);
        let in_eval = share(outcome, &|row| Some(row.in_eval));
        let fine = share(outcome, &|row| Some(row.in_eval_fine));
        text += &format!(
            "\n  {:<20} {over_dds:>8.1} % {in_eval:>7.1} % {fine:>7.1} %",
            outcome.to_string()
        );
    }
    let faults = rows.iter().filter(|row| row.over_dds.is_none()).count();
    text += &format!(
        "\n  {:<20} {faults:>8} of {}",
        "ended by a fault",
        rows.len()
    );
    text
}
