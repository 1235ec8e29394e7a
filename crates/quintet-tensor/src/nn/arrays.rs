//! The arrays of a network on their way through training.

use burn::prelude::*;
use burn::tensor::Gradients;

use super::layers::{Embedding, Linear};

/// The arrays of a network, to be changed. A network gives them in the same order every time.
#[derive(Debug, Default)]
pub struct Arrays<'a> {
    /// Those of one axis.
    pub vectors: Vec<&'a mut Tensor<1>>,
    /// Those of two.
    pub matrices: Vec<&'a mut Tensor<2>>,
}

impl<'a> Arrays<'a> {
    /// Adds those of a linear layer.
    pub fn linear(&mut self, layer: &'a mut Linear) {
        self.matrices.push(&mut layer.weight);
        self.vectors.extend(&mut layer.bias);
    }

    /// Adds those of a table.
    pub fn embedding(&mut self, table: &'a mut Embedding) {
        self.matrices.push(&mut table.weight);
    }

    /// Adds those of another part.
    pub fn join(&mut self, other: Arrays<'a>) {
        self.vectors.extend(other.vectors);
        self.matrices.extend(other.matrices);
    }

    /// Asks for the gradients of all arrays; they have to be on a device with autodiff.
    pub fn track(self) {
        fn one<const D: usize>(array: &mut Tensor<D>) {
            *array = array.clone().require_grad();
        }
        self.vectors.into_iter().for_each(one);
        self.matrices.into_iter().for_each(one);
    }

    /// Moves every array down its gradient by `rate`, and tracks it again.
    pub fn descend(self, gradients: &mut Gradients, rate: f32) {
        fn one<const D: usize>(array: &mut Tensor<D>, gradients: &mut Gradients, rate: f32) {
            if let Some(gradient) = array.grad_remove(gradients) {
                let moved = array.clone().inner() - gradient.mul_scalar(rate);
                *array = moved.autodiff().require_grad();
            }
        }
        self.vectors.into_iter().for_each(|array| one(array, gradients, rate));
        self.matrices.into_iter().for_each(|array| one(array, gradients, rate));
    }
}
