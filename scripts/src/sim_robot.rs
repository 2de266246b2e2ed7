//! `abs sim-robot`: a robot in rapier behind the topics of a real one.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
};

use anyhow::{Context, Result, ensure};
use controller::deploy::{Clock, MonotonicClock, RealtimeConfig, State, enter_realtime};
use policies::file::write_atomic;
use robots::Robot;
use serde::Serialize;
use sim::{
    eval::{Evaluation, Method, Outcome},
    ros2_robot::{Ros2Robot, STEP_S},
    testbed::TestScene,
    trial::Trial,
};

use crate::{
    config::{Config, ConfigArgs},
    interrupt::Interrupt,
    repository,
};

/// A simulated robot behind the DDS topics of a real one
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs sim-robot --robot go1 --domain 7 --interface lo                       a robot among obstacles
  abs sim-robot --robot go1 --domain 7 --interface lo --episode 3 --seed 2  another scene
  abs sim-robot --robot go1 --domain 7 --interface lo --trials 20           run `abs deploy` on 20 scenes
  abs sim-robot --robot go1 --domain 7 --interface lo --lose 0.3            a bad network

It answers on rt/lowstate, rt/lowcmd and rt/api/motion_switcher, and publishes /scan and /odom.")]
pub struct SimRobotCommand {
    /// DDS domain [default: 0]
    #[arg(long)]
    domain: Option<u16>,
    /// Network interface, e.g. lo [default: all]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Scene: an episode of the test, as in `abs eval`
    #[arg(long, default_value_t = 0, conflicts_with = "trials")]
    episode: u64,
    /// Start `abs deploy` as another process for each of the first N episodes, and compare with `abs eval`
    #[arg(long, value_name = "N")]
    trials: Option<u64>,
    /// With --trials: folder of the policy bundle [default: the one that is shipped for the robot]
    #[arg(long, value_name = "DIR", requires = "trials")]
    bundle: Option<PathBuf>,
    /// With --trials: what controls the robot
    #[arg(long, default_value = "abs", requires = "trials")]
    method: Method,
    /// With --trials: folder for what `abs deploy` says, and the result
    #[arg(
        long,
        value_name = "DIR",
        default_value = "out/sim-robot",
        requires = "trials"
    )]
    out: PathBuf,
    /// Lose this share of all messages, both ways
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    lose: f32,
    #[command(flatten)]
    config: ConfigArgs,
}

/// A scene with the result of both ways to run it.
#[derive(Debug, Serialize)]
struct TrialRow {
    episode: u64,
    /// None where a fault kept the robot from running to the end.
    over_dds: Option<Outcome>,
    /// Why `abs deploy` gave up.
    error: Option<String>,
    collided: Option<String>,
    final_distance_m: f32,
    duration_s: f32,
    in_eval: Outcome,
    eval_distance_m: f32,
}

/// Time in which `abs deploy` has to run and to end, s.
const WITHIN_S: f32 = 60.0;
/// Steps that may be made up for when the simulation was held up; more are left out.
const MOST_BEHIND: u64 = 25;

impl SimRobotCommand {
    /// Simulates until Ctrl-C, or until all trials are done.
    ///
    /// # Errors
    /// One line for a robot, scene or network that does not do.
    pub fn run(&self) -> Result<()> {
        let mut config = self.config.resolve()?;
        config.ros2.domain = self.domain.unwrap_or(config.ros2.domain);
        if let Some(interface) = &self.interface {
            config.ros2.interface.clone_from(interface);
        }
        ensure!(
            (0.0..1.0).contains(&self.lose),
            "--lose is {}, must be 0 or more and below 1",
            self.lose
        );
        config.eval.validate()?;
        let robot = Robot::load(&config.robot)?;
        let interrupt = Interrupt::listen("ending")?;
        let mut session = Session {
            interrupt,
            pace: Pace::start(),
            simulated: Ros2Robot::new(&robot, &config.eval.physics, &config.ros2, self.lose)?,
            robot,
            config,
        };
        match self.trials {
            None => session.stand_by(self.episode),
            Some(trials) => self.compare(&mut session, trials),
        }
    }

    /// Every scene over DDS and in the evaluation.
    fn compare(&self, session: &mut Session, trials: u64) -> Result<()> {
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot write to {}", self.out.display()))?;
        let config_path = self.out.join("config.toml");
        write_atomic(&config_path, session.config.to_toml()?.as_bytes())?;
        let bundle_path = match &self.bundle {
            Some(folder) => folder.clone(),
            None => repository::bundle(&session.config.robot),
        };
        let bundle = policies::Bundle::load(&bundle_path)?;
        let evaluation = Evaluation::new(
            &session.robot,
            &bundle,
            self.method,
            &session.config.eval,
            &session.config.controller,
            session.config.seed,
        )?;
        let episodes: Vec<u64> = (0..trials).collect();
        let records = evaluation.run(&episodes, false, &|| ())?;
        let mut rows = Vec::new();
        for record in &records {
            let scene = &record.scene;
            let deploy = || self.deploy(&config_path, &bundle_path, scene);
            let Some(trial) = session.trial(scene, deploy)? else {
                return Ok(());
            };
            let said = fs::read_to_string(self.said(scene.index))?;
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
            };
            println!("{}", row.line());
            rows.push(row);
        }
        let (followed, refused) = session.simulated.commands();
        println!("{}", summary(&session.robot.name, self.method, &rows));
        println!("{followed} commands followed, {refused} refused for their checksum");
        let json = serde_json::to_string_pretty(&rows)? + "\n";
        write_atomic(&self.out.join("trials.json"), json.as_bytes())?;
        Ok(())
    }

    /// Where `abs deploy` says what it does.
    fn said(&self, episode: u64) -> PathBuf {
        self.out.join(format!("deploy-{episode}.txt"))
    }

    /// `abs deploy` as another process, on its way to the goal of a scene.
    fn deploy(&self, config: &Path, bundle: &Path, scene: &TestScene) -> Result<Child> {
        let log = self.said(scene.index);
        let log = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let goal = scene.goal;
        let (x, y) = (goal.position_world.x, goal.position_world.y);
        Command::new(std::env::current_exe()?)
            .arg("deploy")
            .arg("--config")
            .arg(config)
            .arg("--bundle")
            .arg(bundle)
            .arg("--method")
            .arg(self.method.name())
            .arg("--goal")
            .arg(format!("{x},{y},{}", goal.heading_rad.to_degrees()))
            .arg("--go")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start abs deploy")
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
            "episode {:>3}: {over_dds:<20} {:>5.2} m after {:>4.1} s; eval: {} {:.2} m",
            self.episode,
            self.final_distance_m,
            self.duration_s,
            self.in_eval,
            self.eval_distance_m
        )
    }
}

