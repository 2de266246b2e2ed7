//! What the switch between the agile and the recovery policy needs besides the reach-avoid value.

use serde::{Deserialize, Serialize};

use super::SpecError;
use crate::command::Twist;

/// Most gradient steps that a search may be asked for.
const MAX_SEARCH_STEPS: usize = 100;

/// Declares settings that a bundle holds, and the same settings each of which a configuration may replace.
macro_rules! overridable {
    ($(#[$meta:meta])* $name:ident, $overrides:ident {
        $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr,)*
        $([$($section_doc:meta)*] $section:ident: $section_type:ty, $section_overrides:ty,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
            $($(#[$section_doc])* pub $section: $section_type,)?
        }

        #[doc = concat!("What replaces the bundle's [`", stringify!($name), "`]; nothing where not given.")]
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $overrides {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
            $($(#[$section_doc])* pub $section: $section_overrides,)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* $($section: Default::default(),)? }
            }
        }

        impl $overrides {
            /// What the bundle says, with what is given here in its place.
            #[must_use]
            pub fn over(&self, bundled: &$name) -> $name {
                $name {
                    $($field: self.$field.unwrap_or(bundled.$field),)*
                    $($section: self.$section.over(&bundled.$section),)?
                }
            }
        }
    };
}

overridable! {
    /// When the recovery policy takes over, and on which twist.
    SwitchSpec, SwitchOverrides {
        /// The agile policy acts while the reach-avoid value is below this, in (-1, 1).
        threshold: f32 = -0.05,
        /// The recovery policy hands back once the value is this far below the threshold.
        hysteresis: f32 = 0.0,
        /// The recovery policy acts only on a twist that lowers the value by this, in [-2, 2): where none does, braking is no safer than
        /// running on. -2 takes any (the paper's).
        min_improvement: f32 = 0.1,
        [doc = "Search for the twist that the recovery policy tracks."]
        search: TwistSearchSpec, TwistSearchOverrides,
    }
}

overridable! {
    /// The search for a safe twist.
    TwistSearchSpec, TwistSearchOverrides {
        /// Gradient steps.
        steps: usize = 10,
        /// Length of a step, in units of the gradient that is clipped to length 1.
        step_size: f32 = 0.5,
        /// The search aims at a value this far below the threshold.
        margin: f32 = 0.2,
        /// Weight of the constraint against the squared distance to the goal.
        constraint_weight: f32 = 10.0,
        /// Weight of the squared distance to the goal.
        goal_weight: f32 = 0.02,
        /// Time after which the distance to the goal is taken, s.
        horizon_s: f32 = 0.05,
        /// Largest commanded twist, in both directions. The paper allows +/-(1.5, 0.3, 3); braking with little turning collides less,
        /// because the legs of a robot that turns reach out sideways.
        limit: Twist = Twist { vx_mps: 0.15, vy_mps: 0.3, yaw_rate_radps: 0.75 },
        /// The value is that of where the robot will be after this time at the twist, s; 0 takes it where the robot is (the paper's). Near
        /// an obstacle no twist makes the place itself safe, only those that lead away from it.
        lookahead_s: f32 = 0.3,
        /// Time constant with which the robot approaches a commanded twist, s; 0 takes the twist for reached at once.
        response_s: f32 = 0.4,
    }
}

impl SwitchSpec {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that is out of range, named from `switch`.
    pub fn validate(&self) -> Result<(), SpecError> {
        let check = |name: &str, value: f32, ok: bool, right| match ok {
            true => Ok(()),
            false => Err(SpecError::Value {
                what: format!("switch.{name}"),
                value,
                right,
            }),
        };
        // NaN is in no range.
        let threshold = self.threshold;
        let ok = threshold > -1.0 && threshold < 1.0;
        check("threshold", threshold, ok, "between -1 and 1, like the value")?;
        let ok = (0.0..1.0).contains(&self.hysteresis);
        check("hysteresis", self.hysteresis, ok, "0 or more and below 1")?;
        let ok = (-2.0..2.0).contains(&self.min_improvement);
        check("min_improvement", self.min_improvement, ok, "-2 or more and below 2")?;
        let search = &self.search;
        let ok = (1..=MAX_SEARCH_STEPS).contains(&search.steps);
        check("search.steps", search.steps as f32, ok, "1 to 100")?;
        for (name, value) in [
            ("search.step_size", search.step_size),
            ("search.horizon_s", search.horizon_s),
            ("search.constraint_weight", search.constraint_weight),
            ("search.limit.vx_mps", search.limit.vx_mps),
            ("search.limit.vy_mps", search.limit.vy_mps),
            ("search.limit.yaw_rate_radps", search.limit.yaw_rate_radps),
        ] {
            check(name, value, value > 0.0 && value.is_finite(), "positive and finite")?;
        }
        for (name, value) in [
            ("search.margin", search.margin),
            ("search.goal_weight", search.goal_weight),
            ("search.lookahead_s", search.lookahead_s),
            ("search.response_s", search.response_s),
        ] {
            check(name, value, value >= 0.0 && value.is_finite(), "0 or more and finite")?;
        }
        Ok(())
    }
}
