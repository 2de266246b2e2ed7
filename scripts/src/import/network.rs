//! A multilayer perceptron in float64, as it is read from a file and rewritten for a bundle.

use anyhow::{Context as _, Result, bail, ensure};
use nalgebra::{DMatrix, DVector};
use policies::{Activation, Linear};

/// Most numbers that a layer takes or gives.
pub const MAX_WIDTH: usize = 4096;
/// Most weights of all layers together.
const MAX_WEIGHTS: usize = 1 << 25;

/// output = weight * input + bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    weight: Weight,
    bias: DVector<f64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Weight {
    Diagonal(DVector<f64>),
    /// [outputs, inputs].
    Full(DMatrix<f64>),
}

impl Affine {
    /// What goes in comes out.
    fn identity(width: usize) -> Self {
        Self {
            weight: Weight::Diagonal(DVector::repeat(width, 1.0)),
            bias: DVector::zeros(width),
        }
    }

    fn is_identity(&self) -> bool {
        let is_one = |factors: &DVector<f64>| factors.iter().all(|factor| *factor == 1.0);
        matches!(&self.weight, Weight::Diagonal(factors) if is_one(factors))
            && self.bias.iter().all(|number| *number == 0.0)
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    fn weights(&self) -> usize {
        match &self.weight {
            Weight::Diagonal(factors) => factors.len(),
            Weight::Full(weight) => weight.len(),
        }
    }

    fn weight(self) -> DMatrix<f64> {
        match self.weight {
            Weight::Diagonal(factors) => DMatrix::from_diagonal(&factors),
            Weight::Full(weight) => weight,
        }
    }
}

/// A network in the making, from its input on: affine maps that follow each other are one.
#[derive(Clone, Debug)]
pub struct Chain {
    layers: Vec<(Affine, Activation)>,
    /// Behind the last activation.
    last: Affine,
    /// Bounds of the output.
    low: Option<f64>,
    high: Option<f64>,
}

impl Chain {
    /// Of so many inputs.
    pub fn new(inputs: usize) -> Result<Self> {
        check_width(inputs)?;
        Ok(Self {
            layers: Vec::new(),
            last: Affine::identity(inputs),
            low: None,
            high: None,
        })
    }

    /// Numbers that come out so far.
    pub fn width(&self) -> usize {
        self.last.outputs()
    }

    /// A linear layer: weights [outputs, inputs].
    pub fn linear(&mut self, weight: DMatrix<f64>, bias: Option<DVector<f64>>) -> Result<()> {
        let (outputs, inputs) = weight.shape();
        ensure!(
            inputs == self.width(),
            "takes {inputs} inputs, but {} come in",
            self.width()
        );
        check_width(outputs)?;
        let bias = bias.unwrap_or_else(|| DVector::zeros(outputs));
        self.last = Affine {
            bias: &weight * &self.last.bias + bias,
            weight: Weight::Full(match &self.last.weight {
                Weight::Full(before) => weight * before,
                Weight::Diagonal(factors) => {
                    let mut weight = weight;
                    for (mut column, factor) in weight.column_iter_mut().zip(factors) {
                        column *= *factor;
                    }
                    weight
                }
            }),
        };
        Ok(())
    }

    /// An activation of every number.
    pub fn activate(&mut self, activation: Activation) -> Result<()> {
        ensure!(
            matches!(self.last.weight, Weight::Full(_)),
            "must follow a linear layer"
        );
        let layers = self.layers.iter().map(|(layer, _)| layer);
        let weights: usize = layers.chain([&self.last]).map(Affine::weights).sum();
        ensure!(
            weights <= MAX_WEIGHTS,
            "is behind {weights} weights, must be at most {MAX_WEIGHTS}"
        );
        let next = Affine::identity(self.width());
        let layer = std::mem::replace(&mut self.last, next);
        self.layers.push((layer, activation));
        Ok(())
    }

    /// The network, which has one activation between its layers and another behind the last.
    pub fn finish(self) -> Result<Network> {
        let clip = match (self.low, self.high) {
            (None, None) => None,
            (Some(low), Some(high)) if low == -high && high > 0.0 && high.is_finite() => Some(high),
            (low, high) => bail!(
                "the action is clipped from {} to {}; a bundle has one bound for either side",
                low.map_or("-inf".to_owned(), |low| low.to_string()),
                high.map_or("inf".to_owned(), |high| high.to_string()),
            ),
        };
        ensure!(
            !self.layers.is_empty() || matches!(self.last.weight, Weight::Full(_)),
            "holds no linear layer"
        );
        let mut layers = self.layers;
        match self.last.is_identity() && !layers.is_empty() {
            true => {}
            false => layers.push((self.last, Activation::Identity)),
        }
        let output = layers.last().map(|(_, activation)| *activation);
        let output = output.unwrap_or_default();
        let hidden = &layers[..layers.len() - 1];
        let activation = hidden.first().map(|(_, activation)| *activation);
        let activation = activation.unwrap_or_default();
        if let Some((_, other)) = hidden.iter().find(|(_, other)| *other != activation) {
            bail!(
                "there is {} behind one layer and {} behind another; a bundle has one activation for all layers but the last",
                name(activation),
                name(*other)
            );
        }
        Ok(Network {
            layers: layers
                .into_iter()
                .map(|(layer, _)| (layer.bias.clone(), layer.weight()))
                .map(|(bias, weight)| Layer { weight, bias })
                .collect(),
            activation,
            output,
            clip,
        })
    }
}

/// What only a model does, whose operators are read one by one.
#[cfg(feature = "onnx")]
impl Chain {
    /// Whether the output is bounded, so that nothing may follow.
    pub fn is_clipped(&self) -> bool {
        self.low.is_some() || self.high.is_some()
    }

