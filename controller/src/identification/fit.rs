//! The motor of one joint from its chirp.

use std::ops::Range;

use nalgebra::{SMatrix, SVector, Vector3};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use robots::{JointMotion, JointVec, Leg, Robot};

use super::{
    Estimate, IdentificationError, JointEstimate,
    recording::Turn,
    signals::{Kernels, Samples},
};

/// Unknowns of the least squares: armature, damping, friction, bias, and a change of the delay.
const UNKNOWNS: usize = 5;
const ARMATURE: usize = 0;
const DAMPING: usize = 1;
const FRICTION: usize = 2;
const BIAS: usize = 3;
const DELAY: usize = 4;
type Vector = SVector<f64, UNKNOWNS>;
type Matrix = SMatrix<f64, UNKNOWNS, UNKNOWNS>;

/// Signals are smoothed above so many times the highest frequency of the chirp.
const CUTOFF: f64 = 3.0;
/// Slower joints may stick, rad/s.
const LEAST_SPEED_RADPS: f64 = 0.08;
/// Of the effort limit: beyond this a motor may saturate, and the fit does not count on it.
const SURE_EFFORT: f64 = 0.75;
/// Delays that are tried, s.
const LONGEST_DELAY_S: f64 = 0.12;
const DELAY_STEP_S: f64 = 0.001;
/// Length of a segment of the bootstrap, s: longer than what follows from one disturbance.
const SEGMENT_S: f64 = 0.5;
const RESAMPLES: usize = 400;
/// A motor regulates in steps of its own, which nobody tells: so much sooner or later is part of every interval, s.
const SERVO_S: f64 = 2.5e-4;
/// A bias whose interval is wider than this to either side is not seen, rad.
const SEEN_BIAS_RAD: f64 = 0.05;
/// What a joint may carry besides its leg, N·m.
const MOST_LOAD_NM: f64 = 2.0;
/// Smallest motion that says something, rad.
const LEAST_MOTION_RAD: f64 = 0.01;
/// Samples and share of torque that a saturation must cost to be seen.
const SATURATED_SAMPLES: usize = 20;
const SATURATED_LOSS: f64 = 0.1;

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
    if !(farthest - nearest > LEAST_MOTION_RAD) {
        return Err(motion("it stands still".to_owned()));
    }
    let limit_nm = f64::from(joint.effort_limit_nm);
    let sure_nm = SURE_EFFORT * limit_nm;
    let unclear = || motion("its commands do not explain its motion".to_owned());
    let mut delay_s = chirp.search_delay(sure_nm).ok_or_else(unclear)?;
    let mut normal = chirp.normal_equations(delay_s, sure_nm);
    let mut found = solve(&normal).ok_or_else(unclear)?;
    for _ in 0..4 {
        delay_s = (delay_s + found[DELAY]).clamp(0.0, LONGEST_DELAY_S);
        normal = chirp.normal_equations(delay_s, sure_nm);
        found = solve(&normal).ok_or_else(unclear)?;
    }
    let delays = Estimate::of(DELAY, &found, &normal);
    let delay = |change_s: f64| delay_s + change_s;
    let bias = Estimate::of(BIAS, &found, &normal);
    let is_seen = bias.high - bias.low < 2.0 * SEEN_BIAS_RAD;
    let known_rad = f64::from(bias_rad[turn.joint]);
    // A spring that acts later damps less, and a damper that does is less of an inertia.
    let (stiffer, heavier) = (SERVO_S * chirp.stiffness, SERVO_S * chirp.damping);
    Ok(JointEstimate {
        joint: turn.joint,
        delay_s: delays.map(delay).widened(SERVO_S),
        armature_kgm2: Estimate::of(ARMATURE, &found, &normal).widened(heavier),
        damping_nms: Estimate::of(DAMPING, &found, &normal).widened(stiffer),
        friction_nm: Estimate::of(FRICTION, &found, &normal),
        bias_rad: is_seen.then(|| bias.map(|rad| known_rad + rad)),
        saturation_nm: chirp.saturation(delay_s, &found, sure_nm),
        asked_nm: chirp.largest_asked_nm(delay_s),
        reported_torque: chirp.reported_torque(delay_s),
        unexplained_nm: chirp.unexplained_nm(delay_s, &found, sure_nm),
    })
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
        let step_s = intervals_s[intervals_s.len() / 2];
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
        let links = |row: usize, shift_rad: f64| {
            let mut motion = [JointMotion::default(); robots::MAX_JOINTS];
            for (joint, motion) in motion.iter_mut().take(motions.len()).enumerate() {
                *motion = JointMotion {
                    position_rad: motions[joint][0][row],
                    velocity_radps: motions[joint][1][row],
                    acceleration_radps2: motions[joint][2][row],
                };
            }
            motion[in_leg].position_rad += shift_rad;
            leg.inverse_dynamics(&motion[..motions.len()], &gravity)[in_leg]
        };
        let radius = kernels.radius();
        let times_s: Vec<f64> = grid_s().skip(radius).take(num_rows).collect();
        let slope = |row| (links(row, 1e-3) - links(row, -1e-3)) / 2e-3;
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
        let command = turn
            .commands
            .last()
            .map(|command| command.1)
            .unwrap_or_default();
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
            links_nm: (0..num_rows).map(|row| links(row, 0.0)).collect(),
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

    /// Torque at a row that the motor gave, by these unknowns.
    fn given_nm(&self, row: usize, found: &Vector) -> f64 {
        self.links_nm[row] + self.columns(row).dot(found)
    }

    /// What the unknowns but the delay do at a row.
    fn columns(&self, row: usize) -> Vector {
        let mut columns = Vector::zeros();
        columns[ARMATURE] = self.acceleration_radps2[row];
        columns[DAMPING] = self.velocity_radps[row];
        columns[FRICTION] = self.sign[row];
        columns[BIAS] = -self.links_slope[row];
        columns
    }

    /// Normal equations of each segment.
    fn normal_equations(&self, delay_s: f64, sure_nm: f64) -> Vec<Normal> {
        let [targets, rates] = self.targets(delay_s);
        let length = (SEGMENT_S / self.step_s).ceil() as usize;
        let rows: Vec<usize> = self.rows.clone().collect();
        let segments = rows.chunks(length.max(1));
        segments
            .map(|rows| {
                let mut normal = Normal::default();
                for &row in rows {
                    let asked_nm = self.asked_nm(row, targets[row]);
                    let is_slow = self.velocity_radps[row].abs() < LEAST_SPEED_RADPS;
                    if is_slow || asked_nm.abs() > sure_nm {
                        continue;
                    }
                    let mut columns = self.columns(row);
                    columns[DELAY] = self.stiffness * rates[row];
                    normal.add(&columns, asked_nm - self.links_nm[row]);
                }
                normal
            })
            .collect()
    }

    /// The delay on a coarse grid that leaves least unexplained.
    fn search_delay(&self, sure_nm: f64) -> Option<f64> {
        let tried = (0..=(LONGEST_DELAY_S / DELAY_STEP_S) as usize).filter_map(|index| {
            let delay_s = index as f64 * DELAY_STEP_S;
            let mut normal = sum(&self.normal_equations(delay_s, sure_nm));
            normal.without(DELAY);
            let found = normal.solve()?;
            Some((normal.mean_square(&found), delay_s))
        });
        let best = tried.min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, delay_s)| delay_s)
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

    fn unexplained_nm(&self, delay_s: f64, found: &Vector, sure_nm: f64) -> f64 {
        let normal = sum(&self.normal_equations(delay_s, sure_nm));
        normal.mean_square(found).max(0.0).sqrt()
    }

    /// The torque that the motor gave where it gave less than it was asked for.
    fn saturation(&self, delay_s: f64, found: &Vector, sure_nm: f64) -> Option<Estimate> {
        let [targets, _] = self.targets(delay_s);
        let mut given: Vec<f64> = self
            .rows
            .clone()
            .filter_map(|row| {
                let asked_nm = self.asked_nm(row, targets[row]);
                let given_nm = asked_nm.signum() * self.given_nm(row, found);
                let is_cut = given_nm < (1.0 - SATURATED_LOSS) * asked_nm.abs();
                (asked_nm.abs() > sure_nm && is_cut).then_some(given_nm)
            })
            .collect();
        if given.len() < SATURATED_SAMPLES {
            return None;
        }
        given.sort_by(f64::total_cmp);
        Some(Estimate::of_sorted(given[given.len() / 2], &given))
    }

    /// What the motor says of its torque, as a multiple of what it was asked for.
    fn reported_torque(&self, delay_s: f64) -> Option<f64> {
        let [targets, _] = self.targets(delay_s);
        let (mut product, mut square) = (0.0, 0.0);
        for row in self.rows.clone() {
            let asked_nm = self.asked_nm(row, targets[row]);
            product += asked_nm * self.reported_nm[row];
            square += asked_nm * asked_nm;
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

/// A sum of squares as a quadratic form of the unknowns.
#[derive(Clone, Default)]
struct Normal {
    matrix: Matrix,
    vector: Vector,
    square: f64,
    count: usize,
}

impl Normal {
    fn add(&mut self, columns: &Vector, torque_nm: f64) {
        self.matrix += columns * columns.transpose();
        self.vector += columns * torque_nm;
        self.square += torque_nm * torque_nm;
        self.count += 1;
    }

    /// Leaves an unknown at zero.
    fn without(&mut self, unknown: usize) {
        self.matrix.row_mut(unknown).fill(0.0);
        self.matrix.column_mut(unknown).fill(0.0);
        self.matrix[(unknown, unknown)] = 1.0;
        self.vector[unknown] = 0.0;
    }

    fn solve(&self) -> Option<Vector> {
        // Unknowns of one size.
        let scale = self.matrix.diagonal().map(|square| 1.0 / square.sqrt());
        if !scale.iter().all(|scale| scale.is_finite()) {
            return None;
        }
        let scaling = Matrix::from_diagonal(&scale);
        let scaled = scaling * self.matrix * scaling;
        let solved = scaled.cholesky()?.solve(&(scaling * self.vector));
        Some(scaling * solved)
    }

    fn mean_square(&self, found: &Vector) -> f64 {
        let square = self.square - 2.0 * self.vector.dot(found) + found.dot(&(self.matrix * found));
        square / self.count.max(1) as f64
    }
}

fn sum(segments: &[Normal]) -> Normal {
    let mut sum = Normal::default();
    segments.iter().for_each(|segment| sum.join(segment));
    sum
}

impl Normal {
    fn join(&mut self, other: &Self) {
        self.matrix += other.matrix;
        self.vector += other.vector;
        self.square += other.square;
        self.count += other.count;
    }
}

fn solve(segments: &[Normal]) -> Option<Vector> {
    sum(segments).solve()
}

impl Estimate {
    /// An unknown, its interval from resampled segments.
    fn of(unknown: usize, found: &Vector, segments: &[Normal]) -> Self {
        let mut stream = Pcg64::new(0, 0);
        let mut values: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let mut normal = Normal::default();
                for _ in segments {
                    normal.join(&segments[stream.random_range(0..segments.len())]);
                }
                Some(normal.solve()?[unknown])
            })
            .collect();
        values.sort_by(f64::total_cmp);
        Self::of_sorted(found[unknown], &values)
    }

    fn of_sorted(value: f64, sorted: &[f64]) -> Self {
        let at = |fraction: f64| {
            let index = fraction * sorted.len().saturating_sub(1) as f64;
            sorted.get(index.round() as usize).copied().unwrap_or(value)
        };
        Self {
            value,
            low: at(0.025).min(value),
            high: at(0.975).max(value),
        }
    }

    fn widened(self, by: f64) -> Self {
        Self {
            value: self.value,
            low: self.low - by,
            high: self.high + by,
        }
    }

    fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self {
            value: change(self.value),
            low: change(self.low),
            high: change(self.high),
        }
    }
}
