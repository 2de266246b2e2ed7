//! Arrays from Python, checked.

use numpy::{PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
};

/// The array `name`, which has to be float32 with so many columns, and rows where they are given.
pub fn matrix<'py>(
    value: &Bound<'py, PyAny>,
    name: &str,
    rows: Option<usize>,
    columns: usize,
) -> PyResult<PyReadonlyArray2<'py, f32>> {
    let wanted = || match rows {
        Some(rows) => format!("must be float32 of shape ({rows}, {columns})"),
        None => format!("must be float32 of shape (n, {columns})"),
    };
    let Ok(array) = value.cast::<PyUntypedArray>() else {
        let found = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "{name} is a {found}, {} (numpy)",
            wanted()
        )));
    };
    let found = || format!("{name} is {} of shape {:?}", array.dtype(), array.shape());
    let Ok(typed) = value.extract::<PyReadonlyArray2<'py, f32>>() else {
        return Err(PyTypeError::new_err(format!("{}, {}", found(), wanted())));
    };
    let [n, width] = [typed.shape()[0], typed.shape()[1]];
    if width != columns || rows.is_some_and(|rows| rows != n) {
        return Err(PyValueError::new_err(format!("{}, {}", found(), wanted())));
    }
    if !typed.is_c_contiguous() {
        return Err(PyValueError::new_err(format!(
            "{name} is not contiguous; pass numpy.ascontiguousarray({name})"
        )));
    }
    Ok(typed)
}
