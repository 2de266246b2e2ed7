//! `abs sim-robot`: a robot in rapier behind the topics of a real one.

mod fault_runs;
mod soak;
mod trials;
mod view;

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use controller::{
    Method,
    deploy::{Clock, MonotonicClock, RealtimeConfig, enter_realtime},
};
use crossbeam::channel::{Receiver, Sender, bounded};
use nalgebra::{Point2, UnitComplex};
use policies::{Goal, file::write_atomic};
use robots::Robot;
use rustix::process::{Signal, set_parent_process_death_signal};
use sim::{
    engine::{EngineKind, EpisodeStart},
    scene::{Terrain, TestScene},
};
use sim_ros2::{Ros2Robot, SensorFaults};

use super::{engine_kind, subject::Subject};
use crate::{
    config::{Config, ConfigArgs},
    run::interrupt::Interrupt,
    view::{Destination, Feed, Frame, Surroundings, ViewArgs},
};

/// A simulated robot behind the DDS topics of a real one
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs sim-robot --robot go1 --domain 7 --interface lo                       a robot among obstacles
  abs sim-robot --robot go1 --domain 7 --interface lo --view                with a live view in 3-D
  abs sim-robot --robot go1 --domain 7 --interface lo --episode 3 --seed 2  the same in another scene
  abs sim-robot --robot go1 --domain 7 --interface lo --trials 20           run `abs deploy` on 20 scenes
  abs sim-robot --robot go1 --domain 7 --interface lo --trials 20 --no-odometry
                                                                            the same on the estimate alone
  abs sim-robot --robot go1 --domain 7 --interface lo --lose 0.3            a bad network
  abs sim-robot --robot go1 --domain 7 --interface lo --soak 10             memory over 10 minutes
  abs sim-robot --robot go1 --domain 7 --interface lo --fault-runs 100      something fails in each of 100 runs
  abs sim-robot --robot go1 --domain 7 --interface lo --stand --reality lab late and weak motors on a stand, for
                                                                            `abs deploy --identify`
  abs sim-robot --robot go2 --domain 7 --interface lo --bare --trials 20    a robot as simple simulators are

`abs deploy` drives it, to goals, or by keys and gamepad (docs/robot-day.md#drive-by-hand).
It answers on rt/lowstate, rt/lowcmd and rt/api/motion_switcher, and publishes /scan and /odom;
with --set ros2.rays=depth also the images of its camera.")]
pub struct SimRobotCommand {
    /// DDS domain [default: 0]
    #[arg(long)]
    domain: Option<u16>,
    /// Network interface, e.g. lo [default: all]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Number of the episode, as in `abs eval`
    #[arg(long, default_value_t = 0, conflicts_with = "with_deploy")]
    episode: u64,
    /// Scene, as in `abs eval`
    #[arg(long, value_name = "NAME|FILE.toml")]
    scene: Option<String>,
    /// Start `abs deploy` as another process for each of the first N episodes, and compare with `abs eval`
    #[arg(long, value_name = "N", group = "with_deploy")]
    trials: Option<u64>,
    /// Start `abs deploy` as another process, let it run from goal to goal, and print the memory of both
    #[arg(long, value_name = "MINUTES", group = "with_deploy")]
    soak: Option<u32>,
    /// Start `abs deploy` as another process N times, let something fail at a random time, and tell whether the robot was
    /// held by an old command
    #[arg(long, value_name = "N", group = "with_deploy")]
    fault_runs: Option<u64>,
    /// As simple simulators are: 200 steps and states a second, without counter, checksum and foot forces, no sport mode,
    /// joint stops that give way, and a friction of 0.4
    #[arg(long)]
    bare: bool,
    /// Simulate the robot of this bundle; with --trials or --soak also the bundle that runs [default: the shipped bundle of the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// With --trials or --soak: what controls the robot [default: abs if the bundle has all three networks]
    #[arg(long, requires = "with_deploy")]
    method: Option<Method>,
    /// With --trials or --soak: folder for the output of `abs deploy` and the results
    #[arg(
        long,
        value_name = "DIR",
        default_value = "out/sim-robot",
        requires = "with_deploy"
    )]
    out: PathBuf,
    /// On a stand, which holds the trunk level and the feet in the air, for `abs deploy --identify`
    #[arg(long, conflicts_with_all = ["with_deploy", "scene", "episode", "bare"])]
    stand: bool,
    /// With --stand: physics engine, rapier or mujoco
    #[arg(long, value_parser = engine_kind(), default_value = "rapier", requires = "stand")]
    engine: EngineKind,
    /// In what the robot differs from the simulation, as in `abs eval`, drawn by the seed: its motors, joints, masses, encoders
    /// and IMU, its delays. Rays, odometry and blows are left out
    #[arg(long, value_name = "NAME|FILE.toml")]
    reality: Option<String>,
    /// Publish no odometry: `abs deploy` relies on its own estimate, whose world frame begins under the robot
    #[arg(long)]
    no_odometry: bool,
    /// Drop this fraction of all messages, in both directions
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0)]
    lose: f32,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Steps that the simulation catches up after a delay; more are skipped.
