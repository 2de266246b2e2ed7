//! The search for a safe twist (docs/concepts/reach-avoid.md#twist-search) as one graph: its gradient steps are unrolled, and what depends on data selects
//! by conditions. `controller::TwistSearch` is the same on a robot.

mod lookahead;

use std::ops::Range;

use policies::{Bundle, Layout, Quantity, Twist, observation::ObservationTerm, spec::role};

use lookahead::Lookahead;

use super::{
    ExportError,
    graph::{Graph, Layer, Tensor},
    networks::{OBSERVATION, VALUE, observed},
};

/// Input: where the search begins, [batch, 3].
pub const START_TWIST: &str = "start_twist";
/// Output: what the recovery policy is to follow, [batch, 3].
pub const TWIST: &str = "twist";

/// The graph of the search with the settings of the bundle.
///
/// # Errors
/// When the value does not observe the goal as it is.
pub fn graph(bundle: &Bundle) -> Result<Graph, ExportError> {
    let network = bundle.spec.network(role::REACH_AVOID)?;
    let layout = bundle.spec.layout(role::REACH_AVOID)?;
    let is_plain = |term: &ObservationTerm| {
        let scale = term.scale.unwrap_or(Quantity::GoalPosition.spec().scale);
        term.term == Quantity::GoalPosition && scale == 1.0 && term.clip.is_none()
    };
    let goal = layout.range(Quantity::GoalPosition);
    let goal = goal.filter(|_| network.observations.iter().any(is_plain));
    let goal = goal.ok_or(ExportError::NoGoal)?;

    let mut graph = Graph::default();
    let input = graph.input(OBSERVATION, layout.dim());
    let start = graph.input(START_TWIST, 3);
    let observation = observed(&mut graph, &input, network, &layout);
    let goal = graph.columns(&observation, goal);
    let mut search = Search::new(graph, bundle, &layout, observation, &goal);
    let (twist, value) = search.run(&start);
    search.graph.output(TWIST, &twist, 3);
    search.graph.output(VALUE, &value, 1);
    Ok(search.graph)
}

/// What all steps of a search share.
struct Search {
    graph: Graph,
    dim: usize,
    observation: Tensor,
    /// The twist in the observation, [batch, 3].
    present: Tensor,
    /// v_x and v_y in the observation, and w_z.
    velocity: Range<usize>,
    yaw_rate: Range<usize>,
    layers: Vec<Layer>,
    lookahead: Option<Lookahead>,
    goal: [Tensor; 2],
    steps: usize,
    limit: [Tensor; 2],
    zero: Tensor,
    one: Tensor,
    two: Tensor,
    horizon_s: Tensor,
    half_squared_horizon: Tensor,
    threshold: Tensor,
    aim: Tensor,
    goal_weight: Tensor,
    constraint_weight: Tensor,
    step_size: Tensor,
    smallest_length: Tensor,
}

impl Search {
    fn new(
        mut graph: Graph,
        bundle: &Bundle,
        layout: &Layout,
        observation: Tensor,
        goal: &Tensor,
    ) -> Self {
        let switch = bundle.switch();
        let spec = &switch.search;
        let start = |quantity| layout.range(quantity).map_or(0, |range| range.start);
        let linear = start(Quantity::LinearVelocityBase);
        let angular = start(Quantity::AngularVelocityBase);
        let (velocity, yaw_rate) = (linear..linear + 2, angular + 2..angular + 3);
        let [v, w] = [&velocity, &yaw_rate].map(|range| graph.columns(&observation, range.clone()));
        let present = graph.concat(&[&v, &w]);
        let Twist {
            vx_mps,
            vy_mps,
            yaw_rate_radps,
        } = spec.limit;
        let limit = [vx_mps, vy_mps, yaw_rate_radps];
        let layers = bundle.layers(role::REACH_AVOID);
        let layers = layers.iter().map(|layer| graph.layer(layer)).collect();
        let lookahead = (spec.lookahead_s > 0.0)
            .then(|| Lookahead::new(&mut graph, bundle, layout, &observation))
            .flatten();
        Self {
            dim: layout.dim(),
            present,
            velocity,
            yaw_rate,
            layers,
            lookahead,
            goal: [0, 1].map(|axis| graph.columns(goal, axis..axis + 1)),
            steps: spec.steps,
            limit: [graph.row(&limit.map(|limit| -limit)), graph.row(&limit)],
            zero: graph.scalar(0.0),
            one: graph.scalar(1.0),
            two: graph.scalar(2.0),
            horizon_s: graph.scalar(spec.horizon_s),
            half_squared_horizon: graph.scalar(0.5 * spec.horizon_s * spec.horizon_s),
            threshold: graph.scalar(switch.threshold),
            aim: graph.scalar((switch.threshold - spec.margin).max(-0.999).atanh()),
            goal_weight: graph.scalar(spec.goal_weight),
            constraint_weight: graph.scalar(spec.constraint_weight),
            step_size: graph.scalar(spec.step_size),
            smallest_length: graph.scalar(f32::MIN_POSITIVE),
            observation,
            graph,
        }
    }

