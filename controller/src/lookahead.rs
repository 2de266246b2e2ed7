//! What the reach-avoid value will see after the robot has followed a twist for a while: the rays end on the same points of the world, which have
//! moved in the robot's frame.

use std::ops::Range;

use arrayvec::ArrayVec;
use policies::{Layout, MAX_RAYS, Quantity, RaySpec};

/// Fractions of the present twist in the mean one over `time_s`, and in the last, of a robot that approaches a commanded twist with
/// the time constant `response_s`.
pub fn present_fractions(time_s: f32, response_s: f32) -> [f32; 2] {
    let final_fraction = (-time_s / response_s).exp();
    [response_s / time_s * (1.0 - final_fraction), final_fraction]
}

/// Predicts observations of the reach-avoid value by the kinematics of the base.
#[derive(Clone, Debug)]
pub(crate) struct Lookahead {
    time_s: f32,
    /// Fractions of the present twist in the mean one over that time, and in the last.
    mean_fraction: f32,
    final_fraction: f32,
    rays: Range<usize>,
    /// Those of the previous scan, compensated for the motion of the robot; empty without.
    previous_rays: Range<usize>,
    /// Index of the goal's x; y follows.
    goal: usize,
    /// Unit vectors of the rays.
    directions: ArrayVec<[f32; 2], MAX_RAYS>,
    spacing_rad: f32,
    range_m: [f32; 2],
}

impl Lookahead {
    /// None where the layout has no rays or no goal.
    pub(crate) fn new(
        layout: &Layout,
        spec: &RaySpec,
        time_s: f32,
        response_s: f32,
    ) -> Option<Self> {
        let [mean_fraction, final_fraction] = present_fractions(time_s, response_s);
        Some(Self {
            time_s,
            mean_fraction,
            final_fraction,
            rays: layout.range(Quantity::LogRays)?,
            previous_rays: layout.range(Quantity::PreviousLogRays).unwrap_or(0..0),
            goal: layout.range(Quantity::GoalPosition)?.start,
            directions: spec.directions().map(|d| [d.x, d.y]).collect(),
            spacing_rad: spec.angle_rad(1) - spec.angle_rad(0),
            range_m: [spec.min_m, spec.max_m],
        })
    }

    /// The mean twist until then of a robot that comes from `present` to `commanded`.
    pub(crate) fn mean_twist(&self, present: [f32; 3], commanded: [f32; 3]) -> [f32; 3] {
        mixed(present, commanded, self.mean_fraction)
    }

    /// Its twist then.
    pub(crate) fn final_twist(&self, present: [f32; 3], commanded: [f32; 3]) -> [f32; 3] {
        mixed(present, commanded, self.final_fraction)
    }

    /// Ray `index` of a robot that has turned by `turn` spacings: its logarithm between those of its neighbours, and how that changes per spacing.
    fn turned(&self, log2_m: &[f32], index: usize, turn: f32) -> (f32, f32) {
        let last = log2_m.len() - 1;
        let place = index as f32 + turn;
        if place <= 0.0 || place >= last as f32 {
            return (log2_m[if place <= 0.0 { 0 } else { last }], 0.0);
        }
        let left = (place as usize).min(last - 1);
        let slope = log2_m[left + 1] - log2_m[left];
        (log2_m[left] + slope * (place - left as f32), slope)
    }

    /// Writes rays and goal as they will be; the rest of `after` stays.
    pub(crate) fn predict(&self, before: &[f32], [vx, vy, yaw_rate]: [f32; 3], after: &mut [f32]) {
        let t = self.time_s;
        let turn = yaw_rate * t / self.spacing_rad;
        let [min_m, max_m] = self.range_m;
        for rays in [&self.rays, &self.previous_rays] {
            let (before, after) = (&before[rays.clone()], &mut after[rays.clone()]);
            for (index, (after, [ahead, aside])) in
                after.iter_mut().zip(&self.directions).enumerate()
            {
                let (log2_m, _) = self.turned(before, index, turn);
                let seen_m = log2_m.exp2();
                let nearer_m = t * (vx * ahead + vy * aside);
                let distance_m = if seen_m < 0.99 * max_m {
                    seen_m - nearer_m
                } else {
                    max_m
                };
                *after = distance_m.clamp(min_m, max_m).log2();
            }
        }
        let [x, y] = [before[self.goal], before[self.goal + 1]];
        after[self.goal] = x - t * (vx - yaw_rate * y);
        after[self.goal + 1] = y - t * (vy + yaw_rate * x);
    }

