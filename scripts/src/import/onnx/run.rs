//! The model itself, run by tract.

use anyhow::{Context as _, Result};
use tract_onnx::prelude::*;

use super::graph::Input;
use crate::import::Original;

/// What the model computes for one observation.
pub fn original(bytes: &[u8], input: &Input<'_>, output: &str) -> Result<Original> {
    let mut shape = vec![1; input.rank];
    shape[input.rank - 1] = input.width;
    let prepare = || {
        let model = tract_onnx::onnx().model_for_read(&mut &*bytes)?;
        model
            .with_inputs_by_name([input.name])?
            .with_outputs_by_name([output])?
            .with_input_fact(0, f32::fact(&shape).into())?
            .into_optimized()?
            .into_runnable()
    };
    let model = prepare().context("tract cannot run the model, which checks what is imported")?;
    Ok(Box::new(move |observation| {
        let observation = Tensor::from_shape(&shape, observation)?;
        let outputs = model
            .run(tvec![observation.into()])
            .context("tract cannot run the model")?;
        Ok(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }))
}
