//! The motor of one joint from its chirp.

use std::ops::Range;

use nalgebra::Vector3;
use robots::{JointMotion, JointVec, Leg, Robot};

use super::{
    Estimate, IdentificationError, JointEstimate,
    least_squares::{ARMATURE, BIAS, DAMPING, DELAY, FRICTION, Normal, SATURATION, Vector, sum},
    recording::Turn,
    signals::{Kernels, Samples},
};

/// Signals are smoothed above so many times the highest frequency of the chirp: noise of the encoders grows with the square
/// of the frequency, and what is noise in the acceleration makes a motor look lighter.
const CUTOFF: f64 = 1.5;
/// Slower joints creep and stick: their friction is neither viscous nor Coulomb's, rad/s.
const LEAST_SPEED_RADPS: f64 = 0.2;
/// Delays that are tried, s.
const LONGEST_DELAY_S: f64 = 0.12;
const DELAY_STEP_S: f64 = 0.001;
/// Length of a segment of the bootstrap, s: longer than what follows from one disturbance.
const SEGMENT_S: f64 = 0.25;
/// A motor regulates in steps of its own, which nobody tells: so much sooner or later is part of every interval, s.
const SERVO_S: f64 = 2.5e-4;
/// A bias whose interval is wider than this to either side is not seen, rad.
const SEEN_BIAS_RAD: f64 = 0.05;
/// What a joint may carry besides its leg, N·m.
const MOST_LOAD_NM: f64 = 2.0;
/// Smallest motion that says something, rad.
const LEAST_MOTION_RAD: f64 = 0.01;
/// Saturations that are tried, as fractions of the largest torque asked for.
const SATURATIONS: [f64; 13] = [
    0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9,
];
/// A saturation has to explain this fraction of what is unexplained without.
const EXPLAINED: f64 = 0.5;
/// Rounds in which delay and saturation settle.
const ROUNDS: usize = 4;

/// A chirp as what the model needs, all on one grid.
struct Chirp {
    step_s: f64,
    /// Time of each row since the beginning of the turn, s.
    times_s: Vec<f64>,
    kernels: Kernels,
    target: Samples,
    stiffness: f64,
    damping: f64,
    position_rad: Vec<f64>,
    velocity_radps: Vec<f64>,
    acceleration_radps2: Vec<f64>,
    /// Sign of the velocity, smoothed as all else.
    sign: Vec<f64>,
    /// Torque that the links need, N·m, and what a bias of the joint takes from it, N·m/rad.
    links_nm: Vec<f64>,
    links_slope: Vec<f64>,
    reported_nm: Vec<f64>,
    /// Rows of the chirp.
    rows: Range<usize>,
}

