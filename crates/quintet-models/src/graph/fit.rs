//! From parameters to a trained model: the loop around a [`GraphNet`].

use std::marker::PhantomData;
use std::sync::Arc;

use burn::prelude::*;
use quintet_core::{Interactions, Matrix, ModelState, Recommender};
use quintet_data::{TripletBatch, TripletSampler};
use quintet_tensor::{
    EpochStats, Fit, FitContext, FitError, Fitting, Layer, ModelEntry, Optimiser, Schedule,
    Trainer, TrainingData, WeightGradients, check_interactions, check_training_params,
    load_weights, loss_value, matrix_to_tensor, parse_params, run_epoch, save_weights,
    tensor_to_matrix,
};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::attributes;
use super::model::GraphModel;
use super::options::{Options, above};
use super::{AttributeView, GraphNet, GraphRecipe, World, triples};

/// The registry entry of a model.
pub(crate) fn entry<R: GraphRecipe>() -> ModelEntry {
    ModelEntry {
        name: R::NAME,
        summary: R::SUMMARY,
        build: |params| Ok(Box::new(GraphFit::<R>::parse(params)?)),
        load: |state| Ok(Box::new(GraphModel::<R>::load(state)?)),
        tiny: R::TINY,
    }
}

/// The parameters of a model and how it is trained.
struct GraphFit<R> {
    recipe: R,
    options: Options,
}

impl<R: GraphRecipe> GraphFit<R> {
    fn parse(params: &Value) -> Result<Self, FitError> {
        let mut params = params.clone();
        let options = Options::take(R::NAME, &mut params)?;
        Ok(Self { recipe: parse_params(R::NAME, &params)?, options })
    }
}

impl<R: GraphRecipe> Fit for GraphFit<R> {
    fn name(&self) -> &str {
        R::NAME
    }

    fn config(&self) -> Value {
        let mut all = serde_json::to_value(&self.recipe).unwrap_or_default();
        if let Some(all) = all.as_object_mut() {
            self.options.write(all);
        }
        all
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        let trainer = GraphTrainer::<R>::new(&self.recipe, &self.options, data, context)?;
        Ok(Fitting::Epochs(Box::new(trainer)))
    }
}

/// A net in training.
pub(crate) struct GraphTrainer<R: GraphRecipe> {
    pub(crate) net: R::Net,
    recipe: R,
    options: Options,
    optimiser: Optimiser,
    sampler: Arc<TripletSampler>,
    world: World,
    context: FitContext,
    _of: PhantomData<R>,
}

