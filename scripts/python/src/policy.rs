//! A policy of a bundle.

use std::path::PathBuf;

use numpy::{PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use policies::{Bundle, Layout, nn::Mlp, policy::ActionMap, spec::Output};
use pyo3::prelude::*;

use crate::{arrays::matrix, value_error};

/// Observations to actions.
#[pyclass(unsendable)]
pub struct Policy {
    layout: Layout,
    network: Mlp,
    actions: ActionMap,
}

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (bundle, role="agile"))]
    fn new(bundle: PathBuf, role: &str) -> PyResult<Self> {
        let load = || -> anyhow::Result<Self> {
            let bundle = Bundle::load(&bundle)?;
            let robot = bundle.robot()?;
            // All checks of a policy that runs.
            bundle.policy(role, &robot)?;
            let spec = bundle.spec.network(role)?;
            let &Output::Actions {
                scale,
                clip,
                activation,
            } = &spec.output
            else {
                anyhow::bail!("`{role}` is no policy");
            };
            let network = Mlp::new(bundle.layers(role), spec.activation, activation)?;
            let default_rad = &bundle.spec.robot.default_position_rad;
            Ok(Self {
                layout: bundle.spec.layout(role)?,
                network,
                actions: ActionMap::new(default_rad, scale, clip),
            })
        };
        load().map_err(value_error)
    }

    /// Width of an observation.
    #[getter]
    fn observation_dim(&self) -> usize {
        self.layout.dim()
    }

    /// Width of an action.
    #[getter]
    fn action_dim(&self) -> usize {
        self.network.output_dim()
    }

    /// Names of the observed terms in order, each with first and last + 1 element of the present policy step.
    #[getter]
    fn terms(&self) -> Vec<(&'static str, usize, usize)> {
        let terms = self.layout.quantities().filter_map(|quantity| {
            let range = self.layout.range(quantity)?;
            Some((quantity.spec().name, range.start, range.end))
        });
        terms.collect()
    }

    /// Clipped actions, (n, action_dim), for observations, float32 (n, observation_dim), and the joint positions in rad that they stand for.
    #[expect(clippy::type_complexity, reason = "a pair of arrays")]
    fn __call__<'py>(
        &mut self,
        py: Python<'py>,
        observations: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<f32>>)> {
        let observations = matrix(observations, "observations", None, self.layout.dim())?;
        let shape = [observations.shape()[0], self.network.output_dim()];
        let actions = PyArray2::zeros(py, shape, false);
        let targets = PyArray2::zeros(py, shape, false);
        {
            let (mut actions, mut targets) = (actions.readwrite(), targets.readwrite());
            let (actions, targets) = (actions.as_slice_mut()?, targets.as_slice_mut()?);
            self.network
                .forward_batch(observations.as_slice()?, actions);
            let rows = actions.chunks_exact_mut(shape[1]);
            for (action, target) in rows.zip(targets.chunks_exact_mut(shape[1])) {
                self.actions.apply(action, target);
            }
        }
        Ok((actions, targets))
    }
}
