//! Operations with a gradient of their own, on numbers that lie in this process's memory.
//!
//! Autodiff takes every compound operation apart: a layer norm becomes nine passes over memory
//! forward and more than that back, and Burn knows no sparse product at all. An operation here is
//! a loop over plain slices with a second loop for its gradient; the graph of operations sees one
//! node. Where the numbers are not at hand (another backend) the callers compute the portable
//! form.

use std::fmt;
use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, BackendTypes};
use burn::prelude::*;
use burn::tensor::TensorData;

/// What an operation's gradient is computed from.
pub(crate) struct Seen<'a, const N: usize> {
    /// The numbers of each input, row by row.
    pub(crate) inputs: [&'a [f32]; N],
    /// The numbers of the output.
    pub(crate) output: &'a [f32],
    /// The gradient of the output.
    pub(crate) grad: &'a [f32],
    /// Which inputs need a gradient; others may be given none.
    pub(crate) wanted: [bool; N],
}

/// A tensor as a node of the graph of operations.
type Node = <Autodiff<Flex> as BackendTypes>::FloatTensorPrimitive;

/// The gradient of each input that is wanted.
type Rule<const N: usize> = Arc<dyn Fn(Seen<'_, N>) -> [Option<Vec<f32>>; N] + Send + Sync>;

/// Computes `forward` of the inputs, `[rows, cols]` each, into an output of `shape`, and has
/// `rule` give the gradients. None where a number is not in this process's memory, in order and
/// of 32 bits.
pub(crate) fn tracked<const N: usize>(
    inputs: [&Tensor<2>; N],
    shape: [usize; 2],
    forward: impl FnOnce([&[f32]; N]) -> Vec<f32>,
    rule: impl Fn(Seen<'_, N>) -> [Option<Vec<f32>>; N] + Send + Sync + 'static,
) -> Option<Tensor<2>> {
    let Some(nodes) = array(inputs.map(node_of)) else {
        let kept = array(inputs.map(|x| contiguous(plain(x)?)))?;
        let out = forward(array(kept.each_ref().map(FlexTensor::as_slice::<f32>))?);
        return Some(Tensor::from_data(TensorData::new(out, shape), &inputs[0].device()));
    };
    let kept = array(nodes.each_ref().map(|node| contiguous(node.primitive().clone())))?;
    let out = forward(array(kept.each_ref().map(FlexTensor::as_slice::<f32>))?);
    let out = FlexTensor::from_data(TensorData::new(out, shape));
    let guards = nodes.each_ref().map(Node::node);
    let done = match Custom.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let saved = Saved { inputs: kept, output: out.clone(), rule: Arc::new(rule) };
            prep.finish(saved, out)
        }
        OpsKind::UnTracked(prep) => prep.finish(out),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(done))
}

/// None on other backends and without autodiff.
fn node_of(x: &Tensor<2>) -> Option<Node> {
    x.clone().try_into_primitive::<Autodiff<Flex>>().ok()
}

/// None on other backends and with autodiff.
fn plain(x: &Tensor<2>) -> Option<FlexTensor> {
    x.clone().try_into_primitive::<Flex>().ok()
}

/// The numbers in order; a turned or cut tensor is copied.
fn contiguous(x: FlexTensor) -> Option<FlexTensor> {
    let x = if x.is_contiguous() { x } else { x.to_contiguous() };
    x.as_slice::<f32>().is_some().then_some(x)
}

fn array<T, const N: usize>(parts: [Option<T>; N]) -> Option<[T; N]> {
    let found: Vec<T> = parts.into_iter().flatten().collect();
    <[T; N]>::try_from(found).ok()
}

#[derive(Debug)]
struct Custom;

#[derive(Clone)]
struct Saved<const N: usize> {
    inputs: [FlexTensor; N],
    output: FlexTensor,
    rule: Rule<N>,
}

impl<const N: usize> fmt::Debug for Saved<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl<const N: usize> Backward<Flex, N> for Custom {
    type State = Saved<N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Saved { inputs, output, rule } = &ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (Some(grad), Some(output)) = (&grad, output.as_slice::<f32>()) else { return };
        let (Some(grad), Some(slices)) =
            (grad.as_slice::<f32>(), array(inputs.each_ref().map(FlexTensor::as_slice::<f32>)))
        else {
            return;
        };
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = rule(Seen { inputs: slices, output, grad, wanted });
        for ((parent, found), input) in ops.parents.iter().zip(found).zip(inputs) {
            if let (Some(node), Some(found)) = (parent, found) {
                let shape = input.layout().shape().clone();
                grads.register::<Flex>(
                    node.id,
                    FlexTensor::from_data(TensorData::new(found, shape)),
                );
            }
        }
    }
}
