//! What each operator does to the numbers that come in.

use anyhow::{Context as _, Result, bail, ensure};
use nalgebra::DVector;
use policies::Activation;

use super::{
    constant::Constant,
    graph::{Graph, Step, attribute, described},
};
use crate::import::network::Chain;

/// The operators that can be read, for messages.
const SUPPORTED: &str = "Gemm, MatMul, Add, Sub, Mul, Div, Elu, Relu, Tanh, Sigmoid times its input (SiLU), Swish, Slice, Split, Gather, \
                         a Clip of the action, and what changes nothing (Identity, Cast, Dropout, Reshape)";

/// Does to `chain` what an operator of the model does; `rank` are the dimensions of the model's input.
pub fn apply(graph: &Graph<'_>, step: &Step<'_>, rank: usize, chain: &mut Chain) -> Result<()> {
    Operator { graph, step, rank }
        .apply(chain)
        .with_context(|| described(step.node))
}

struct Operator<'a> {
    graph: &'a Graph<'a>,
    step: &'a Step<'a>,
    rank: usize,
}

impl Operator<'_> {
    fn apply(&self, chain: &mut Chain) -> Result<()> {
        let operator = self.step.node.op_type.as_str();
        let changes_nothing = matches!(
            operator,
            "Identity" | "Cast" | "Dropout" | "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze"
        );
        let clips = matches!(operator, "Clip" | "Max" | "Min");
        ensure!(
            changes_nothing || clips || !chain.is_clipped(),
            "follows a clip; only the action can be clipped, behind all else"
        );
        match operator {
            _ if changes_nothing => Ok(()),
            "Concat" if self.step.node.input.len() == 1 => Ok(()),
            "Gemm" => self.gemm(chain),
            "MatMul" => {
                ensure!(
                    self.input_is(0),
                    "must have its weights as the second input"
                );
                let weight = self.constant(1)?.matrix()?;
                chain.linear(weight.transpose(), None)
            }
            "Mul" if self.step.is_silu => chain.activate(Activation::Silu),
            "Add" | "Sub" | "Mul" | "Div" => self.elementwise(chain),
            "Elu" => {
                let alpha = self.float("alpha", 1.0);
                ensure!(alpha == 1.0, "has alpha {alpha}, must be 1");
                chain.activate(Activation::Elu)
            }
            "Relu" => chain.activate(Activation::Relu),
            "Tanh" => chain.activate(Activation::Tanh),
            "Swish" => {
                let alpha = self.float("alpha", 1.0);
                ensure!(alpha == 1.0, "has alpha {alpha}, must be 1");
                chain.activate(Activation::Silu)
            }
            "Slice" => self.slice(chain),
            "Split" => self.split(chain),
            "Gather" => {
                self.check_axis(self.int("axis", 0))?;
                let places = self.constant(1)?.whole()?;
                chain.select(&self.places(&places, chain.width())?)
            }
            "Clip" | "Max" | "Min" => self.clip(chain),
            _ => bail!("is not supported; supported are {SUPPORTED}"),
        }
    }

    /// alpha * input * weight + beta * bias.
    fn gemm(&self, chain: &mut Chain) -> Result<()> {
        ensure!(
            self.input_is(0) && self.int("transA", 0) == 0,
            "must have its weights as the second input, and transA 0"
        );
        let weight = self.constant(1)?.matrix()?;
        let weight = match self.int("transB", 0) {
            0 => weight.transpose(),
            _ => weight,
        };
        let weight = weight * f64::from(self.float("alpha", 1.0));
        let bias = match self.step.node.input.get(2).map(String::as_str) {
            None | Some("") => None,
            Some(_) => {
                let bias = self.constant(2)?.row(weight.nrows())?;
                Some(DVector::from_vec(bias) * f64::from(self.float("beta", 1.0)))
            }
        };
        chain.linear(weight, bias)
    }

    fn elementwise(&self, chain: &mut Chain) -> Result<()> {
        let width = chain.width();
        let is_first = self.input_is(0);
        let constant = self.constant(usize::from(is_first))?.row(width)?;
        let [zeros, ones] = [0.0, 1.0].map(|number| vec![number; width]);
        let negative = |numbers: &[f64]| numbers.iter().map(|x| -x).collect::<Vec<_>>();
        match (self.step.node.op_type.as_str(), is_first) {
            ("Add", _) => chain.scale_and_shift(&ones, &constant),
            ("Sub", true) => chain.scale_and_shift(&ones, &negative(&constant)),
            ("Sub", false) => chain.scale_and_shift(&negative(&ones), &constant),
            ("Mul", _) => chain.scale_and_shift(&constant, &zeros),
            (_, true) => {
                let inverse: Vec<f64> = constant.iter().map(|x| x.recip()).collect();
                chain.scale_and_shift(&inverse, &zeros);
            }
            (_, false) => bail!("divides by what comes in, which is not supported"),
        }
        Ok(())
    }

    /// Its bounds are inputs or, before opset 10, attributes.
    fn slice(&self, chain: &mut Chain) -> Result<()> {
        let numbers = |index: usize, name: &str| -> Result<Option<Vec<i64>>> {
            match self.step.node.input.get(index).map(String::as_str) {
                Some("") => Ok(None),
                Some(_) => Ok(Some(self.constant(index)?.whole()?)),
                None => Ok(attribute(self.step.node, name).map(|a| a.ints.clone())),
            }
        };
        let starts = numbers(1, "starts")?.context("has no starts")?;
        let ends = numbers(2, "ends")?.context("has no ends")?;
        let axes = numbers(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = numbers(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        ensure!(
            [ends.len(), axes.len(), steps.len()] == [starts.len(); 3],
            "has {} starts, but {} ends, {} axes and {} steps",
            starts.len(),
            ends.len(),
            axes.len(),
            steps.len()
        );
        for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            // The batch is sliced from 0 to its end.
            if *start == 0 && *step == 1 && self.check_axis(*axis).is_err() {
                continue;
            }
            self.check_axis(*axis)?;
            ensure!(*step > 0, "has step {step}, must be positive");
            let width = chain.width() as i64;
            let bound = |at: i64| match at < 0 {
                true => (at.saturating_add(width)).max(0),
                false => at.min(width),
            };
            let places: Vec<usize> = (bound(*start)..bound(*end))
                .step_by(*step as usize)
                .map(|place| place as usize)
                .collect();
            chain.select(&places)?;
        }
        Ok(())
    }

    /// Its lengths are an input or an attribute, or all the same.
    fn split(&self, chain: &mut Chain) -> Result<()> {
        let node = self.step.node;
        self.check_axis(self.int("axis", 0))?;
        let width = chain.width();
        let lengths: Vec<usize> = match (node.input.len(), attribute(node, "split")) {
            (2.., _) => self.places(&self.constant(1)?.whole()?, width + 1)?,
            (_, Some(split)) => self.places(&split.ints, width + 1)?,
            (_, None) => {
                let each = width.div_ceil(node.output.len().max(1));
                let starts = (0..width).step_by(each.max(1));
                starts.map(|start| each.min(width - start)).collect()
            }
        };
        let index = node.output.iter().position(|name| name == self.step.output);
        let index = index.filter(|index| *index < lengths.len());
        let index = index.context("has fewer lengths than outputs")?;
        let start: usize = lengths[..index].iter().sum();
        let places: Vec<usize> = (start..start + lengths[index]).collect();
        chain.select(&places)
    }

    /// Its bounds are inputs or, before opset 11, attributes.
    fn clip(&self, chain: &mut Chain) -> Result<()> {
        let node = self.step.node;
        let bound = |index: usize| -> Result<Option<f64>> {
            match node.input.get(index).map(String::as_str) {
                None | Some("") => Ok(None),
                Some(_) => match self.constant(index)?.values[..] {
                    [bound] => Ok(Some(bound)),
                    _ => bail!("has a bound for each number, must have one for all"),
                },
            }
        };
        let of_attribute = |name| attribute(node, name).map(|a| f64::from(a.f));
        let (low, high) = match node.op_type.as_str() {
            "Clip" => (
                bound(1)?.or(of_attribute("min")),
                bound(2)?.or(of_attribute("max")),
            ),
            operator => {
                ensure!(node.input.len() == 2, "must have two inputs");
                let bound = bound(usize::from(self.input_is(0)))?;
                match operator {
                    "Max" => (bound, None),
                    _ => (None, bound),
                }
            }
        };
        chain.clip(low, high);
        Ok(())
    }

    /// Whether this input is what comes in.
    fn input_is(&self, index: usize) -> bool {
        self.step.node.input.get(index).map(String::as_str) == Some(self.step.input)
    }

    fn constant(&self, index: usize) -> Result<&Constant> {
        let name = self.step.node.input.get(index).map_or("", String::as_str);
        let constant = self.graph.constant(name);
        constant.with_context(|| format!("its input `{name}` is not constant"))
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        attribute(self.step.node, name).map_or(default, |attribute| attribute.i)
    }

    fn float(&self, name: &str, default: f32) -> f32 {
        attribute(self.step.node, name).map_or(default, |attribute| attribute.f)
    }

    /// The last axis is that of the numbers; the others are the batch.
    fn check_axis(&self, axis: i64) -> Result<()> {
        ensure!(
            axis == -1 || axis == self.rank as i64 - 1,
            "works along axis {axis}, must be the last one"
        );
        Ok(())
    }

    /// Numbers from 0 to `end`, those below 0 counted from there.
    fn places(&self, numbers: &[i64], end: usize) -> Result<Vec<usize>> {
        numbers
            .iter()
            .map(|number| {
                let place = match *number < 0 {
                    true => number.saturating_add(end as i64),
                    false => *number,
                };
                match usize::try_from(place) {
                    Ok(place) if place < end => Ok(place),
                    _ => bail!("takes number {number} of {end}"),
                }
            })
            .collect()
    }
}
