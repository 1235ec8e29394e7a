//! From parameters to a trained model: the loop around a [`GraphNet`].

use std::marker::PhantomData;
use std::sync::Arc;

use burn::prelude::*;
use quintet_core::{Interactions, ModelState, Recommender};
use quintet_data::{TripletBatch, TripletSampler};
use quintet_tensor::{
    Adam, AdamConfig, EpochStats, Fit, FitContext, FitError, Fitting, Layer, ModelEntry, Trainer,
    TrainingData, check_interactions, check_training_params, load_weights, loss_value,
    matrix_to_tensor, parse_params, run_epoch, save_weights,
};
use serde_json::Value;

use super::model::GraphModel;
use super::{GraphNet, GraphRecipe, World, triples};

/// The registry entry of a model.
pub(crate) fn entry<R: GraphRecipe>() -> ModelEntry {
    ModelEntry {
        name: R::NAME,
        summary: R::SUMMARY,
        build: |params| Ok(Box::new(GraphFit::<R>(parse_params(R::NAME, params)?))),
        load: |state| Ok(Box::new(GraphModel::<R>::load(state)?)),
        tiny: R::TINY,
    }
}

struct GraphFit<R>(R);

impl<R: GraphRecipe> Fit for GraphFit<R> {
    fn name(&self) -> &str {
        R::NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        let trainer = GraphTrainer::<R>::new(&self.0, data, context)?;
        Ok(Fitting::Epochs(Box::new(trainer)))
    }
}

/// A net in training.
pub(crate) struct GraphTrainer<R: GraphRecipe> {
    pub(crate) net: R::Net,
    recipe: R,
    optimiser: Adam,
    sampler: Arc<TripletSampler>,
    world: World,
    context: FitContext,
    _of: PhantomData<R>,
}

impl<R: GraphRecipe> GraphTrainer<R> {
    pub(crate) fn new(
        recipe: &R,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<Self, FitError> {
        let training = recipe.training();
        check_training_params(R::NAME, 1, training.batch_size, training.lr, 0.0)?;
        recipe.check()?;
        check_interactions(R::NAME, data.train)?;
        let device = context.device.clone().autodiff();
        let world = World::new(
            R::NAME,
            data.train,
            data.features,
            recipe.modalities(),
            recipe.needs_features(),
            &device,
        )?;
        let mut net = recipe.net(&world, &mut context.seed.rng(R::NAME, 0))?;
        clear_unused(&mut net, &world)?;
        Ok(Self {
            net,
            recipe: recipe.clone(),
            optimiser: Adam::new(AdamConfig::new(training.lr)),
            sampler: Arc::new(TripletSampler::new(data.train)),
            world,
            context: context.clone(),
            _of: PhantomData,
        })
    }

    /// One step on a batch; the loss before it.
    pub(crate) fn step(
        &mut self,
        batch: &TripletBatch,
        rng: &mut rand_chacha::ChaCha8Rng,
    ) -> Result<f64, FitError> {
        let loss = self.net.loss(&triples(batch), rng);
        let value = loss.clone();
        let mut grads = loss.backward();
        self.optimiser.step(&mut self.net, &mut grads);
        loss_value(value)
    }
}

impl<R: GraphRecipe> Trainer for GraphTrainer<R> {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let training = self.recipe.training();
        let passed = (epoch - 1) as f32 / 50.0;
        self.optimiser.set_lr(training.lr * training.lr_decay.powf(passed));
        self.net.begin_epoch(epoch, self.context.seed)?;
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler.epoch(self.context.seed, epoch as u64, training.batch_size);
        let mut rng = self.context.seed.rng("graph-noise", epoch as u64);
        run_epoch(R::NAME, epoch, batches, |batch| Ok((self.step(batch, &mut rng)?, batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let mut weights = ModelState::new("weights");
        save_weights(&self.net, "", &mut weights)?;
        for (name, numbers) in self.net.memory() {
            weights.put(name, numbers);
        }
        Ok(Box::new(GraphModel::new(
            &self.recipe,
            &self.net,
            weights,
            &self.world,
            Some(self.context.device.clone()),
        )?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(R::NAME);
        save_weights(&self.net, "net.", &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        for (name, numbers) in self.net.memory() {
            state.put(name, numbers);
        }
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let device: Device = self.world.device.clone();
        load_weights(&mut self.net, "net.", state, &device)?;
        self.optimiser.load(&self.net, "adam.", state, &device)?;
        self.net.remember(state)
    }

    fn n_parameters(&self) -> usize {
        self.net.n_parameters()
    }
}

/// Zeroes the ids of items that nobody used: a random start would never be trained away, and reach
/// scores through the graphs.
fn clear_unused(net: &mut impl Layer, world: &World) -> Result<(), FitError> {
    let ids: Vec<bool> = net
        .weights()
        .iter()
        .map(|(name, w)| name.starts_with("items") && w.dims()[0] == world.n_items())
        .collect();
    for (weight, _) in net.weights_mut().into_iter().zip(ids).filter(|(_, ids)| *ids) {
        let mut values = weight.to_matrix()?;
        for (item, _) in world.warm.iter().enumerate().filter(|(_, warm)| !**warm) {
            values.row_mut(item).fill(0.0);
        }
        weight.set(matrix_to_tensor(&values, &world.device));
    }
    Ok(())
}

/// Interactions of `train` with `more` items that nobody used after the others.
pub(super) fn longer(train: &Interactions, n_items: usize) -> Result<Interactions, FitError> {
    let cells = train.iter();
    Ok(Interactions::from_sorted(train.n_users(), n_items, train.nnz(), cells)?)
}