    /// Makes of the derivatives by the final twist those by the commanded one, with what comes through rays and goal, which
    /// were predicted with the mean twist; `gradient` is by the elements of the prediction.
    pub(crate) fn pull_back(
        &self,
        before: &[f32],
        [vx, vy, yaw_rate]: [f32; 3],
        gradient: &[f32],
        by_twist: &mut [f32; 3],
    ) {
        let t = self.time_s;
        let turn = yaw_rate * t / self.spacing_rad;
        let [min_m, max_m] = self.range_m;
        let mut by_mean = [0.0; 3];
        for rays in [&self.rays, &self.previous_rays] {
            let (before, gradient) = (&before[rays.clone()], &gradient[rays.clone()]);
            for (index, (by_log2, [ahead, aside])) in
                gradient.iter().zip(&self.directions).enumerate()
            {
                let (log2_m, slope) = self.turned(before, index, turn);
                let seen_m = log2_m.exp2();
                if seen_m >= 0.99 * max_m {
                    continue;
                }
                let distance_m = seen_m - t * (vx * ahead + vy * aside);
                if distance_m <= min_m || distance_m >= max_m {
                    continue;
                }
                let per_m = by_log2 / (distance_m * std::f32::consts::LN_2);
                by_mean[0] -= per_m * t * ahead;
                by_mean[1] -= per_m * t * aside;
                by_mean[2] += by_log2 * seen_m / distance_m * slope * t / self.spacing_rad;
            }
        }
        let [x, y] = [before[self.goal], before[self.goal + 1]];
        let [gx, gy] = [gradient[self.goal], gradient[self.goal + 1]];
        by_mean[0] -= t * gx;
        by_mean[1] -= t * gy;
        by_mean[2] += t * (gx * y - gy * x);
        for (derivative, by_mean) in by_twist.iter_mut().zip(by_mean) {
            *derivative =
                (1.0 - self.final_fraction) * *derivative + (1.0 - self.mean_fraction) * by_mean;
        }
    }
}

fn mixed(present: [f32; 3], commanded: [f32; 3], fraction: f32) -> [f32; 3] {
    std::array::from_fn(|axis| commanded[axis] + fraction * (present[axis] - commanded[axis]))
}

#[cfg(test)]
mod tests {
    use policies::{GoalYaw, ObservationInput, Twist, observation::terms, spec::RobotSpec};
    use robots::{Robot, RobotState};

    use super::*;

    const TIME_S: f32 = 0.5;

    fn layout_of(rays: &RaySpec) -> Layout {
        let robot = RobotSpec::from(&Robot::load("go1").unwrap());
        Layout::new(&terms::reach_avoid(rays), &robot, rays).unwrap()
    }

    fn lookahead() -> (Lookahead, Layout) {
        let spec = RaySpec::default();
        let layout = layout_of(&spec);
        (Lookahead::new(&layout, &spec, TIME_S, 0.0).unwrap(), layout)
    }

    fn observe(layout: &Layout, goal: [f32; 2], ray_distance_m: &[f32]) -> Vec<f32> {
        let mut row = vec![0.0; layout.dim()];
        layout.write(
            &ObservationInput {
                state: &RobotState::zero(12, 4),
                foot_contact: &[],
                goal: GoalYaw {
                    x_m: goal[0],
                    y_m: goal[1],
                    heading_error_rad: 0.0,
                },
                time_left_s: 0.0,
                twist: Twist::default(),
                previous_action: &[],
                ray_distance_m,
                previous_ray_distance_m: ray_distance_m,
                reality: &[],
            },
            &mut row,
        );
        row
    }

    #[test]
    fn going_back_lengthens_the_rays_and_turning_moves_them() {
        let (lookahead, layout) = lookahead();
        let mut rays_m = [6.0; 11];
        rays_m[5] = 1.0;
        let before = observe(&layout, [3.0, 1.0], &rays_m);
        let mut after = before.clone();
        lookahead.predict(&before, [-1.0, 0.0, 0.0], &mut after);
        // Half a metre back: the obstacle ahead is 1.5 m away, free rays stay free, the goal is farther.
        let expected = observe(
            &layout,
            [3.5, 1.0],
            &rays_m.map(|m| if m == 1.0 { 1.5 } else { m }),
        );
        assert!(
            after
                .iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );

        // A turn by one ray to the left: the obstacle moves one ray to the right.
        let spacing_rad = 9_f32.to_radians();
        lookahead.predict(&before, [0.0, 0.0, spacing_rad / TIME_S], &mut after);
        let rays = &after[lookahead.rays.clone()];
        assert!((rays[4] - 0.0).abs() < 1e-4 && rays[5] > 2.5, "{rays:?}");
    }

