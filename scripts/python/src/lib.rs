//! `agile_but_safe` for Python: training environments, policies and evaluation, with NumPy arrays in and out.

mod arrays;
mod environments;
mod evaluation;
mod policy;

use pyo3::{exceptions::PyValueError, prelude::*};

/// The part in Rust.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{environments::Environments, evaluation::evaluate, policy::Policy};
}

/// An error of the library, in one line.
fn value_error(error: impl Into<anyhow::Error>) -> PyErr {
    PyValueError::new_err(format!("{:#}", error.into()))
}