fn summary(robot: &str, method: Method, rows: &[TrialRow]) -> String {
    let share = |outcome: Outcome, of: &dyn Fn(&TrialRow) -> Option<Outcome>| {
        let count = rows.iter().filter(|row| of(row) == Some(outcome)).count();
        100.0 * count as f64 / rows.len().max(1) as f64
    };
    let mut text = format!(
        "{robot}, {method}: {} scenes   over DDS   in eval",
        rows.len()
    );
    for outcome in [Outcome::Reach, Outcome::Collision, Outcome::TimeOut] {
        let over_dds = share(outcome, &|row| row.over_dds);
        let in_eval = share(outcome, &|row| Some(row.in_eval));
        text += &format!(
            "\n  {:<20} {over_dds:>8.1} % {in_eval:>7.1} %",
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

struct Session {
    interrupt: Interrupt,
    pace: Pace,
    simulated: Ros2Robot,
    robot: Robot,
    config: Config,
}

impl Session {
    fn scene(&self, episode: u64) -> Result<TestScene> {
        Ok(TestScene::new(
            self.config.seed,
            episode,
            &self.config.eval.testbed,
        )?)
    }

    fn stand_by(&mut self, episode: u64) -> Result<()> {
        let scene = self.scene(episode)?;
        self.simulated.reset(&scene.start(&self.robot))?;
        let goal = scene.goal;
        eprintln!(
            "{} in episode {episode} of seed {}, {}; its goal: --goal {:.2},{:.2},{:.0}",
            self.robot.name,
            self.config.seed,
            self.config.ros2.network(),
            goal.position_world.x,
            goal.position_world.y,
            goal.heading_rad.to_degrees()
        );
        let mut shown = String::new();
        while !self.is_interrupted() {
            self.step();
            let state = self.simulated.run_state();
            if state != shown {
                shown = state.to_owned();
                let p = self.simulated.simulated().physics().position_world;
                eprintln!("{shown} at {:.2}, {:.2}, {:.2} m", p.x, p.y, p.z);
            }
        }
        let (followed, refused) = self.simulated.commands();
        eprintln!("{followed} commands followed, {refused} refused for their checksum");
        Ok(())
    }

    /// One scene with `abs deploy`; none when it was interrupted.
    fn trial(
        &mut self,
        scene: &TestScene,
        deploy: impl FnOnce() -> Result<Child>,
    ) -> Result<Option<Trial>> {
        let eval = &self.config.eval;
        let mut trial = Trial::new(scene, eval.episode_s, eval.reach_m);
        self.simulated.reset(&scene.start(&self.robot))?;
        let mut deploy = Running(deploy()?);
        let mut waited_s = 0.0;
        while !self.is_interrupted() {
            self.step();
            let run = self.simulated.run_state() == State::Run.name();
            waited_s += STEP_S;
            let over = match run {
                true => {
                    let physics = self.simulated.simulated().physics();
                    trial.see(&self.robot, physics, STEP_S)
                }
                // It has stopped, or has never begun: it says why.
                false => waited_s > WITHIN_S || deploy.0.try_wait()?.is_some(),
            };
            if over {
                return Ok(Some(trial));
            }
        }
        Ok(None)
    }

    fn step(&mut self) {
        self.pace.wait();
        self.simulated.step();
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.flag().load(Ordering::Relaxed)
    }
}

/// A process that does not outlive the trial.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Real time, one step after the other.
struct Pace {
    clock: MonotonicClock,
    next_ns: u64,
}

impl Pace {
    fn start() -> Self {
        let realtime = RealtimeConfig {
            priority: 60,
            lock_memory: true,
        };
        // Without it the simulation is held up now and then.
        let _ = enter_realtime(&realtime);
        let mut clock = MonotonicClock;
        Self {
            next_ns: clock.now_ns(),
            clock,
        }
    }

    fn wait(&mut self) {
        let step_ns = (STEP_S * 1e9) as u64;
        self.next_ns += step_ns;
        let now_ns = self.clock.now_ns();
        if now_ns > self.next_ns + MOST_BEHIND * step_ns {
            self.next_ns = now_ns;
        }
        self.clock.sleep_until(self.next_ns);
    }
}