const MOST_BEHIND: u64 = 25;

impl SimRobotCommand {
    /// Simulates until Ctrl-C, or until all trials are done.
    ///
    /// # Errors
    /// One line if a robot, scene or network is invalid.
    pub fn run(&self) -> Result<()> {
        let args = ConfigArgs {
            scene: self.scene.clone(),
            reality: self.reality.clone(),
            ..self.config.clone()
        };
        let destination = self.view.destination()?;
        let mut resolved = args.resolve_plain()?;
        let ros2 = &mut resolved.config.ros2;
        ros2.domain = self.domain.unwrap_or(ros2.domain);
        if let Some(interface) = &self.interface {
            ros2.interface.clone_from(interface);
        }
        ensure!(
            (0.0..1.0).contains(&self.lose),
            "--lose is {}, must be 0 or more and below 1",
            self.lose
        );
        if self.bare {
            ros2.release_sport_mode = false;
        }
        ensure!(
            destination.is_none()
                || self.trials.or(self.fault_runs).is_none() && self.soak.is_none(),
            "--view shows one scene: leave out --trials, --soak and --fault-runs"
        );
        let deploys = [self.trials, self.fault_runs, self.soak.map(u64::from)];
        let needs_bundle = self.bundle.is_some() || deploys.iter().any(Option::is_some);
        let (robot, config, deployed) = match needs_bundle {
            true => {
                let subject = Subject::resolve(resolved, self.bundle.as_deref(), self.method)?;
                (subject.robot.clone(), subject.config.clone(), Some(subject))
            }
            false => {
                let config = resolved.config;
                (Robot::load(&config.robot)?, config, None)
            }
        };
        config.eval.validate(&config.physics)?;
        config.reality.validate()?;
        let interrupt = Interrupt::listen("stopping")?;
        let new = match self.bare {
            true => Ros2Robot::bare,
            false => Ros2Robot::new,
        };
        let spawner = Spawner::start()?;
        // The threads of DDS inherit its priority: states that wait for them would be late on a busy machine.
        let open = || {
            enter_real_time();
            new(&robot, &config.physics, &config.ros2, self.lose)
        };
        let mut simulated = thread::scope(|scope| scope.spawn(open).join())
            .map_err(|_| anyhow!("the simulated robot panicked"))??;
        if self.stand {
            simulated = simulated.on_stand(self.engine, &config.physics)?;
        }
        simulated = simulated.with_reality(&config.reality, config.seed);
        simulated.set_faults(self.usual_faults());
        let mut session = Session {
            interrupt,
            spawner,
            pace: Pace::start(simulated.step_s()),
            simulated,
            robot,
            config,
        };
        match (self.trials, self.soak, self.fault_runs, deployed) {
            (Some(trials), _, _, Some(subject)) => {
                trials::compare(self, &mut session, &subject, trials)
            }
            (_, Some(minutes), _, Some(subject)) => {
                soak::soak(self, &mut session, &subject, minutes)
            }
            (_, _, Some(runs), Some(subject)) => {
                fault_runs::run(self, &mut session, &subject, runs)
            }
            _ if self.stand => session.hang(destination),
            _ => session.stand_by(self, destination),
        }
    }

    /// The goal of a scene as `abs deploy` is told it: without odometry its world frame begins under the robot, with its
    /// heading.
    fn goal(&self, scene: &TestScene) -> Goal {
        let goal = scene.goal;
        if !self.no_odometry {
            return goal;
        }
        let turn = UnitComplex::new(-scene.start_yaw_rad);
        Goal {
            position_world: Point2::from(turn * (goal.position_world - scene.start_world)),
            heading_rad: goal.heading_rad - scene.start_yaw_rad,
        }
    }

    /// What is missing throughout.
    fn usual_faults(&self) -> SensorFaults {
        SensorFaults {
            no_odometry: self.no_odometry,
            ..SensorFaults::default()
        }
    }

