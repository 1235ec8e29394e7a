//! Driving a fit to its end, and the contract of trainers.

use quintet_core::{ModelState, Recommender};
use quintet_tensor::{Fit, FitContext, Fitting, Trainer, TrainingData};

use crate::compare::assert_state;

/// How many epochs the suite gives a model: `tiny` parameters must learn the toy world in these.
pub const EPOCHS: usize = 20;

/// Fits to the end: closed-form models at once, others in `epochs` epochs.
///
/// # Panics
/// When the fit fails; the message names the model and the epoch.
pub fn fit_all(
    fit: &dyn Fit,
    data: TrainingData<'_>,
    context: &FitContext,
    epochs: usize,
) -> Box<dyn Recommender> {
    match fit.start(data, context) {
        Err(e) => panic!("model {}: the fit does not start: {e}", fit.name()),
        Ok(Fitting::Fitted(model)) => model,
        Ok(Fitting::Epochs(mut trainer)) => {
            run(fit.name(), &mut *trainer, 1, epochs);
            model_of(fit.name(), &*trainer)
        }
    }
}

/// Epochs `from` to `to`, both included.
fn run(name: &str, trainer: &mut dyn Trainer, from: usize, to: usize) {
    for epoch in from..=to {
        let stats = trainer
            .epoch(epoch)
            .unwrap_or_else(|e| panic!("model {name}: epoch {epoch} fails: {e}"));
        assert!(
            stats.loss.is_finite(),
            "model {name}: the loss of epoch {epoch} is {}",
            stats.loss
        );
        assert!(
            stats.batches > 0 && stats.samples > 0,
            "model {name}: epoch {epoch} trained {} samples in {} batches",
            stats.samples,
            stats.batches
        );
    }
}

fn model_of(name: &str, trainer: &dyn Trainer) -> Box<dyn Recommender> {
    trainer.model().unwrap_or_else(|e| panic!("model {name}: no model from the trainer: {e}"))
}

/// Stopped, saved, loaded into another trainer and resumed, the run ends in the same bytes.
pub(crate) fn check_trainer(
    title: &str,
    fit: &dyn Fit,
    data: TrainingData<'_>,
    context: &FitContext,
) {
    const HALF: usize = 3;
    let name = fit.name();
    let start = || match fit.start(data, context) {
        Ok(Fitting::Epochs(trainer)) => Some(trainer),
        Ok(Fitting::Fitted(_)) => None,
        Err(e) => panic!("{title}: the fit does not start: {e}"),
    };
    let Some(mut whole) = start() else { return };
    assert!(whole.n_parameters() > 0, "{title}: a trainer without a parameter");
    let save = |trainer: &dyn Trainer| -> ModelState {
        trainer.save().unwrap_or_else(|e| panic!("{title}: the trainer cannot be saved: {e}"))
    };
    run(name, &mut *whole, 1, HALF);
    let saved = save(&*whole);
    run(name, &mut *whole, HALF + 1, 2 * HALF);

    let mut resumed = start().unwrap();
    // Loading must replace whatever is there, moments included.
    run(name, &mut *resumed, 1, 1);
    resumed
        .load(&saved)
        .unwrap_or_else(|e| panic!("{title}: the trainer refuses its own saved state: {e}"));
    let what = "a trainer saves, loads and saves again";
    assert_state(title, what, &saved, &save(&*resumed), &context.device);
    run(name, &mut *resumed, HALF + 1, 2 * HALF);
    let what = "training that was stopped and resumed ends elsewhere";
    assert_state(title, what, &save(&*whole), &save(&*resumed), &context.device);
    let (whole, resumed) = (model_of(name, &*whole), model_of(name, &*resumed));
    assert_state(title, what, &whole.state(), &resumed.state(), &context.device);

    let mut other = start().unwrap();
    assert!(
        other.load(&ModelState::new("no such model")).is_err(),
        "{title}: a trainer loads the state of another model"
    );
}
