//! Constant tensors of a model.

use anyhow::{Context as _, Result, bail, ensure};
use nalgebra::DMatrix;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

use crate::import::network::{MAX_WIDTH, matrix};

/// Numbers of a tensor, whole ones too.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    pub dims: Vec<usize>,
    pub values: Vec<f64>,
}

impl Constant {
    /// The numbers of a tensor of a model.
    pub fn read(tensor: &TensorProto) -> Result<Self> {
        // 1 is `EXTERNAL`.
        ensure!(
            tensor.data_location != Some(1) && tensor.external_data.is_empty(),
            "its numbers are in another file; save the model as one file, in Python onnx.save(onnx.load(FILE), NEW_FILE)"
        );
        let dims = tensor.dims.iter().map(|dim| usize::try_from(*dim));
        let dims = dims.collect::<Result<Vec<_>, _>>();
        let dims = dims.context("it has a negative dimension")?;
        let raw = &tensor.raw_data;
        let values: Vec<f64> = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float) if raw.is_empty() => {
                tensor.float_data.iter().map(|x| f64::from(*x)).collect()
            }
            Ok(DataType::Float) => {
                let chunks = raw.as_chunks::<4>().0.iter();
                chunks.map(|x| f64::from(f32::from_le_bytes(*x))).collect()
            }
            Ok(DataType::Double) if raw.is_empty() => tensor.double_data.clone(),
            Ok(DataType::Double) => {
                let chunks = raw.as_chunks::<8>().0.iter();
                chunks.map(|x| f64::from_le_bytes(*x)).collect()
            }
            Ok(DataType::Int64) if raw.is_empty() => {
                tensor.int64_data.iter().map(|x| *x as f64).collect()
            }
            Ok(DataType::Int64) => {
                let chunks = raw.as_chunks::<8>().0.iter();
                chunks.map(|x| i64::from_le_bytes(*x) as f64).collect()
            }
            Ok(DataType::Int32) if raw.is_empty() => {
                tensor.int32_data.iter().map(|x| f64::from(*x)).collect()
            }
            Ok(DataType::Int32) => {
                let chunks = raw.as_chunks::<4>().0.iter();
                chunks.map(|x| f64::from(i32::from_le_bytes(*x))).collect()
            }
            Ok(other) => bail!("it holds {other:?}, must be float32, float64, int32 or int64"),
            Err(_) => bail!("it holds numbers of an unknown type, {}", tensor.data_type),
        };
        let expected = dims
            .iter()
            .try_fold(1_usize, |all, dim| all.checked_mul(*dim));
        ensure!(
            expected == Some(values.len()),
            "it has {} numbers, but dimensions {dims:?}",
            values.len()
        );
        Ok(Self { dims, values })
    }

    /// As weights [rows, columns].
    pub fn matrix(&self) -> Result<DMatrix<f64>> {
        let [rows, columns] = self.dims[..] else {
            bail!("its weights have dimensions {:?}, must have two", self.dims);
        };
        matrix(rows, columns, &self.values)
    }

    /// As a number for each of `width`, which are the last dimension; one number counts for all.
    pub fn row(&self, width: usize) -> Result<Vec<f64>> {
        match self.values.len() {
            1 => Ok(vec![self.values[0]; width]),
            len if len == width && self.dims.last() == Some(&width) => Ok(self.values.clone()),
            _ => bail!(
                "its constant has dimensions {:?}, must be one number or [{width}]",
                self.dims
            ),
        }
    }

    /// As whole numbers.
    pub fn whole(&self) -> Result<Vec<i64>> {
        ensure!(
            self.values.len() <= MAX_WIDTH,
            "its constant has {} numbers, must have at most {MAX_WIDTH}",
            self.values.len()
        );
        Ok(self.values.iter().map(|value| *value as i64).collect())
    }

    /// The result of an operator on constants, if it is one that exporters leave.
    pub fn folded(operator: &str, inputs: &[&Self]) -> Option<Self> {
        match (operator, inputs) {
            ("Identity" | "Cast", [input]) => Some((*input).clone()),
            ("Sqrt", [input]) => Some(input.map(f64::sqrt)),
            ("Reciprocal", [input]) => Some(input.map(f64::recip)),
            ("Neg", [input]) => Some(input.map(|x| -x)),
            ("Transpose", [input]) => {
                let [rows, columns] = input.dims[..] else {
                    return None;
                };
                let transposed = (0..columns)
                    .flat_map(|column| (0..rows).map(move |row| row * columns + column));
                Some(Self {
                    dims: vec![columns, rows],
                    values: transposed.map(|place| input.values[place]).collect(),
                })
            }
            // The shape of a row does not matter.
            ("Squeeze" | "Unsqueeze" | "Reshape" | "Flatten", [input, ..]) => Some(Self {
                dims: vec![input.values.len()],
                values: input.values.clone(),
            }),
            ("Add", [a, b]) => a.with(b, |a, b| a + b),
            ("Sub", [a, b]) => a.with(b, |a, b| a - b),
            ("Mul", [a, b]) => a.with(b, |a, b| a * b),
            ("Div", [a, b]) => a.with(b, |a, b| a / b),
            _ => None,
        }
    }

    fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        Self {
            dims: self.dims.clone(),
            values: self.values.iter().map(|value| function(*value)).collect(),
        }
    }

    fn with(&self, other: &Self, function: impl Fn(f64, f64) -> f64) -> Option<Self> {
        match (&self.values[..], &other.values[..]) {
            (_, [number]) => Some(self.map(|value| function(value, *number))),
            ([number], _) => Some(other.map(|value| function(*number, value))),
            _ if self.dims == other.dims => {
                let pairs = self.values.iter().zip(&other.values);
                Some(Self {
                    dims: self.dims.clone(),
                    values: pairs.map(|(a, b)| function(*a, *b)).collect(),
                })
            }
            _ => None,
        }
    }
}