    /// The best twist of all steps and its value.
    fn run(&mut self, start: &Tensor) -> (Tensor, Tensor) {
        let [low, high] = self.limit.clone();
        let mut twist = self.graph.clamp(start, &low, &high);
        let mut best: Option<Best> = None;
        for step in 0..=self.steps {
            let (logit, by_twist) = self.logit_and_gradient(&twist);
            let (distance, slope) = self.goal_distance_squared(&twist);
            let value = self.graph.apply("Tanh", &[&logit]);
            let safe = self.graph.apply("Less", &[&value, &self.threshold]);
            let found = Best {
                twist: twist.clone(),
                value,
                safe,
                distance,
            };
            best = Some(match best {
                None => found,
                Some(best) => found.or(best, &mut self.graph),
            });
            if step < self.steps {
                twist = self.descend(&twist, &logit, &by_twist, &slope);
            }
        }
        match best {
            Some(best) => (best.twist, best.value),
            None => (twist.clone(), twist),
        }
    }

    /// One projected gradient step; none where the slope has overflowed.
    fn descend(
        &mut self,
        twist: &Tensor,
        logit: &Tensor,
        by_twist: &Tensor,
        slope: &Tensor,
    ) -> Tensor {
        let graph = &mut self.graph;
        let to_goal = graph.apply("Mul", &[slope, &self.goal_weight]);
        let pushed = graph.apply("Mul", &[by_twist, &self.constraint_weight]);
        let violated = graph.apply("Greater", &[logit, &self.aim]);
        let pushed = graph.apply("Where", &[&violated, &pushed, &self.zero]);
        let slope = graph.apply("Add", &[&to_goal, &pushed]);
        let squares = graph.apply("Mul", &[&slope, &slope]);
        let squared = graph.sum(&squares);
        let norm = graph.apply("Sqrt", &[&squared]);
        let norm = graph.apply("Max", &[&norm, &self.one]);
        let length = graph.apply("Div", &[&self.step_size, &norm]);
        let is_step = graph.apply("GreaterOrEqual", &[&length, &self.smallest_length]);
        let step = graph.apply("Mul", &[&length, &slope]);
        let moved = graph.apply("Sub", &[twist, &step]);
        let moved = graph.clamp(&moved, &self.limit[0], &self.limit[1]);
        graph.apply("Where", &[&is_step, &moved, twist])
    }

    /// The logit of the value where the robot will be with this command, [batch, 1], and its derivatives by the command, [batch, 3].
    fn logit_and_gradient(&mut self, twist: &Tensor) -> (Tensor, Tensor) {
        let mut parts = Vec::new();
        let (mut reached, mut predicted) = (twist.clone(), Vec::new());
        if let Some(lookahead) = &self.lookahead {
            let graph = &mut self.graph;
            reached = lookahead.final_twist(graph, &self.present, twist);
            let mean = lookahead.mean_twist(graph, &self.present, twist);
            predicted = lookahead.predict_scans(graph, &mean);
            let scans = predicted.iter();
            parts.extend(scans.map(|scan| (scan.columns.clone(), scan.after.clone())));
            parts.push(lookahead.predict_goal(graph, &mean));
        }
        parts.push((self.velocity.clone(), self.graph.columns(&reached, 0..2)));
        parts.push((self.yaw_rate.clone(), self.graph.columns(&reached, 2..3)));
        let seen = self.replace(parts);
        let (logit, gradient) = self.value(&seen);
        let graph = &mut self.graph;
        let [v, w] =
            [&self.velocity, &self.yaw_rate].map(|range| graph.columns(&gradient, range.clone()));
        let mut by_twist = graph.concat(&[&v, &w]);
        if let Some(lookahead) = &self.lookahead {
            by_twist = lookahead.pull_back(graph, &predicted, &gradient, &by_twist);
        }
        (logit, by_twist)
    }

    /// The observation with other columns in the place of these.
    fn replace(&mut self, mut parts: Vec<(Range<usize>, Tensor)>) -> Tensor {
        parts.sort_by_key(|(range, _)| range.start);
        let mut whole = Vec::new();
        let mut at = 0;
        for (range, part) in parts {
            if at < range.start {
                whole.push(self.graph.columns(&self.observation, at..range.start));
            }
            at = range.end;
            whole.push(part);
        }
        if at < self.dim {
            whole.push(self.graph.columns(&self.observation, at..self.dim));
        }
        let whole: Vec<_> = whole.iter().collect();
        self.graph.concat(&whole)
    }

