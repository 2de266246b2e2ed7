//! Gains and motors for a robot of this size, where the file has none.

use super::{bodies::Bodies, legs::Chain, report::Report};

/// Gravity, m/s².
const GRAVITY: f64 = 9.81;
/// Stiffness times 1 rad, as a part of weight times leg length. That of go1 is 0.6, at which some robots sag in MuJoCo, where
/// feet at rest creep, until a calf meets the ground.
const STIFFNESS: f64 = 0.8;
/// Damping over stiffness of go1, s; it grows as the time in which a leg of this length swings.
const DAMPING_S: f64 = 0.0217;
const GO1_LEG_M: f64 = 0.426;
/// Effort limit as a part of weight times leg length, that of go1's knee.
const EFFORT: f64 = 0.7;
const VELOCITY_RADPS: f64 = 20.0;
/// Of a motor per N·m of its effort limit, as go1 and go2 have: kg·m², N·m·s/rad, and N·m.
const ARMATURE: f64 = 3e-4;
const DAMPING: f64 = 3e-3;
const FRICTION: f64 = 8e-3;
/// The largest limits that a robot is loaded with.
const MOST_EFFORT_NM: f64 = 1000.0;
const MOST_VELOCITY_RADPS: f64 = 200.0;

/// What takes the place of limits that the file does not have.
#[derive(Clone, Debug, Default)]
pub struct MotorOptions {
    /// Effort limit of every joint without one, N·m.
    pub effort_limit_nm: Option<f64>,
    /// Velocity limit of every joint without one, rad/s.
    pub velocity_limit_radps: Option<f64>,
}

/// Of `[control]`, the same for all joints.
pub(super) struct Gains {
    pub stiffness: f64,
    pub damping: f64,
    pub action_scale: f64,
}

/// Numbers of `[motor]`, one per joint of a leg.
pub(super) struct Motors {
    pub armature_kgm2: Vec<f64>,
    pub damping_nms: Vec<f64>,
    pub friction_nm: Vec<f64>,
    /// Whether the file had armature, damping or friction.
    pub is_from_file: [bool; 3],
}

/// Limits of one joint.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub effort_nm: f64,
    pub velocity_radps: f64,
    /// Whether one of them is not from the file.
    pub is_guessed: bool,
}

/// Effort and velocity limit of a joint.
pub(super) fn limits(
    joint: &super::source::SourceJoint,
    mass_kg: f64,
    leg_length_m: f64,
    options: &MotorOptions,
    report: &mut Report,
) -> Limits {
    let round = |value: f64| two_digits(value);
    let mut is_guessed = false;
    let mut limit =
        |own: f64, most: f64, chosen: Option<f64>, usual: f64, what: &str, flag: &str| {
            if own > 0.0 && own <= most {
                return own;
            }
            is_guessed = true;
            let value = chosen.unwrap_or(usual).min(most);
            let why = if own > most {
                "limits nothing"
            } else {
                "is missing"
            };
            let source = if chosen.is_some() {
                "as asked for".to_owned()
            } else {
                format!("{flag} sets it")
            };
            report.guessed(format!(
                "joint `{}`: {what} limit {own} {why}; {value} instead, {source}",
                joint.name
            ));
            value
        };
    let usual = round(EFFORT * mass_kg * GRAVITY * leg_length_m);
    Limits {
        effort_nm: limit(
            joint.effort_limit_nm,
            MOST_EFFORT_NM,
            options.effort_limit_nm,
            usual,
            "effort",
            "--effort-limit-nm",
        ),
        velocity_radps: limit(
            joint.velocity_limit_radps,
            MOST_VELOCITY_RADPS,
            options.velocity_limit_radps,
            VELOCITY_RADPS,
            "velocity",
            "--velocity-limit-radps",
        ),
        is_guessed,
    }
}

/// Those of a robot of this size.
pub(super) fn gains(mass_kg: f64, leg_length_m: f64, report: &mut Report) -> Gains {
    let stiffness = two_digits(STIFFNESS * mass_kg * GRAVITY * leg_length_m).clamp(1.0, 1000.0);
    let damping = two_digits(stiffness * DAMPING_S * (leg_length_m / GO1_LEG_M).sqrt()).min(100.0);
    report.guessed(format!(
        "gains: stiffness {stiffness} N·m/rad and damping {damping} N·m·s/rad, of {mass_kg:.1} kg on legs of {leg_length_m:.3} m"
    ));
    Gains {
        stiffness,
        damping,
        action_scale: 0.25,
    }
}

/// Motors; `limits` are those of every joint, leg by leg.
pub(super) fn motors(
    bodies: &Bodies<'_>,
    legs: &[Chain],
    mass_kg: f64,
    leg_length_m: f64,
    limits: &[Limits],
    report: &mut Report,
) -> Motors {
    let joints_per_leg = legs.first().map_or(0, |leg| leg.bodies.len());
    let weakest = limits
        .iter()
        .map(|l| l.effort_nm)
        .fold(f64::INFINITY, f64::min);
    let need = 0.3 * mass_kg * GRAVITY * leg_length_m / 2.0;
    if weakest < need / 2.0 {
        report.found(format!(
            "the weakest joint has {weakest} N·m, and standing on two legs takes about {need:.1}"
        ));
    }
    let effort = |joint: usize| {
        let own = limits.iter().skip(joint).step_by(joints_per_leg.max(1));
        own.map(|l| l.effort_nm).fold(0.0, f64::max)
    };
    let joint_of = |leg: &Chain, joint: usize| {
        let body = leg.bodies.get(joint)?;
        bodies.all[*body].hinge.as_ref().map(|hinge| hinge.joint)
    };
    let largest = |value: &dyn Fn(&super::source::SourceJoint) -> f64, joint: usize| {
        legs.iter()
            .filter_map(|leg| joint_of(leg, joint))
            .map(value)
            .fold(0.0, f64::max)
    };
    let vector = |value: &dyn Fn(&super::source::SourceJoint) -> f64, per_effort: f64| {
        let from_file: Vec<f64> = (0..joints_per_leg)
            .map(|joint| largest(value, joint))
            .collect();
        if from_file.iter().any(|v| *v > 0.0) {
            (from_file, true)
        } else {
            (
                (0..joints_per_leg)
                    .map(|joint| two_digits(per_effort * effort(joint)))
                    .collect(),
                false,
            )
        }
    };
    let (armature_kgm2, has_armature) = vector(&|joint| joint.armature_kgm2.min(10.0), ARMATURE);
    let (damping_nms, has_damping) = vector(&|joint| joint.damping_nms.min(100.0), DAMPING);
    let (friction_nm, has_friction) = vector(&|joint| joint.friction_nm.min(100.0), FRICTION);
    for (what, has) in [
        ("armature", has_armature),
        ("damping", has_damping),
        ("friction", has_friction),
    ] {
        if !has {
            report.guessed(format!(
                "{what} of the motors: in proportion to their effort limits, as those of go1"
            ));
        }
    }
    Motors {
        armature_kgm2,
        damping_nms,
        friction_nm,
        is_from_file: [has_armature, has_damping, has_friction],
    }
}

/// A guess has no more.
fn two_digits(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let unit = 10f64.powf(value.log10().floor() - 1.0);
    let rounded = (value / unit).round() * unit;
    // Without the last bits of the product.
    format!("{rounded:.6}").parse().unwrap_or(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_have_two_digits() {
        assert_eq!(
            [29.97, 0.6512, 123.4, 0.00708].map(two_digits),
            [30.0, 0.65, 120.0, 0.0071]
        );
    }
}
