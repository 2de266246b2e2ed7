//! Gait measures and the paper's collision rule, in words.

use sim::eval::{EvalReport, GaitReport};

/// Names and units of the columns of [`gait_cells`].
pub const GAIT_COLUMNS: [&str; 8] = [
    "touchdown, down, p95 m/s",
    "slip m/s",
    "clearance p5 mm",
    "reversals %",
    "targets, knee targets beyond limits %",
    "torque, speed at limit %",
    "power W",
    "cost of transport",
];
/// Names of the columns of [`paper_rule_cells`].
pub const PAPER_RULE_COLUMNS: [&str; 3] = [
    "reach, paper's rule %",
    "collision, paper's rule %",
    "timeout, paper's rule %",
];

/// The cells of a row of gait measures.
pub fn gait_cells(gait: &GaitReport) -> [String; 8] {
    let number = |value: Option<f64>, factor: f64, digits: usize| match value {
        Some(value) => format!("{:.digits$}", factor * value),
        None => "-".to_owned(),
    };
    let percent = |fraction: f64| format!("{:.1}", 100.0 * fraction);
    let pair = |first: String, second: String| format!("{first}, {second}");
    [
        [
            gait.touchdown_speed_mps,
            gait.touchdown_vertical_mps,
            gait.touchdown_speed_p95_mps,
        ]
        .map(|mps| number(mps, 1.0, 2))
        .join(", "),
        number(gait.slip_mps, 1.0, 2),
        number(gait.swing_clearance_p5_m, 1e3, 1),
        percent(gait.target_reversal_fraction),
        pair(
            percent(gait.target_beyond_limit_fraction),
            percent(gait.knee_target_beyond_limit_fraction),
        ),
        pair(
            percent(gait.effort_limit_fraction),
            percent(gait.velocity_limit_fraction),
        ),
        format!("{:.0}", gait.mechanical_power_w),
        format!("{:.2}", gait.cost_of_transport),
    ]
}

/// The cells of a row of rates by the paper's collision rule, where they are known.
pub fn paper_rule_cells(report: &EvalReport) -> Option<[String; 3]> {
    let rule = report.paper_rule.as_ref()?;
    let rate = |rate: f64, [low, high]: [f64; 2]| {
        let [rate, low, high] = [rate, low, high].map(|share| 100.0 * share);
        format!("{rate:.1} [{low:.1}, {high:.1}]")
    };
    Some([
        rate(rule.reach_rate, rule.reach_ci95),
        rate(rule.collision_rate, rule.collision_ci95),
        rate(rule.time_out_rate, rule.time_out_ci95),
    ])
}

/// Both as rows of named evaluations, under a row of titles; nothing where no evaluation has either.
pub fn rows<'a>(reports: impl IntoIterator<Item = (&'a str, &'a EvalReport)>) -> Vec<Vec<String>> {
    let titles = [""].into_iter().chain(PAPER_RULE_COLUMNS);
    let titles = titles.chain(GAIT_COLUMNS).map(str::to_owned).collect();
    let mut rows = vec![titles];
    for (name, report) in reports {
        let (rule, gait) = (paper_rule_cells(report), report.gait.as_ref());
        if rule.is_none() && gait.is_none() {
            continue;
        }
        let none = || "-".to_owned();
        let rule = rule.unwrap_or_else(|| std::array::from_fn(|_| none()));
        let gait = gait.map_or_else(|| std::array::from_fn(|_| none()), gait_cells);
        let name = [name.to_owned()].into_iter();
        rows.push(name.chain(rule).chain(gait).collect());
    }
    if rows.len() == 1 {
        rows.clear();
    }
    rows
}

/// Rows as a Markdown table, the first with the titles.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, cells) in rows.iter().enumerate() {
        text += &format!("| {} |\n", cells.join(" | "));
        if index == 0 {
            text += &format!("|{}\n", "---|".repeat(cells.len()));
        }
    }
    text
}