/// The motor of the joint that was driven in `turn`; `bias_rad` is what is known of the encoders.
pub(super) fn joint(
    robot: &Robot,
    turn: &Turn,
    bias_rad: &JointVec,
    chirp_s: f64,
    last_hz: f64,
) -> Result<JointEstimate, IdentificationError> {
    let mut legs = robot.legs_with_joint_range();
    let (leg, range) = (legs.find(|(_, range)| range.contains(&turn.joint)))
        .unwrap_or_else(|| unreachable!("a turn is of a joint of the robot"));
    let in_leg = turn.joint - range.start;
    let joint = &leg.joints[in_leg];
    let motion = |found: String| IdentificationError::Motion {
        joint: joint.name.clone(),
        found,
    };
    let chirp = Chirp::new(leg, in_leg, turn, &bias_rad[range], chirp_s, last_hz);
    let load_nm = chirp.load_nm(turn);
    if load_nm.abs() > MOST_LOAD_NM {
        return Err(IdentificationError::Loaded {
            joint: joint.name.clone(),
            torque_nm: load_nm,
        });
    }
    let moved = &chirp.position_rad[chirp.rows.clone()];
    let farthest = moved.iter().copied().fold(f64::MIN, f64::max);
    let nearest = moved.iter().copied().fold(f64::MAX, f64::min);
    let moved_rad = farthest - nearest;
    if moved_rad.is_nan() || moved_rad <= LEAST_MOTION_RAD {
        return Err(motion("it stands still".to_owned()));
    }
    let unclear = || motion("its commands do not explain its motion".to_owned());
    let mut motor = chirp.search_delay().ok_or_else(unclear)?;
    motor = chirp.search_saturation(motor).ok_or_else(unclear)?;
    let mut normal = chirp.normal_equations(&motor);
    let mut found = sum(&normal).solve().ok_or_else(unclear)?;
    for _ in 0..ROUNDS {
        motor.delay_s = (motor.delay_s + found[DELAY]).clamp(0.0, LONGEST_DELAY_S);
        motor.saturation_nm = (motor.saturation_nm + found[SATURATION]).max(0.0);
        normal = chirp.normal_equations(&motor);
        found = sum(&normal).solve().ok_or_else(unclear)?;
    }
    let delays = Estimate::of(DELAY, &found, &normal);
    let is_reached = motor.saturation_nm.is_finite();
    let saturation = Estimate::of(SATURATION, &found, &normal);
    let bias = Estimate::of(BIAS, &found, &normal);
    let is_seen = bias.high - bias.low < 2.0 * SEEN_BIAS_RAD;
    let known_rad = f64::from(bias_rad[turn.joint]);
    // A spring that acts later damps less, and a damper that does is less of an inertia.
    let (stiffer, heavier) = (SERVO_S * chirp.stiffness, SERVO_S * chirp.damping);
    Ok(JointEstimate {
        joint: turn.joint,
        delay_s: delays.shifted(motor.delay_s).widened(SERVO_S),
        armature_kgm2: Estimate::of(ARMATURE, &found, &normal).widened(heavier),
        damping_nms: Estimate::of(DAMPING, &found, &normal).widened(stiffer),
        friction_nm: Estimate::of(FRICTION, &found, &normal),
        bias_rad: is_seen.then(|| bias.shifted(known_rad)),
        saturation_nm: is_reached.then(|| saturation.shifted(motor.saturation_nm)),
        asked_nm: chirp.largest_asked_nm(motor.delay_s),
        reported_torque: chirp.reported_torque(&motor),
        unexplained_nm: sum(&normal).mean_square(&found).max(0.0).sqrt(),
    })
}

/// Between a command and its torque.
#[derive(Clone, Copy)]
struct Motor {
    delay_s: f64,
    /// Infinite where it is not reached.
    saturation_nm: f64,
}

