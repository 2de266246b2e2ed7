//! What the value will see after the robot has followed a twist for a while; `controller::TwistSearch` predicts it likewise.

use std::{f32::consts::LN_2, ops::Range};

use controller::present_fractions;
use policies::{Bundle, Layout, Quantity};

use crate::export::graph::{Graph, Tensor};

/// What a value that is taken where the robot will be depends on.
pub struct Lookahead {
    zero: Tensor,
    one: Tensor,
    two: Tensor,
    time_s: Tensor,
    mean_fraction: Tensor,
    final_fraction: Tensor,
    by_mean: Tensor,
    by_final: Tensor,
    /// Columns of the scans in the observation, and their elements.
    scans: Vec<(Range<usize>, Tensor)>,
    goal: Range<usize>,
    /// As observed.
    goal_x: Tensor,
    goal_y: Tensor,
    /// Numbers of the rays, and their unit vectors, [1, rays].
    places: Tensor,
    ahead: Tensor,
    aside: Tensor,
    spacing_rad: Tensor,
    last: Tensor,
    min_m: Tensor,
    max_m: Tensor,
    free_m: Tensor,
    ln_2: Tensor,
}

/// The rays of a scan as they will be, and what their derivatives need.
pub struct Predicted {
    /// Where it stands in the observation.
    pub columns: Range<usize>,
    pub after: Tensor,
    distance_m: Tensor,
    seen_m: Tensor,
    /// log2 of the distance per spacing of the rays.
    slope: Tensor,
    /// 1 where the ray depends on the twist, else 0.
    moves: Tensor,
}

impl Lookahead {
    /// None where the value observes no rays.
    pub fn new(
        graph: &mut Graph,
        bundle: &Bundle,
        layout: &Layout,
        observation: &Tensor,
    ) -> Option<Self> {
        let (rays, spec) = (&bundle.spec.rays, bundle.switch().search);
        let goal = layout.range(Quantity::GoalPosition)?;
        let now = layout.range(Quantity::LogRays)?;
        let previous = layout.range(Quantity::PreviousLogRays);
        let scans = std::iter::once(now).chain(previous);
        let [mean, last] = present_fractions(spec.lookahead_s, spec.response_s);
        let places: Vec<f32> = (0..rays.count).map(|index| index as f32).collect();
        let [ahead, aside] =
            [0, 1].map(|axis| rays.directions().map(|d| d[axis]).collect::<Vec<f32>>());
        let [goal_x, goal_y] =
            [0, 1].map(|axis| graph.columns(observation, goal.start + axis..goal.start + axis + 1));
        Some(Self {
            zero: graph.scalar(0.0),
            one: graph.scalar(1.0),
            two: graph.scalar(2.0),
            time_s: graph.scalar(spec.lookahead_s),
            mean_fraction: graph.scalar(mean),
            final_fraction: graph.scalar(last),
            by_mean: graph.scalar(1.0 - mean),
            by_final: graph.scalar(1.0 - last),
            scans: scans
                .map(|range| (range.clone(), graph.columns(observation, range)))
                .collect(),
            goal_x,
            goal_y,
            goal,
            places: graph.row(&places),
            ahead: graph.row(&ahead),
            aside: graph.row(&aside),
            spacing_rad: graph.scalar(rays.angle_rad(1) - rays.angle_rad(0)),
            last: graph.scalar((rays.count - 1) as f32),
            min_m: graph.scalar(rays.min_m),
            max_m: graph.scalar(rays.max_m),
            free_m: graph.scalar(0.99 * rays.max_m),
            ln_2: graph.scalar(LN_2),
        })
    }

    /// The mean twist until then of a robot that comes from `present` to `commanded`, by axis.
    pub fn mean_twist(
        &self,
        graph: &mut Graph,
        present: &Tensor,
        commanded: &Tensor,
    ) -> [Tensor; 3] {
        let mean = mixed(graph, present, commanded, &self.mean_fraction);
        [0, 1, 2].map(|axis| graph.columns(&mean, axis..axis + 1))
    }

    /// Its twist then, [batch, 3].
    pub fn final_twist(&self, graph: &mut Graph, present: &Tensor, commanded: &Tensor) -> Tensor {
        mixed(graph, present, commanded, &self.final_fraction)
    }

    /// The scans after a mean twist.
    pub fn predict_scans(&self, graph: &mut Graph, mean: &[Tensor; 3]) -> Vec<Predicted> {
        let predict = |(columns, before): &(Range<usize>, Tensor)| {
            self.predict(graph, columns.clone(), before, mean)
        };
        self.scans.iter().map(predict).collect()
    }

