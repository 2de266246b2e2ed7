//! `abs sim-robot --soak`: a long run from goal to goal, with the memory of both processes.

use anyhow::{Result, ensure};
use controller::deploy::State;
use ros2::{
    Delivery, OPERATOR_TOPIC, Ros,
    messages::{Header, Point, Pose, PoseStamped, Quaternion, Text},
};

use super::{Session, SimRobotCommand};
use crate::commands::{
    memory::{children, resident_mb},
    subject::Subject,
};

/// Time between two requests of the operator, s.
const LOOK_S: f32 = 0.2;
/// Time between two goals, s.
const GOAL_S: f32 = 5.0;
/// The goals in turn, on empty ground, m.
const GOALS_M: [[f64; 2]; 4] = [[3.0, 0.0], [3.0, 3.0], [0.0, 3.0], [0.0, 0.0]];

/// Runs `abs deploy` as another process for `minutes`, with an operator who keeps it running.
///
/// # Errors
/// One line if it ends early, or the system does not report memory.
pub fn soak(
    command: &SimRobotCommand,
    session: &mut Session,
    subject: &Subject,
    minutes: u32,
) -> Result<()> {
    command.prepare(session)?;
    let mut ros = Ros::open(&session.config.ros2.network(), "operator")?;
    let requests = ros.publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)?;
    let goals = ros.publish::<PoseStamped>(&session.config.ros2.goal_topic, Delivery::Reliable)?;
    let mut scene = session.scene(0)?.start(&session.robot);
    scene.obstacles.clear();
    session.simulated.reset(&scene)?;
    let says = command.out.join("deploy.txt");
    let mut deploy = command.deploy(&session.spawner, subject, &[], &says)?;
    println!("minutes  sim-robot MB  deploy MB  state  runs  faults");
    let (mut runs, mut faults) = (0, 0);
    let mut state = String::new();
    let step_s = session.simulated.step_s();
    let steps_in = |time_s: f32| (time_s / step_s).round() as u64;
    let per_minute = steps_in(60.0);
    for step in 0..=u64::from(minutes) * per_minute {
        if session.is_interrupted() {
            return Ok(());
        }
        session.step();
        if session.simulated.run_state() != state {
            session.simulated.run_state().clone_into(&mut state);
            runs += u32::from(state == State::Run.name());
            faults += u32::from(state == State::Fault.name());
        }
        if step % steps_in(LOOK_S) == 0 {
            let request = match state.as_str() {
                "damping" => "stand",
                "ready" => "start",
                "fault" => {
                    // It may have fallen.
                    session.simulated.place(&scene)?;
                    "stop"
                }
                _ => "heartbeat",
            };
            // It may not be connected yet.
            let _ = requests.publish(Text {
                data: request.to_owned(),
            });
        }
        if step % steps_in(GOAL_S) == 0 {
            let goal = GOALS_M[(step / steps_in(GOAL_S)) as usize % GOALS_M.len()];
            let _ = goals.publish(pose(goal, &session.config.ros2.world_frame));
        }
        // The first line waits until both programs have started.
        if step % per_minute == 0 && step > 0 || step == steps_in(10.0) {
            let own = total_mb(&[std::process::id()])?;
            let deploy = deploy.0.id();
            let theirs = total_mb(&[&[deploy], &*children(deploy)].concat())?;
            let time_min = step as f32 * step_s / 60.0;
            println!("{time_min:>7.1}  {own:>12.1}  {theirs:>9.1}  {state}  {runs}  {faults}");
        }
        let ended = deploy.0.try_wait()?;
        ensure!(
            ended.is_none(),
            "abs deploy has ended, see {}",
            says.display()
        );
    }
    Ok(())
}

fn pose([x, y]: [f64; 2], frame: &str) -> PoseStamped {
    PoseStamped {
        header: Header {
            frame_id: frame.to_owned(),
            ..Header::default()
        },
        pose: Pose {
            position: Point { x, y, z: 0.0 },
            orientation: Quaternion::default(),
        },
    }
}

/// Resident memory of processes, MB; the first of them is running.
fn total_mb(processes: &[u32]) -> Result<f64> {
    let all: Vec<f64> = (processes.iter())
        .filter_map(|&process| resident_mb(process))
        .collect();
    ensure!(
        !all.is_empty(),
        "the system does not tell the memory of programs"
    );
    Ok(all.iter().sum())
}