    /// The logit of the value, [batch, 1], and its derivatives by the observation, [batch, length].
    fn value(&mut self, observation: &Tensor) -> (Tensor, Tensor) {
        let graph = &mut self.graph;
        let last = self.layers.len() - 1;
        let mut tensor = observation.clone();
        let mut open = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            tensor = graph.linear(&tensor, layer);
            if index < last {
                tensor = graph.apply("Relu", &[&tensor]);
                let positive = graph.apply("Greater", &[&tensor, &self.zero]);
                open.push(graph.indicator(&positive));
            }
        }
        // The same for the whole batch, up to the first ReLU.
        let weight = &self.layers[last].weight;
        let any = graph.apply("Greater", &[&tensor, &self.zero]);
        let mut gradient = graph.apply("Where", &[&any, weight, weight]);
        for (open, layer) in open.iter().zip(&self.layers).rev() {
            let passed = graph.apply("Mul", &[&gradient, open]);
            gradient = graph.apply("MatMul", &[&passed, &layer.weight]);
        }
        (tensor, gradient)
    }

    /// Squared distance to the goal after a short time, to second order, [batch, 1], and its derivatives by the twist, [batch, 3].
    fn goal_distance_squared(&mut self, twist: &Tensor) -> (Tensor, Tensor) {
        let graph = &mut self.graph;
        let (t, half) = (&self.horizon_s, &self.half_squared_horizon);
        let [vx, vy, w] = [0, 1, 2].map(|axis| graph.columns(twist, axis..axis + 1));
        let turned = graph.apply("Mul", &[&w, half]);
        let [vx_t, vy_t] = [&vx, &vy].map(|v| graph.apply("Mul", &[v, t]));
        let [vx_turned, vy_turned] = [&vx, &vy].map(|v| graph.apply("Mul", &[v, &turned]));
        let ahead = graph.apply("Sub", &[&vx_t, &vy_turned]);
        let dx = graph.apply("Sub", &[&ahead, &self.goal[0]]);
        let aside = graph.apply("Add", &[&vy_t, &vx_turned]);
        let dy = graph.apply("Sub", &[&aside, &self.goal[1]]);
        let offset = graph.concat(&[&dx, &dy]);
        let squares = graph.apply("Mul", &[&offset, &offset]);
        let distance = graph.sum(&squares);

        let [dx_t, dy_t] = [&dx, &dy].map(|d| graph.apply("Mul", &[d, t]));
        let [dx_turned, dy_turned] = [&dx, &dy].map(|d| graph.apply("Mul", &[d, &turned]));
        let by_vx = graph.apply("Add", &[&dx_t, &dy_turned]);
        let by_vy = graph.apply("Sub", &[&dy_t, &dx_turned]);
        let [dy_vx, dx_vy] = [(&dy, &vx), (&dx, &vy)].map(|(d, v)| graph.apply("Mul", &[d, v]));
        let by_w = graph.apply("Sub", &[&dy_vx, &dx_vy]);
        let by_w = graph.apply("Mul", &[&by_w, half]);
        let slope = graph.concat(&[&by_vx, &by_vy, &by_w]);
        (distance, graph.apply("Mul", &[&slope, &self.two]))
    }
}

/// The best twist so far: the nearest to the goal of those that are safe, else the one of the lowest value.
struct Best {
    twist: Tensor,
    value: Tensor,
    safe: Tensor,
    distance: Tensor,
}

impl Best {
    /// This one where it is better than `best`.
    fn or(self, best: Self, graph: &mut Graph) -> Self {
        let nearer = graph.apply("Less", &[&self.distance, &best.distance]);
        let lower = graph.apply("Less", &[&self.value, &best.value]);
        let first_safe = graph.apply("Not", &[&best.safe]);
        let preferred = graph.apply("Or", &[&first_safe, &nearer]);
        let none_safe = graph.apply("Or", &[&self.safe, &best.safe]);
        let none_safe = graph.apply("Not", &[&none_safe]);
        let safer = graph.apply("And", &[&self.safe, &preferred]);
        let lower = graph.apply("And", &[&none_safe, &lower]);
        let better = graph.apply("Or", &[&safer, &lower]);
        Self {
            twist: graph.apply("Where", &[&better, &self.twist, &best.twist]),
            value: graph.apply("Where", &[&better, &self.value, &best.value]),
            safe: graph.apply("Or", &[&self.safe, &best.safe]),
            distance: graph.apply("Where", &[&better, &self.distance, &best.distance]),
        }
    }
}
