//! The standing test: a robot holds its standing pose and squats, in each engine.

use nalgebra::{Point3, Vector2};
use robots::{FootVec, Robot};

use crate::engine::{
    self, CONTACT_FORCE_N, EngineError, EngineKind, EpisodeStart, PhysicsConfig, PhysicsState,
};

/// Time in the standing pose, s.
const STAND_S: f32 = 5.0;
/// After which it should be at rest, s.
const SETTLE_S: f32 = 1.0;
/// Time of squatting between the standing and the default pose, and of one squat, s.
const SQUAT_S: f32 = 4.0;
const PERIOD_S: f32 = 2.0;

/// A robot has fallen beyond this tilt, rad.
const FALLEN_RAD: f32 = 0.6;
/// Largest drift and slip of a robot at rest, m.
const DRIFT_M: f32 = 0.03;
/// Largest sag under its own weight, and difference of heights between engines, as parts of the leg's length.
const SAG: f32 = 0.15;
const HEIGHT_DIFFERENCE: f32 = 0.04;
/// Largest difference of tilts between engines, rad.
const TILT_DIFFERENCE_RAD: f32 = 0.06;
/// Largest torque, as a part of the effort limit.
const EFFORT: f32 = 0.9;

/// What a robot did in one engine.
#[derive(Clone, Debug)]
pub struct StandingReport {
    /// The engine.
    pub engine: EngineKind,
    /// Height of the base frame at the end of standing, m.
    pub height_m: f32,
    /// Tilt of the base then, rad.
    pub tilt_rad: f32,
    /// Largest tilt in the whole test, rad.
    pub max_tilt_rad: f32,
    /// Way of the base after it had settled, m.
    pub drift_m: f32,
    /// Largest way of a foot after it had settled, m.
    pub slip_m: f32,
    /// Largest torque over effort limit after settling, while standing and while squatting, with the joint.
    pub stand_effort: (f32, String),
    /// While squatting.
    pub squat_effort: (f32, String),
    /// First body other than a foot that touched the ground.
    pub touched: Option<String>,
}

/// Runs the test in one engine.
///
/// # Errors
/// One line when the robot does not fit the engine, or the engine is not built in.
pub fn stand(robot: &Robot, kind: EngineKind) -> Result<StandingReport, EngineError> {
    let config = PhysicsConfig::default();
    let mut engine = engine::build(kind, robot, &config, 1)?;
    engine.reset(0, &EpisodeStart::standing(robot))?;
    let mut state = PhysicsState::zero(robot);
    let steps = |time_s: f32| (time_s / config.policy_step_s()).round() as usize;
    let control = &robot.control;
    let mut report = StandingReport {
        engine: kind,
        height_m: 0.0,
        tilt_rad: 0.0,
        max_tilt_rad: 0.0,
        drift_m: 0.0,
        slip_m: 0.0,
        stand_effort: (0.0, String::new()),
        squat_effort: (0.0, String::new()),
        touched: None,
    };
    let mut settled: Option<Place> = None;
    for step in 0..steps(STAND_S + SQUAT_S) {
        let time_s = step as f32 * config.policy_step_s();
        let is_squat = step >= steps(STAND_S);
        let phase = std::f32::consts::TAU * (time_s - STAND_S) / PERIOD_S;
        let part = if is_squat {
            0.5 * (1.0 - phase.cos())
        } else {
            0.0
        };
        let poses = control
            .standing_position_rad
            .iter()
            .zip(&control.default_position_rad);
        let target: Vec<f32> = poses.map(|(low, high)| low + part * (high - low)).collect();
        engine.step(&target);
        engine.read(0, &mut state);
        let tilt_rad = tilt_rad(&state);
        // A robot that has flown apart has the tilt of one that has fallen.
        report.max_tilt_rad =
            report
                .max_tilt_rad
                .max(if tilt_rad.is_finite() { tilt_rad } else { 3.2 });
        if step < steps(SETTLE_S) {
            continue;
        }
        let effort = if is_squat {
            &mut report.squat_effort
        } else {
            &mut report.stand_effort
        };
        for (joint, torque) in robot.joints().zip(&state.joint_torque_nm) {
            let part = torque.abs() / joint.effort_limit_nm;
            if part > effort.0 {
                *effort = (part, joint.name.clone());
            }
        }
        if report.touched.is_none() {
            report.touched = touched(robot, &state);
        }
        if !is_squat {
            let place = Place::of(robot, &state);
            let first = settled.get_or_insert_with(|| place.clone());
            report.drift_m = report.drift_m.max((place.base - first.base).norm());
            let slips = place
                .feet
                .iter()
                .zip(&first.feet)
                .map(|(now, then)| (now - then).norm());
            report.slip_m = slips.fold(report.slip_m, f32::max);
            report.height_m = state.position_world.z;
            report.tilt_rad = tilt_rad;
        }
    }
    Ok(report)
}