impl Chirp {
    fn new(
        leg: &Leg,
        in_leg: usize,
        turn: &Turn,
        bias_rad: &[f32],
        chirp_s: f64,
        last_hz: f64,
    ) -> Self {
        let begin_ns = turn.commands.first().map_or(0, |command| command.0);
        let since_s = |time_ns: u64| (time_ns as f64 - begin_ns as f64) * 1e-9;
        let measured_s = measured_times_s(turn, since_s);
        let (first_s, last_s) = (measured_s[0], measured_s[measured_s.len() - 1]);
        let mut intervals_s: Vec<f64> = measured_s
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        intervals_s.sort_by(f64::total_cmp);
        let mean_s = (last_s - first_s) / intervals_s.len() as f64;
        let step_s = intervals_s[intervals_s.len() / 2].max(0.5 * mean_s);
        let grid_s =
            || (0..=((last_s - first_s) / step_s) as usize).map(|k| first_s + k as f64 * step_s);
        let on_grid = |values: Vec<f64>| Samples::new(measured_s.clone(), values).at(grid_s());
        let kernels = Kernels::new(step_s, CUTOFF * last_hz);
        let motions: Vec<[Vec<f64>; 3]> = (0..leg.joints.len())
            .map(|joint| {
                let values = turn
                    .states
                    .iter()
                    .map(|state| state.position_rad[joint].into());
                let series = on_grid(values.collect());
                let smooth = kernels.smooth(&series);
                let bias = f64::from(bias_rad[joint]);
                let position = smooth.iter().map(|rad| rad - bias).collect();
                [position, kernels.first(&series), kernels.second(&series)]
            })
            .collect();
        let num_rows = motions[0][0].len();
        let gravity: Vector3<f64> = turn.states.iter().map(|state| state.gravity_base).sum();
        let gravity = gravity / turn.states.len() as f64;
        let links = |row: usize, moves: f64, shift_rad: f64| {
            let mut motion = [JointMotion::default(); robots::MAX_JOINTS];
            for (joint, motion) in motion.iter_mut().take(motions.len()).enumerate() {
                *motion = JointMotion {
                    position_rad: motions[joint][0][row],
                    velocity_radps: moves * motions[joint][1][row],
                    acceleration_radps2: moves * motions[joint][2][row],
                };
            }
            motion[in_leg].position_rad += shift_rad;
            leg.inverse_dynamics(&motion[..motions.len()], &gravity)[in_leg]
        };
        let radius = kernels.radius();
        let times_s: Vec<f64> = grid_s().skip(radius).take(num_rows).collect();
        // Of gravity alone: the rest is small, and as noisy as the accelerations.
        let slope = |row| (links(row, 0.0, 1e-3) - links(row, 0.0, -1e-3)) / 2e-3;
        // A command holds until the next: on average it is that of the middle.
        let ends = turn.commands.iter().skip(1).chain(turn.commands.last());
        let middles = turn.commands.iter().zip(ends);
        let middles = middles.map(|(command, next)| 0.5 * (since_s(command.0) + since_s(next.0)));
        let targets = turn
            .commands
            .iter()
            .map(|(_, command)| command.position_rad.into());
        let [position, velocity, acceleration] = motions[in_leg].clone();
        let bias = f64::from(bias_rad[in_leg]);
        let measured: Vec<f64> = position.iter().map(|rad| rad + bias).collect();
        // As long as the others: at its ends it is only needed within the chirp.
        let mut padded = vec![0.0; radius];
        padded.extend(velocity.iter().map(|radps| radps.signum()));
        padded.extend(vec![0.0; radius]);
        let reported = turn.states.iter().map(|state| state.torque_nm.into());
        let begin_s = since_s(turn.chirp_ns);
        let row_at = |time_s: f64| times_s.partition_point(|&known| known < time_s);
        // At its ends the gains may be those of the turns before and after.
        let middle = turn.commands.get(turn.commands.len() / 2);
        let command = middle.map(|command| command.1).unwrap_or_default();
        Self {
            step_s,
            rows: row_at(begin_s)..row_at(begin_s + chirp_s),
            target: Samples::new(middles.collect(), targets.collect()),
            stiffness: command.stiffness.into(),
            damping: command.damping.into(),
            position_rad: measured,
            velocity_radps: velocity,
            acceleration_radps2: acceleration,
            sign: kernels.smooth(&padded),
            links_nm: (0..num_rows).map(|row| links(row, 1.0, 0.0)).collect(),
            links_slope: (0..num_rows).map(slope).collect(),
            reported_nm: kernels.smooth(&on_grid(reported.collect())),
            times_s,
            kernels,
        }
    }

    /// The target that is in force at the rows, smoothed, and its rate.
    fn targets(&self, delay_s: f64) -> [Vec<f64>; 2] {
        let radius = self.kernels.radius() as f64;
        let first_s = self.times_s[0] - radius * self.step_s;
        let count = self.times_s.len() + 2 * self.kernels.radius();
        let times_s = (0..count).map(|k| first_s + k as f64 * self.step_s - delay_s);
        let targets = self.target.at(times_s);
        [self.kernels.smooth(&targets), self.kernels.first(&targets)]
    }

    /// Torque that the motor is asked for at a row, N·m.
    fn asked_nm(&self, row: usize, target_rad: f64) -> f64 {
        self.stiffness * (target_rad - self.position_rad[row])
            - self.damping * self.velocity_radps[row]
    }

    /// What the unknowns besides delay and saturation do at a row.
    fn columns(&self, row: usize) -> Vector {
        let mut columns = Vector::zeros();
        columns[ARMATURE] = self.acceleration_radps2[row];
        columns[DAMPING] = self.velocity_radps[row];
        columns[FRICTION] = self.sign[row];
        columns[BIAS] = -self.links_slope[row];
        columns
    }

    /// Normal equations of each segment.
    fn normal_equations(&self, motor: &Motor) -> Vec<Normal> {
        let [targets, rates] = self.targets(motor.delay_s);
        let length = (SEGMENT_S / self.step_s).ceil() as usize;
        let rows: Vec<usize> = self.rows.clone().collect();
        let segments = rows.chunks(length.max(1));
        segments
            .map(|rows| {
                let mut normal = Normal::default();
                for &row in rows {
                    if self.velocity_radps[row].abs() < LEAST_SPEED_RADPS {
                        continue;
                    }
                    let asked_nm = self.asked_nm(row, targets[row]);
                    let most_nm = motor.saturation_nm;
                    let mut columns = self.columns(row);
                    match asked_nm.abs() < most_nm {
                        true => columns[DELAY] = self.stiffness * rates[row],
                        false => columns[SATURATION] = -asked_nm.signum(),
                    }
                    let given_nm = asked_nm.clamp(-most_nm, most_nm);
                    normal.add(&columns, given_nm - self.links_nm[row]);
                }
                normal
            })
            .collect()
    }