    /// `abs deploy` as another process, with these settings.
    fn deploy(
        &self,
        spawner: &Spawner,
        subject: &Subject,
        flags: &[&str],
        says: &Path,
    ) -> Result<Running> {
        let says =
            File::create(says).with_context(|| format!("cannot write {}", says.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        let die = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
        // SAFETY: it runs between fork and exec, and makes one system call.
        unsafe { command.pre_exec(die) };
        command
            .arg("deploy")
            .arg("--config")
            .arg(self.config_path())
            .arg("--bundle")
            .arg(&subject.bundle_path)
            .args(["--method", subject.method.name()])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(says.try_clone()?)
            .stderr(says);
        let child = spawner.spawn(command).context("cannot start abs deploy")?;
        Ok(Running(child))
    }

    /// Writes the settings into the folder of the results, for `abs deploy`.
    fn prepare(&self, session: &Session) -> Result<()> {
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot write to {}", self.out.display()))?;
        let toml = session.config.to_toml()?;
        Ok(write_atomic(&self.config_path(), toml.as_bytes())?)
    }

    fn config_path(&self) -> PathBuf {
        self.out.join("config.toml")
    }
}

/// A thread without real-time priority, which starts processes: they inherit that.
struct Spawner {
    commands: Sender<Command>,
    children: Receiver<io::Result<Child>>,
}

impl Spawner {
    fn start() -> Result<Self> {
        let (commands, received) = bounded::<Command>(1);
        let (started, children) = bounded(1);
        let body = move || {
            for mut command in received {
                let _ = started.send(command.spawn());
            }
        };
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(body)
            .context("cannot start a thread")?;
        Ok(Self { commands, children })
    }

    fn spawn(&self, command: Command) -> Result<Child> {
        self.commands.send(command)?;
        Ok(self.children.recv()??)
    }
}

/// Best effort: without it the simulation is late now and then.
fn enter_real_time() {
    let _ = enter_realtime(&RealtimeConfig {
        priority: 60,
        lock_memory: true,
    });
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Session {
    interrupt: Interrupt,
    spawner: Spawner,
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

    fn stand_by(
        &mut self,
        command: &SimRobotCommand,
        destination: Option<&Destination>,
    ) -> Result<()> {
        let episode = command.episode;
        let scene = self.scene(episode)?;
        self.simulated.reset(&scene.start(&self.robot))?;
        let goal = command.goal(&scene);
        eprintln!(
            "{} in episode {episode} of seed {}, {}; its goal: --goal {:.2},{:.2},{:.0}",
            self.robot.name,
            self.config.seed,
            self.config.ros2.network(),
            goal.position_world.x,
            goal.position_world.y,
            goal.heading_rad.to_degrees()
        );
        let surroundings = Surroundings {
            obstacles: &scene.obstacles,
            terrain: &scene.terrain,
            reach_m: self.config.eval.reach_m,
        };
        let goal_world = Some(scene.goal.position_world);
        self.serve(self.view(destination, &surroundings)?, goal_world)
    }

    /// On a stand.
    fn hang(&mut self, destination: Option<&Destination>) -> Result<()> {
        self.simulated.reset(&EpisodeStart::on_stand(&self.robot))?;
        eprintln!(
            "{} on a stand, {}; `abs deploy --identify` drives its joints",
            self.robot.name,
            self.config.ros2.network()
        );
        let surroundings = Surroundings {
            obstacles: &[],
            terrain: &Terrain::Flat,
            reach_m: 0.0,
        };
        self.serve(self.view(destination, &surroundings)?, None)
    }

    /// Simulates until Ctrl-C, and tells what the controlling program does.
    fn serve(&mut self, feed: Option<Feed<Frame>>, goal_world: Option<Point2<f32>>) -> Result<()> {
        let mut shown = String::new();
        for step in 0_u64.. {
            if self.is_interrupted() {
                break;
            }
            self.step();
            if let Some(feed) = &feed
                && step.is_multiple_of(view::FRAME_STEPS)
            {
                feed.show(self.frame(step, goal_world));
            }
            let state = self.simulated.run_state();
            if state != shown {
                shown = state.to_owned();
                let p = self.simulated.simulated().physics().position_world;
                eprintln!("{shown} at {:.2}, {:.2}, {:.2} m", p.x, p.y, p.z);
            }
        }
        let (followed, refused) = self.simulated.commands();
        eprintln!("{followed} commands followed, {refused} refused for their checksum");
        feed.map_or(Ok(()), Feed::close)
    }

    fn step(&mut self) {
        self.pace.wait();
        self.simulated.step();
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.flag().load(Ordering::Relaxed)
    }
}

/// Steps in real time.
struct Pace {
    clock: MonotonicClock,
    step_ns: u64,
    next_ns: u64,
    /// Longest delay of a step, s.
    latest_s: f32,
    is_realtime: bool,
}

impl Pace {
    fn start(step_s: f32) -> Self {
        let mut clock = MonotonicClock;
        Self {
            step_ns: (step_s * 1e9) as u64,
            next_ns: clock.now_ns(),
            latest_s: 0.0,
            is_realtime: false,
            clock,
        }
    }

    fn wait(&mut self) {
        // Not before: an evaluation that comes first would take every CPU.
        if !self.is_realtime {
            self.is_realtime = true;
            enter_real_time();
            self.next_ns = self.clock.now_ns();
        }
        self.next_ns += self.step_ns;
        self.clock.sleep_until(self.next_ns);
        let now_ns = self.clock.now_ns();
        let late_ns = now_ns.saturating_sub(self.next_ns);
        self.latest_s = self.latest_s.max(late_ns as f32 * 1e-9);
        if late_ns > MOST_BEHIND * self.step_ns {
            self.next_ns = now_ns;
        }
    }
}