/// Where base and feet are, seen from above.
#[derive(Clone)]
struct Place {
    base: Vector2<f32>,
    feet: FootVec<Vector2<f32>>,
}

impl Place {
    fn of(robot: &Robot, state: &PhysicsState) -> Self {
        let world =
            |at: &Point3<f32>| (state.orientation * at).xy() + state.position_world.xy().coords;
        let feet = robot.foot_positions_base(&state.joint_position_rad);
        Self {
            base: state.position_world.xy().coords,
            feet: feet.iter().map(|at| world(at).coords).collect(),
        }
    }
}

fn tilt_rad(state: &PhysicsState) -> f32 {
    (state.orientation * nalgebra::Vector3::z())
        .z
        .clamp(-1.0, 1.0)
        .acos()
}

fn touched(robot: &Robot, state: &PhysicsState) -> Option<String> {
    if state.base_force_n > CONTACT_FORCE_N {
        return Some("base".to_owned());
    }
    let legs = robot
        .legs
        .iter()
        .zip(&state.thigh_force_n)
        .zip(&state.calf_force_n);
    let mut touching = legs.filter_map(|((leg, &thigh), &calf)| {
        let part = if thigh > CONTACT_FORCE_N {
            "thigh"
        } else if calf > CONTACT_FORCE_N {
            "calf"
        } else {
            return None;
        };
        Some(format!("{} {part}", leg.name))
    });
    touching.next()
}

/// What speaks against the robot after the test in these engines, one line each.
pub fn complaints(robot: &Robot, reports: &[StandingReport]) -> Vec<String> {
    let length = robot.leg_length_m();
    let mut found = Vec::new();
    for report in reports {
        let mut add = |text: String| found.push(format!("{}: {text}", report.engine));
        if report.max_tilt_rad > FALLEN_RAD {
            add(format!(
                "falls, tilted by {:.0} degrees",
                report.max_tilt_rad.to_degrees()
            ));
            continue;
        }
        let sag = robot.control.standing_height_m - report.height_m;
        if sag > SAG * length {
            add(format!(
                "sinks by {:.0} mm under its own weight; more stiffness helps",
                1e3 * sag
            ));
        }
        if let Some(body) = &report.touched {
            add(format!("{body} touches the ground"));
        }
        for (what, way_m) in [
            ("drifts", report.drift_m),
            ("slips with a foot", report.slip_m),
        ] {
            if way_m > DRIFT_M {
                add(format!(
                    "{what} by {:.0} mm while it should stand still",
                    1e3 * way_m
                ));
            }
        }
        for (what, (part, joint)) in [
            ("stands", &report.stand_effort),
            ("squats", &report.squat_effort),
        ] {
            if *part > EFFORT {
                add(format!(
                    "{what} at {:.0}% of the effort limit of `{joint}`",
                    100.0 * part
                ));
            }
        }
    }
    for (index, a) in reports.iter().enumerate() {
        for b in &reports[index + 1..] {
            if a.max_tilt_rad.max(b.max_tilt_rad) > FALLEN_RAD {
                continue;
            }
            let engines = format!("{} and {}", a.engine, b.engine);
            let height = (a.height_m - b.height_m).abs();
            if height > HEIGHT_DIFFERENCE * length {
                found.push(format!(
                    "{engines} disagree by {:.0} mm in the height it stands at",
                    1e3 * height
                ));
            }
            if (a.tilt_rad - b.tilt_rad).abs() > TILT_DIFFERENCE_RAD {
                found.push(format!(
                    "{engines} disagree by {:.0} degrees in the tilt it stands at",
                    (a.tilt_rad - b.tilt_rad).abs().to_degrees()
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_of(robot: &Robot) -> Vec<String> {
        let reports =
            [EngineKind::Rapier, EngineKind::Batch].map(|kind| stand(robot, kind).unwrap());
        complaints(robot, &reports)
    }

    #[test]
    fn the_robots_shipped_stand_and_squat_alike_in_both_engines() {
        for name in Robot::names() {
            let robot = Robot::load(name).unwrap();
            assert_eq!(complaints_of(&robot), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn a_robot_that_cannot_hold_itself_is_told() {
        let mut weak = Robot::load("go1").unwrap();
        weak.control.stiffness.fill(3.0);
        let lines = complaints_of(&weak);
        assert!(
            lines.iter().any(|line| line.starts_with("rapier: ")),
            "{lines:?}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("batch: ")),
            "{lines:?}"
        );
        let mut tired = Robot::load("go1").unwrap();
        let torques = tired
            .static_load(&tired.control.standing_position_rad)
            .torque_nm;
        for (leg, knee) in tired.legs.iter_mut().zip([2, 5, 8, 11]) {
            leg.joints[2].effort_limit_nm = 1.02 * torques[knee].abs();
        }
        let lines = complaints_of(&tired);
        assert!(
            lines
                .iter()
                .any(|line| line.contains("% of the effort limit of")),
            "{lines:?}"
        );
    }
}