    /// A scan after a mean twist: the robot that has turned looks between the rays of `before`.
    fn predict(
        &self,
        graph: &mut Graph,
        columns: Range<usize>,
        before: &Tensor,
        [vx, vy, w]: &[Tensor; 3],
    ) -> Predicted {
        let (zero, one, two) = (&self.zero, &self.one, &self.two);
        let turned_rad = graph.apply("Mul", &[w, &self.time_s]);
        let turn = graph.apply("Div", &[&turned_rad, &self.spacing_rad]);
        let place = graph.apply("Add", &[&self.places, &turn]);
        let within = graph.clamp(&place, zero, &self.last);
        let left = graph.apply("Floor", &[&within]);
        let fraction = graph.apply("Sub", &[&within, &left]);
        let right = graph.apply("Add", &[&left, one]);
        let right = graph.apply("Min", &[&right, &self.last]);
        let [on_left, on_right] = [&left, &right].map(|places| graph.elements(before, places));
        let slope = graph.apply("Sub", &[&on_right, &on_left]);
        let rise = graph.apply("Mul", &[&slope, &fraction]);
        let log2_m = graph.apply("Add", &[&on_left, &rise]);
        let seen_m = graph.apply("Pow", &[two, &log2_m]);
        // Right of the last ray, right and left are the same and the slope is zero anyway.
        let between = graph.apply("Greater", &[&place, zero]);
        let slope = graph.apply("Where", &[&between, &slope, zero]);

        let along = graph.apply("Mul", &[vx, &self.ahead]);
        let across = graph.apply("Mul", &[vy, &self.aside]);
        let speed = graph.apply("Add", &[&along, &across]);
        let nearer_m = graph.apply("Mul", &[&speed, &self.time_s]);
        let hit = graph.apply("Less", &[&seen_m, &self.free_m]);
        let moved_m = graph.apply("Sub", &[&seen_m, &nearer_m]);
        let distance_m = graph.apply("Where", &[&hit, &moved_m, &self.max_m]);
        let above = graph.apply("Greater", &[&distance_m, &self.min_m]);
        let below = graph.apply("Less", &[&distance_m, &self.max_m]);
        let moves = graph.apply("And", &[&above, &below]);
        let distance_m = graph.clamp(&distance_m, &self.min_m, &self.max_m);
        let log = graph.apply("Log", &[&distance_m]);
        Predicted {
            columns,
            after: graph.apply("Div", &[&log, &self.ln_2]),
            moves: graph.indicator(&moves),
            distance_m,
            seen_m,
            slope,
        }
    }

    /// The goal after a mean twist, [batch, 2], and where it stands in the observation.
    pub fn predict_goal(
        &self,
        graph: &mut Graph,
        [vx, vy, w]: &[Tensor; 3],
    ) -> (Range<usize>, Tensor) {
        let turned_y = graph.apply("Mul", &[w, &self.goal_y]);
        let turned_x = graph.apply("Mul", &[w, &self.goal_x]);
        let x_mps = graph.apply("Sub", &[vx, &turned_y]);
        let y_mps = graph.apply("Add", &[vy, &turned_x]);
        let moved = [(&self.goal_x, &x_mps), (&self.goal_y, &y_mps)].map(|(at, speed)| {
            let by = graph.apply("Mul", &[&self.time_s, speed]);
            graph.apply("Sub", &[at, &by])
        });
        (self.goal.clone(), graph.concat(&[&moved[0], &moved[1]]))
    }

    /// Makes of the derivatives by the final twist those by the commanded one, [batch, 3], with what comes through rays and goal;
    /// `gradient` is by the predicted observation.
    pub fn pull_back(
        &self,
        graph: &mut Graph,
        predicted: &[Predicted],
        gradient: &Tensor,
        by_final: &Tensor,
    ) -> Tensor {
        let [gx, gy] = [0, 1].map(|axis| {
            graph.columns(gradient, self.goal.start + axis..self.goal.start + axis + 1)
        });
        let (gx_y, gy_x) = (
            graph.apply("Mul", &[&gx, &self.goal_y]),
            graph.apply("Mul", &[&gy, &self.goal_x]),
        );
        let mut by_vx = graph.apply("Neg", &[&gx]);
        let mut by_vy = graph.apply("Neg", &[&gy]);
        let mut by_w = graph.apply("Sub", &[&gx_y, &gy_x]);
        for scan in predicted {
            let by_log2 = graph.columns(gradient, scan.columns.clone());
            let by_log2 = graph.apply("Mul", &[&by_log2, &scan.moves]);
            let relative = graph.apply("Div", &[&by_log2, &scan.distance_m]);
            let per_m = graph.apply("Div", &[&relative, &self.ln_2]);
            for (by_velocity, direction) in [(&mut by_vx, &self.ahead), (&mut by_vy, &self.aside)] {
                let nearer = graph.apply("Mul", &[&per_m, direction]);
                let sum = graph.sum(&nearer);
                *by_velocity = graph.apply("Sub", &[by_velocity, &sum]);
            }
            let turned = graph.apply("Mul", &[&relative, &scan.seen_m]);
            let turned = graph.apply("Mul", &[&turned, &scan.slope]);
            let turned = graph.apply("Div", &[&turned, &self.spacing_rad]);
            let sum = graph.sum(&turned);
            by_w = graph.apply("Add", &[&by_w, &sum]);
        }
        let by_mean = graph.concat(&[&by_vx, &by_vy, &by_w]);
        let by_mean = graph.apply("Mul", &[&by_mean, &self.time_s]);
        let through_final = graph.apply("Mul", &[by_final, &self.by_final]);
        let through_mean = graph.apply("Mul", &[&by_mean, &self.by_mean]);
        graph.apply("Add", &[&through_final, &through_mean])
    }
}

/// `commanded` with this fraction of the way back to `present`.
fn mixed(graph: &mut Graph, present: &Tensor, commanded: &Tensor, fraction: &Tensor) -> Tensor {
    let way = graph.apply("Sub", &[present, commanded]);
    let part = graph.apply("Mul", &[&way, fraction]);
    graph.apply("Add", &[commanded, &part])
}