impl<R: GraphRecipe> GraphTrainer<R> {
    pub(crate) fn new(
        recipe: &R,
        options: &Options,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<Self, FitError> {
        let training = recipe.training();
        check_training_params(R::NAME, 1, training.batch_size, training.lr, 0.0)?;
        recipe.check()?;
        AttributeView::check(recipe.attribute_view(), R::NAME)?;
        check_interactions(R::NAME, data.train)?;
        let device = context.device.clone().autodiff();
        let mut world = World::new(
            R::NAME,
            data.train,
            data.features,
            recipe.modalities(),
            recipe.needs_features(),
            &device,
        )?;
        if recipe.reads_attributes() {
            world.attributes = attributes::read(R::NAME, data)?;
        }
        let mut net = recipe.net(&world, &mut context.seed.rng(R::NAME, 0))?;
        clear_unused(&mut net, &world)?;
        Ok(Self {
            net,
            recipe: recipe.clone(),
            options: options.clone(),
            optimiser: Optimiser::new(options.optimiser.clone(), training.lr),
            sampler: Arc::new(TripletSampler::new(data.train)),
            world,
            context: context.clone(),
            _of: PhantomData,
        })
    }

    /// One step on batch `nth` of an epoch; the loss before it.
    pub(crate) fn step(
        &mut self,
        nth: usize,
        batch: &TripletBatch,
        rng: &mut ChaCha8Rng,
    ) -> Result<f64, FitError> {
        let (value, grads) = self.gradients(batch, rng);
        match self.optimiser.mirrors(nth) {
            None => self.optimiser.push(&mut self.net, grads)?,
            Some(mirror) => {
                self.optimiser.apply(&mut self.net, grads.scale(mirror.forward))?;
                let (_, back) = self.gradients(batch, rng);
                self.optimiser.apply(&mut self.net, back.scale(-mirror.back))?;
            }
        }
        loss_value(value)
    }

    /// The loss of a batch and its gradients, with those after the worst small change where that
    /// is asked for.
    fn gradients(
        &mut self,
        batch: &TripletBatch,
        rng: &mut ChaCha8Rng,
    ) -> (Tensor<1>, WeightGradients) {
        let (loss, grads) = self.plain_gradients(batch, rng);
        let Some(adversarial) = self.options.adversarial else { return (loss, grads) };
        let before: Vec<Tensor<2>> =
            self.net.weights().iter().map(|(_, w)| w.tensor().inner()).collect();
        grads.clone().unit_rows().move_by(&mut self.net, adversarial.epsilon);
        let (worst, after) = self.plain_gradients(batch, rng);
        for (weight, value) in self.net.weights_mut().into_iter().zip(before) {
            weight.set(value.autodiff());
        }
        (loss + worst * adversarial.weight, grads.plus(after.scale(adversarial.weight)))
    }

    fn plain_gradients(
        &mut self,
        batch: &TripletBatch,
        rng: &mut ChaCha8Rng,
    ) -> (Tensor<1>, WeightGradients) {
        let loss = self.net.loss(&triples(batch), rng);
        let mut grads = loss.clone().backward();
        (loss, WeightGradients::take(&self.net, &mut grads))
    }

    /// What is left out in `epoch`, and the vectors that say so.
    fn truncation(&self, epoch: usize) -> Result<Option<(f32, Matrix, Matrix)>, FitError> {
        let Some(truncate) = self.options.truncate.filter(|_| epoch > 1) else { return Ok(None) };
        let (users, items) = self.net.vectors();
        let host = |t: Tensor<2>| tensor_to_matrix(t.inner()).map_err(FitError::Device);
        let (users, items) = (host(users)?, host(items)?);
        let limit = truncate.limit(epoch, &self.world.train, &users, &items);
        Ok(Some((limit, users, items)))
    }

    /// What the step size is multiplied by in `epoch`.
    fn factor(&self, epoch: usize) -> f32 {
        let own = Schedule::Exponential { factor: self.recipe.training().lr_decay, every: 50.0 };
        self.options.optimiser.schedule.unwrap_or(own).factor(epoch - 1)
    }
}

impl<R: GraphRecipe> Trainer for GraphTrainer<R> {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let training = self.recipe.training();
        self.optimiser.set_lr(training.lr * self.factor(epoch));
        self.net.begin_epoch(epoch, self.context.seed)?;
        let truncation = self.truncation(epoch)?;
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler.epoch(self.context.seed, epoch as u64, training.batch_size);
        let mut rng = self.context.seed.rng("graph-noise", epoch as u64);
        let stats = run_epoch(R::NAME, epoch, batches.enumerate(), |(nth, batch)| {
            let kept = truncation.as_ref().map(|(limit, u, i)| above(batch, *limit, u, i));
            let batch = kept.as_ref().unwrap_or(batch);
            if batch.users.is_empty() {
                return Ok((0.0, 0));
            }
            Ok((self.step(*nth, batch, &mut rng)?, batch.len()))
        })?;
        self.optimiser.flush(&mut self.net)?;
        Ok(stats)
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let mut averaged = None;
        if self.optimiser.averages() {
            let mut net = self.net.clone();
            self.optimiser.put_mean(&mut net);
            averaged = Some(net);
        }
        let net = averaged.as_ref().unwrap_or(&self.net);
        let mut weights = ModelState::new("weights");
        save_weights(net, "", &mut weights)?;
        for (name, numbers) in net.memory() {
            weights.put(name, numbers);
        }
        Ok(Box::new(GraphModel::new(
            &self.recipe,
            net,
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