    /// What a motor leaves unexplained, N²·m².
    fn unexplained(&self, motor: &Motor) -> Option<f64> {
        let mut normal = sum(&self.normal_equations(motor));
        normal.fix(DELAY);
        normal.fix(SATURATION);
        Some(normal.mean_square(&normal.solve()?))
    }

    /// The delay on a coarse grid that leaves least unexplained.
    fn search_delay(&self) -> Option<Motor> {
        let tried = (0..=(LONGEST_DELAY_S / DELAY_STEP_S) as usize).map(|index| Motor {
            delay_s: index as f64 * DELAY_STEP_S,
            saturation_nm: f64::INFINITY,
        });
        self.best(tried).map(|(motor, _)| motor)
    }

    /// The saturation on a coarse grid, if it explains what nothing else does.
    fn search_saturation(&self, motor: Motor) -> Option<Motor> {
        let largest_nm = self.largest_asked_nm(motor.delay_s);
        let tried = SATURATIONS.into_iter().map(|fraction| Motor {
            saturation_nm: fraction * largest_nm,
            ..motor
        });
        let without = self.unexplained(&motor)?;
        let (saturated, least) = self.best(tried)?;
        let is_reached = least < (1.0 - EXPLAINED) * without;
        Some(if is_reached { saturated } else { motor })
    }

    /// The motor that leaves least unexplained, and what it leaves.
    fn best(&self, tried: impl Iterator<Item = Motor>) -> Option<(Motor, f64)> {
        let tried = tried.filter_map(|motor| Some((motor, self.unexplained(&motor)?)));
        tried.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Torque at rest besides that of the leg, N·m.
    fn load_nm(&self, turn: &Turn) -> f64 {
        let rest = self.rows.start / 2..self.rows.start;
        let count = rest.len().max(1) as f64;
        let standing = turn
            .commands
            .first()
            .map_or(0.0, |command| command.1.position_rad);
        let loads = rest.map(|row| self.asked_nm(row, standing.into()) - self.links_nm[row]);
        loads.sum::<f64>() / count
    }

    fn largest_asked_nm(&self, delay_s: f64) -> f64 {
        let [targets, _] = self.targets(delay_s);
        let asked = self
            .rows
            .clone()
            .map(|row| self.asked_nm(row, targets[row]).abs());
        asked.fold(0.0, f64::max)
    }

    /// What the motor says of its torque, as a multiple of what it was asked for.
    fn reported_torque(&self, motor: &Motor) -> Option<f64> {
        let [targets, _] = self.targets(motor.delay_s);
        let (mut product, mut square) = (0.0, 0.0);
        for row in self.rows.clone() {
            let asked_nm = self.asked_nm(row, targets[row]);
            let given_nm = asked_nm.clamp(-motor.saturation_nm, motor.saturation_nm);
            product += given_nm * self.reported_nm[row];
            square += given_nm * given_nm;
        }
        (product != 0.0 && square > 0.0).then(|| product / square)
    }
}

/// When the states were measured. The robot's own counter is even; receptions are not, and follow it by a line.
fn measured_times_s(turn: &Turn, since_s: impl Fn(u64) -> f64) -> Vec<f64> {
    let received_s: Vec<f64> =
        (turn.states.iter().map(|state| since_s(state.received_ns))).collect();
    let counts = turn.states.windows(2);
    if counts.into_iter().any(|pair| pair[1].tick <= pair[0].tick) {
        return received_s;
    }
    let first = turn.states.first().map_or(0, |state| state.tick);
    let ticks: Vec<f64> = turn
        .states
        .iter()
        .map(|state| f64::from(state.tick - first))
        .collect();
    let count = ticks.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mean_tick, mean_s) = (mean(&ticks), mean(&received_s));
    let pairs = ticks.iter().zip(&received_s);
    let covariance: f64 = pairs.map(|(t, s)| (t - mean_tick) * (s - mean_s)).sum();
    let variance: f64 = ticks.iter().map(|t| (t - mean_tick).powi(2)).sum();
    let tick_s = covariance / variance;
    ticks
        .iter()
        .map(|tick| mean_s + tick_s * (tick - mean_tick))
        .collect()
}
