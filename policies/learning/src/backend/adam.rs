//! Adam (Kingma and Ba, 2015) on flat float32 vectors, whose moments a checkpoint can hold.

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Moves `parameters` against `gradient * scale`, in the optimizer's step number `steps`, from 1. `moments` are the running means of the gradient and of
/// its square.
pub(crate) fn adam_step(
    steps: u64,
    learning_rate: f32,
    parameters: &mut [f32],
    gradient: &[f32],
    scale: f32,
    moments: [&mut [f32]; 2],
) {
    let steps = steps as f64;
    let correction1 = (1.0 - f64::from(BETA1).powf(steps)) as f32;
    let correction2 = (1.0 - f64::from(BETA2).powf(steps)).sqrt() as f32;
    let step = learning_rate / correction1;
    let [first, second] = moments;
    for (((parameter, gradient), m), v) in
        parameters.iter_mut().zip(gradient).zip(first).zip(second)
    {
        let gradient = gradient * scale;
        *m = BETA1 * *m + (1.0 - BETA1) * gradient;
        *v = BETA2 * *v + (1.0 - BETA2) * gradient * gradient;
        *parameter -= step * *m / (v.sqrt() / correction2 + EPSILON);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps by hand. Step 1: m/c1 = g and v/c2 = g^2, so the step is the learning rate against the sign of g.
    /// Step 2 with gradient 1 after 2: m = 0.9*0.2 + 0.1 = 0.28, c1 = 0.19; v = 0.999*0.004 + 0.001 = 0.004996, c2 = 0.001999.
    #[test]
    fn two_steps_match_a_hand_computation() {
        let mut parameters = [1.0_f32, 1.0];
        let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
        let moments = [&mut first[..], &mut second[..]];
        adam_step(1, 0.1, &mut parameters, &[2.0, -4.0], 1.0, moments);
        assert!(
            (parameters[0] - 0.9).abs() < 1e-6 && (parameters[1] - 1.1).abs() < 1e-6,
            "{parameters:?}"
        );
        let moments = [&mut first[..1], &mut second[..1]];
        adam_step(2, 0.1, &mut parameters[..1], &[0.5], 2.0, moments);
        let expected = 0.9 - 0.1 * (0.28 / 0.19) / (0.004996_f64 / 0.001999).sqrt();
        assert!(
            (f64::from(parameters[0]) - expected).abs() < 1e-6,
            "{parameters:?} {expected}"
        );
    }
}