    #[test]
    fn a_twist_is_reached_as_fast_as_the_robot_responds() {
        let spec = RaySpec::default();
        let layout = layout_of(&spec);
        let lookahead = Lookahead::new(&layout, &spec, 0.5, 0.25).unwrap();
        let (present, commanded) = ([2.0, 0.0, -1.0], [0.0, 0.1, 1.0]);
        // After two time constants, and over them on average: exp(-2), and (1 - exp(-2)) / 2.
        let at_last = lookahead.final_twist(present, commanded);
        let mean = lookahead.mean_twist(present, commanded);
        for axis in 0..3 {
            let fading = present[axis] - commanded[axis];
            assert!((at_last[axis] - commanded[axis] - 0.135_335 * fading).abs() < 1e-5);
            assert!((mean[axis] - commanded[axis] - 0.432_332 * fading).abs() < 1e-5);
        }
        let (at_once, _) = self::lookahead();
        assert_eq!(at_once.mean_twist(present, commanded), commanded);
        assert_eq!(at_once.final_twist(present, commanded), commanded);
    }

    #[test]
    fn what_the_rays_saw_before_moves_like_what_they_see() {
        let spec = RaySpec {
            previous_steps: 20,
            ..RaySpec::default()
        };
        let layout = layout_of(&spec);
        let lookahead = Lookahead::new(&layout, &spec, TIME_S, 0.0).unwrap();
        let mut rays_m = [6.0; 11];
        rays_m[4] = 2.0;
        let before = observe(&layout, [3.0, 1.0], &rays_m);
        let mut after = before.clone();
        lookahead.predict(&before, [0.5, 0.2, 0.3], &mut after);
        let previous = layout.range(Quantity::PreviousLogRays).unwrap();
        assert_ne!(after[previous.clone()], before[previous.clone()]);
        assert_eq!(after[previous], after[lookahead.rays.clone()]);
    }

    #[test]
    fn the_derivatives_are_those_of_the_prediction() {
        for previous_steps in [0, 20] {
            check_derivatives(&RaySpec {
                previous_steps,
                ..RaySpec::default()
            });
        }
    }

    fn check_derivatives(spec: &RaySpec) {
        let layout = layout_of(spec);
        let lookahead = Lookahead::new(&layout, spec, TIME_S, 0.2).unwrap();
        let (present, direct) = ([0.3, -0.1, 0.05], [0.5, -0.2, 0.1]);
        let rays_m = [0.9, 0.8, 0.7, 0.75, 0.9, 1.2, 2.0, 2.2, 6.0, 6.0, 6.0];
        let before = observe(&layout, [3.0, -1.0], &rays_m);
        let weight = |index: usize| (1.7 * index as f32).sin();
        let gradient: Vec<f32> = (0..layout.dim()).map(weight).collect();
        let moved = lookahead.goal..layout.dim();
        let sum = |twist: [f32; 3]| -> f32 {
            let mut after = before.clone();
            let mean = lookahead.mean_twist(present, twist);
            lookahead.predict(&before, mean, &mut after);
            let seen = moved.clone().map(|index| gradient[index] * after[index]);
            let reached = lookahead.final_twist(present, twist);
            let moving = reached.iter().zip(direct).map(|(twist, by)| twist * by);
            seen.chain(moving).sum()
        };
        let twist = [-0.4, 0.13, 0.07];
        let mut by_twist = direct;
        let mean = lookahead.mean_twist(present, twist);
        lookahead.pull_back(&before, mean, &gradient, &mut by_twist);
        for axis in 0..3 {
            let at = |delta: f32| {
                let mut twist = twist;
                twist[axis] += delta;
                sum(twist)
            };
            let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
            assert!(
                (by_twist[axis] - difference).abs() < 0.02,
                "{axis}: {by_twist:?}, {difference}"
            );
        }
    }
}
