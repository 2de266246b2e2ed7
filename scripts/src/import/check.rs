//! Whether the network of an imported bundle computes what the file does.

use anyhow::{Result, ensure};
use policies::{Activation, Bundle, Mlp, spec::Output};

use super::{
    Original,
    network::{Element, apply},
};
use crate::parity::{INPUTS, Parity, observations};

/// Largest difference of an action, relative to actions above 1. Inputs far from their mean, divided by a small deviation, round in the
/// file's own float32 by up to a third of this; a layer or joint that was read wrong is farther off.
const TOLERANCE: f32 = 2e-4;

/// A normalization: (x - mean) / deviation.
pub struct Normalized {
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
}

/// The action of the file for an observation of the bundle, by the file alone.
pub struct Reference {
    pub original: Original,
    /// What the contract does before it.
    pub normalized: Option<Normalized>,
    /// For each element of the bundle's observation its place in the file's.
    pub inputs: Vec<Element>,
    /// For each action of the bundle its place in the file's.
    pub outputs: Vec<Element>,
    /// What the contract does behind it.
    pub added: Activation,
    pub clip: f32,
}

impl Reference {
    /// How the network of this role compares, in words.
    ///
    /// # Errors
    /// When it differs, or the file cannot be run.
    pub fn compare(&self, bundle: &Bundle, role: &str) -> Result<String> {
        let spec = bundle.spec.network(role)?;
        let layout = bundle.spec.layout(role)?;
        let last = match spec.output {
            Output::Actions { activation, .. } => activation,
            _ => Activation::Identity,
        };
        let mut mlp = Mlp::new(bundle.layers(role), spec.activation, last)?;
        let (_, rows) = observations(&layout);
        let mut parity = Parity::default();
        for row in rows.chunks_exact(layout.dim()) {
            let expected = self.action(row)?;
            let clipped = mlp.forward(row).iter();
            let found: Vec<f32> = clipped.map(|x| x.clamp(-self.clip, self.clip)).collect();
            parity.add(found.iter().zip(&expected));
        }
        ensure!(
            parity.largest <= TOLERANCE,
            "the bundle's actions differ from those of the file by up to {}, must be at most {TOLERANCE}",
            parity.largest
        );
        Ok(format!(
            "same actions as the file within {:.0e}, on {INPUTS} observations",
            parity.largest
        ))
    }

    fn action(&self, observation: &[f32]) -> Result<Vec<f32>> {
        let mut input = vec![0.0; observation.len()];
        for (element, own) in self.inputs.iter().zip(observation) {
            input[element.place] = element.factor * f64::from(*own);
        }
        if let Some(Normalized { mean, deviation }) = &self.normalized {
            for ((x, mean), deviation) in input.iter_mut().zip(mean).zip(deviation) {
                *x = (*x - mean) / deviation;
            }
        }
        let input: Vec<f32> = input.iter().map(|x| *x as f32).collect();
        let output = (self.original)(&input)?;
        let action = |element: &Element| {
            let raw = apply(self.added, f64::from(output[element.place]));
            ((raw / element.factor) as f32).clamp(-self.clip, self.clip)
        };
        Ok(self.outputs.iter().map(action).collect())
    }
}
