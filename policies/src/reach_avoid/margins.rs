//! Margins and targets of the reach-avoid value, for one recorded episode at a time (paper, section IV-B).
//!
//! With the target margin l (<= 0: reached) and the failure margin zeta (> 0: failed) of every step, the value obeys
//! V(s) = gamma max(zeta, min(l, V(s'))) + (1 - gamma) max(l, zeta).

/// Steps before a collision whose failure margin rises gradually from -1 to 1.
pub const SOFTENED_STEPS: usize = 10;

/// tanh log(d / 0.5): not positive within 0.5 m of the goal.
pub fn target_margin(goal_distance_m: f32) -> f32 {
    let ratio = (goal_distance_m / 0.5).max(1e-6);
    ratio.ln().tanh()
}

/// Failure margins of an episode of `steps` steps, the last of which is in collision if `collided`.
/// With `softened`, the last ten steps before and at the collision are relabelled -0.8, -0.6, ..., 1.0 in hindsight.
pub fn failure_margins(steps: usize, collided: bool, softened: bool) -> Vec<f32> {
    let mut margins = vec![-1.0; steps];
    if collided && steps > 0 {
        let count = if softened {
            SOFTENED_STEPS.min(steps)
        } else {
            1
        };
        for (back, margin) in margins.iter_mut().rev().take(count).enumerate() {
            *margin = 1.0 - 2.0 * back as f32 / SOFTENED_STEPS as f32;
        }
    }
    margins
}

/// The right-hand side of the value's equation.
pub fn target(gamma: f32, target_margin: f32, failure_margin: f32, next_value: f32) -> f32 {
    let now = target_margin.max(failure_margin);
    gamma * failure_margin.max(target_margin.min(next_value)) + (1.0 - gamma) * now
}

/// Targets of a whole episode from its own course: the equation solved backwards from V = 1 behind the last step.
pub fn course_targets(gamma: f32, target_margins: &[f32], failure_margins: &[f32]) -> Vec<f32> {
    let mut targets = vec![0.0; target_margins.len()];
    let mut next_value = 1.0;
    for (step, out) in targets.iter_mut().enumerate().rev() {
        next_value = target(
            gamma,
            target_margins[step],
            failure_margins[step],
            next_value,
        );
        *out = next_value;
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_by_hand() {
        assert_eq!(target_margin(0.5), 0.0);
        assert!((target_margin(0.5 * std::f32::consts::E) - 1f32.tanh()).abs() < 1e-6);
        assert!(target_margin(0.0) < -0.99 && target_margin(6.0) > 0.9);
        assert_eq!(failure_margins(3, false, true), [-1.0; 3]);
        let hard = failure_margins(12, true, false);
        assert_eq!((hard[10], hard[11]), (-1.0, 1.0));
        let soft = failure_margins(12, true, true);
        let expected = [
            -1.0, -1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0,
        ];
        for (margin, expected) in soft.iter().zip(expected) {
            assert!((margin - expected).abs() < 1e-6, "{soft:?}");
        }
        assert_eq!(failure_margins(2, true, true).len(), 2);
    }

    #[test]
    fn the_value_is_the_best_reached_before_the_worst_failure() {
        let close = |actual: Vec<f32>, expected: &[f32]| {
            assert_eq!(actual.len(), expected.len());
            for (a, e) in actual.iter().zip(expected) {
                assert!((a - e).abs() < 1e-6, "{actual:?}");
            }
        };
        // Reached at step 2, left afterwards, never failed: all steps up to the best are good.
        let (far, good) = (0.9, -0.7);
        close(
            course_targets(1.0, &[far, far, good, far], &[-1.0; 4]),
            &[good, good, good, far],
        );
        // A collision after reaching does not undo what came before the best step, but a collision on the way does.
        close(
            course_targets(1.0, &[far, far, far], &[-1.0, 1.0, -1.0]),
            &[far, 1.0, far],
        );
        close(
            course_targets(1.0, &[far, good, far], &[1.0, -1.0, -1.0]),
            &[1.0, good, far],
        );
        // Discounted towards max(l, zeta).
        let discounted = course_targets(0.9, &[0.5], &[-1.0]);
        close(discounted, &[0.9 * 0.5 + 0.1 * 0.5]);
        close(
            course_targets(0.9, &[good, far], &[-1.0, 1.0]),
            &[good, 1.0],
        );
    }
}
