//! Held-out data whose role is part of its type.
//!
//! Choices (hyper-parameters, early stopping) are functions of [`Held<Valid>`] only; a function
//! that picks a model by test results does not type-check.

use std::marker::PhantomData;

use crate::Interactions;

/// The role of held-out data.
pub trait Phase: Send + Sync + 'static {
    /// `"valid"` or `"test"`.
    const NAME: &'static str;
}

/// Data that choices may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Valid;

/// Data that is opened once, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test;

impl Phase for Valid {
    const NAME: &'static str = "valid";
}

impl Phase for Test {
    const NAME: &'static str = "test";
}

/// Held-out interactions of one phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Held<P: Phase> {
    truth: Interactions,
    phase: PhantomData<P>,
}

impl<P: Phase> Held<P> {
    /// Marks `truth` as held out for `P`.
    pub fn new(truth: Interactions) -> Self {
        Self { truth, phase: PhantomData }
    }

    /// The held-out interactions.
    pub fn truth(&self) -> &Interactions {
        &self.truth
    }
}