    /// Multiplies by a factor for each number, then adds.
    pub fn scale_and_shift(&mut self, factors: &[f64], shift: &[f64]) {
        for (index, (factor, shift)) in factors.iter().zip(shift).enumerate() {
            match &mut self.last.weight {
                Weight::Diagonal(factors) => factors[index] *= factor,
                Weight::Full(weight) => weight.row_mut(index).scale_mut(*factor),
            }
            self.last.bias[index] = self.last.bias[index] * factor + shift;
        }
    }

    /// Goes on with these of the numbers, in this order.
    pub fn select(&mut self, places: &[usize]) -> Result<()> {
        check_width(places.len())?;
        if let Some(beyond) = places.iter().find(|place| **place >= self.width()) {
            bail!("takes number {beyond} of {}", self.width());
        }
        if places.iter().copied().eq(0..self.width()) {
            return Ok(());
        }
        let weight = std::mem::replace(&mut self.last, Affine::identity(0));
        let bias = weight.bias.select_rows(places);
        let weight = Weight::Full(weight.weight().select_rows(places));
        self.last = Affine { weight, bias };
        Ok(())
    }

    /// Bounds of every number.
    pub fn clip(&mut self, low: Option<f64>, high: Option<f64>) {
        self.low = low.or(self.low);
        self.high = high.or(self.high);
    }
}

/// A multilayer perceptron.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    layers: Vec<Layer>,
    /// Of the hidden layers; identity where there are none.
    pub activation: Activation,
    /// Behind the last layer.
    pub output: Activation,
    /// Bound on the absolute output.
    pub clip: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Layer {
    /// [outputs, inputs].
    weight: DMatrix<f64>,
    bias: DVector<f64>,
}

/// An element of a bundle's observation or action, seen from the file: its place there, and factor * the bundle's number = the file's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    pub place: usize,
    pub factor: f64,
}

impl Network {
    /// Length of the input.
    pub fn inputs(&self) -> usize {
        self.layers[0].weight.ncols()
    }

    /// Length of the output.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].bias.len()
    }

    /// Inputs, then the outputs of every layer.
    pub fn widths(&self) -> Vec<usize> {
        let outputs = self.layers.iter().map(|layer| layer.bias.len());
        std::iter::once(self.inputs()).chain(outputs).collect()
    }

    /// Takes (x - mean) / deviation from x on.
    pub fn normalize(&mut self, mean: &[f64], deviation: &[f64]) {
        let first = &mut self.layers[0];
        for ((mut column, mean), deviation) in
            first.weight.column_iter_mut().zip(mean).zip(deviation)
        {
            column /= *deviation;
            first.bias.axpy(-mean, &column, 1.0);
        }
    }

    /// Takes other elements in from now on.
    pub fn rearrange_inputs(&mut self, elements: &[Element]) {
        let weight = &mut self.layers[0].weight;
        let mut rearranged = DMatrix::zeros(weight.nrows(), elements.len());
        for (mut column, element) in rearranged.column_iter_mut().zip(elements) {
            column.axpy(element.factor, &weight.column(element.place), 1.0);
        }
        *weight = rearranged;
    }

    /// Gives other elements from now on. Their factors are 1 where there is an activation behind the last layer.
    pub fn rearrange_outputs(&mut self, elements: &[Element]) {
        let last = self.layers.len() - 1;
        let Layer { weight, bias } = &mut self.layers[last];
        let places: Vec<usize> = elements.iter().map(|element| element.place).collect();
        *weight = weight.select_rows(&places);
        *bias = bias.select_rows(&places);
        for (index, element) in elements.iter().enumerate() {
            weight.row_mut(index).scale_mut(1.0 / element.factor);
            bias[index] /= element.factor;
        }
    }

    /// The output without clip.
    pub fn evaluate(&self, input: &[f32]) -> Vec<f32> {
        let mut values = DVector::from_iterator(input.len(), input.iter().map(|x| f64::from(*x)));
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            values = &layer.weight * values + &layer.bias;
            let activation = match index == last {
                true => self.output,
                false => self.activation,
            };
            values.apply(|value| *value = apply(activation, *value));
        }
        values.iter().map(|value| *value as f32).collect()
    }

    /// The layers as a bundle has them.
    pub fn linear(&self) -> Vec<Linear> {
        let layers = self.layers.iter();
        layers
            .map(|Layer { weight, bias }| Linear {
                weight: weight.transpose().iter().map(|w| *w as f32).collect(),
                bias: bias.iter().map(|b| *b as f32).collect(),
                inputs: weight.ncols(),
            })
            .collect()
    }
}

/// The value of an activation.
pub fn apply(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Elu => match x > 0.0 {
            true => x,
            false => x.exp_m1(),
        },
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
    }
}

/// Its name in contracts and bundles.
pub fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "identity",
        Activation::Elu => "elu",
        Activation::Relu => "relu",
        Activation::Silu => "silu",
        Activation::Tanh => "tanh",
    }
}

/// Numbers read from a file, as a matrix [rows, columns].
pub fn matrix(rows: usize, columns: usize, row_major: &[f64]) -> Result<DMatrix<f64>> {
    check_width(rows)?;
    check_width(columns)?;
    let expected = rows.checked_mul(columns).context("is too large")?;
    ensure!(
        row_major.len() == expected,
        "has {} numbers, must have {rows} x {columns}",
        row_major.len()
    );
    Ok(DMatrix::from_row_slice(rows, columns, row_major))
}

fn check_width(width: usize) -> Result<()> {
    ensure!(
        (1..=MAX_WIDTH).contains(&width),
        "is {width} numbers wide, must be 1 to {MAX_WIDTH}"
    );
    Ok(())
}
