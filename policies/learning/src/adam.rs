//! Adam on flat float32 vectors, whose moments a checkpoint can hold.

use serde::{Deserialize, Serialize};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Moments of the gradient (Kingma and Ba, 2015).
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Adam {
    /// Steps taken.
    pub steps: u64,
    /// Running mean of the gradient.
    pub first_moment: Vec<f32>,
    /// Running mean of its square.
    pub second_moment: Vec<f32>,
}

impl Adam {
    /// For `len` parameters.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self {
            steps: 0,
            first_moment: vec![0.0; len],
            second_moment: vec![0.0; len],
        }
    }

    /// Begins a step; `apply` then covers the parameters piece by piece.
    pub fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// Moves `parameters`, which begin at `offset` of the whole, against `gradient * scale`.
    pub fn apply(
        &mut self,
        offset: usize,
        parameters: &mut [f32],
        gradient: &[f32],
        scale: f32,
        learning_rate: f32,
    ) {
        let steps = self.steps as f64;
        let correction1 = (1.0 - f64::from(BETA1).powf(steps)) as f32;
        let correction2 = (1.0 - f64::from(BETA2).powf(steps)).sqrt() as f32;
        let step = learning_rate / correction1;
        let range = offset..offset + parameters.len();
        let first = &mut self.first_moment[range.clone()];
        let second = &mut self.second_moment[range];
        for (((parameter, gradient), m), v) in
            parameters.iter_mut().zip(gradient).zip(first).zip(second)
        {
            let gradient = gradient * scale;
            *m = BETA1 * *m + (1.0 - BETA1) * gradient;
            *v = BETA2 * *v + (1.0 - BETA2) * gradient * gradient;
            *parameter -= step * *m / (v.sqrt() / correction2 + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps by hand. Step 1: m/c1 = g and v/c2 = g^2, so the step is the learning rate against the sign of g.
    /// Step 2 with gradient 1 after 2: m = 0.9*0.2 + 0.1 = 0.28, c1 = 0.19; v = 0.999*0.004 + 0.001 = 0.004996, c2 = 0.001999.
    #[test]
    fn two_steps_match_a_hand_computation() {
        let mut adam = Adam::new(2);
        let mut parameters = [1.0_f32, 1.0];
        adam.begin_step();
        adam.apply(0, &mut parameters, &[2.0, -4.0], 1.0, 0.1);
        assert!(
            (parameters[0] - 0.9).abs() < 1e-6 && (parameters[1] - 1.1).abs() < 1e-6,
            "{parameters:?}"
        );
        adam.begin_step();
        adam.apply(0, &mut parameters[..1], &[0.5], 2.0, 0.1);
        let expected = 0.9 - 0.1 * (0.28 / 0.19) / (0.004996_f64 / 0.001999).sqrt();
        assert!(
            (f64::from(parameters[0]) - expected).abs() < 1e-6,
            "{parameters:?} {expected}"
        );
    }
}
