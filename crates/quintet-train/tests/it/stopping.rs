//! When training ends, and which weights are kept.

use quintet_tensor::FitError;
use quintet_train::{Stopped, TrainConfig, TrainError, ValidItems};

use crate::support::{Data, Heard, Script, epoch_of, fails, fit, fit_heard, model, settings};

fn scripted(hits: &[usize], config: &TrainConfig) -> quintet_train::Fitted {
    let script = Script { hits: hits.to_vec() };
    fit(&script, &Data::scripted(), config, None).unwrap()
}

fn at_one(epochs: usize, patience: usize, eval_every: usize) -> TrainConfig {
    let metric = "ndcg@1".into();
    TrainConfig { epochs, patience, eval_every, metric, ..TrainConfig::default() }
}

#[test]
fn the_best_epoch_is_kept_and_patience_counts_from_it() {
    // 3 of 4 users in epoch 3, never more later; the tie in epoch 4 is no improvement.
    let hits = [1, 2, 3, 3, 2, 1, 4, 4];
    let fitted = scripted(&hits, &at_one(8, 3, 1));
    let report = &fitted.report;
    assert_eq!((report.stopped, report.epochs, report.best_epoch), (Stopped::Patience, 6, 3));
    assert_eq!((report.best_valid, report.metric.as_str()), (0.75, "ndcg@1"));
    assert_eq!(epoch_of(&fitted), 3);
    assert_eq!(fitted.log.iter().map(|r| r.epoch).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let values: Vec<f64> = fitted.log.iter().map(|r| r.valid["ndcg@1"]).collect();
    assert_eq!(values, [0.25, 0.5, 0.75, 0.75, 0.5, 0.25]);

    // One more evaluation of patience reaches the better epoch 7.
    let fitted = scripted(&hits, &at_one(8, 4, 1));
    assert_eq!((fitted.report.stopped, fitted.report.epochs), (Stopped::Epochs, 8));
    assert_eq!((fitted.report.best_epoch, epoch_of(&fitted)), (7, 7));
    assert_eq!(fitted.report.best_valid, 1.0);
}

#[test]
fn patience_counts_evaluations_and_the_last_epoch_is_evaluated() {
    // Evaluated: epochs 2, 4 and, as the last, 5.
    let fitted = scripted(&[4, 1, 4, 1, 2], &at_one(5, 2, 2));
    let evaluated: Vec<usize> =
        fitted.log.iter().filter(|r| !r.valid.is_empty()).map(|r| r.epoch).collect();
    assert_eq!(evaluated, [2, 4, 5]);
    assert_eq!((fitted.report.best_epoch, fitted.report.best_valid), (5, 0.5));
    assert_eq!((fitted.report.stopped, epoch_of(&fitted)), (Stopped::Epochs, 5));

    // Patience of two evaluations, two epochs each.
    let fitted = scripted(&[0, 3, 0, 2, 0, 2, 4, 4], &at_one(8, 2, 2));
    assert_eq!((fitted.report.stopped, fitted.report.epochs), (Stopped::Patience, 6));
    assert_eq!(epoch_of(&fitted), 2);

    // Longer apart than the whole training: the last epoch decides alone.
    let fitted = scripted(&[4, 4, 1], &at_one(3, 1, 100));
    assert_eq!((fitted.report.best_epoch, fitted.report.best_valid), (3, 0.25));
}

#[test]
fn an_item_that_nobody_has_used_competes_only_when_asked() {
    let hits = [1, 3, 2];
    let used = scripted(&hits, &at_one(3, 5, 1));
    assert_eq!((used.report.best_epoch, used.report.best_valid), (2, 0.75));
    // The unused item is first for everyone, so nobody's first item is right.
    let all = TrainConfig { valid_items: ValidItems::All, ..at_one(3, 5, 1) };
    let all = scripted(&hits, &all);
    assert_eq!((all.report.best_epoch, all.report.best_valid), (1, 0.0));
    // In second place the three users have it again: 1/log2(3) each.
    let two =
        TrainConfig { metric: "ndcg@2".into(), valid_items: ValidItems::All, ..at_one(3, 5, 1) };
    let two = scripted(&hits, &two).report;
    assert_eq!(two.best_epoch, 2);
    assert!((two.best_valid - 0.75 / 3.0_f64.log2()).abs() < 1e-12, "{}", two.best_valid);
}

/// Everybody had item 0; four users will have item 1 and one item 2, both new, and item 3 stands
/// before all of them.
#[test]
fn new_items_are_ranked_among_themselves() {
    let train = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)];
    let data = Data::of(&train, &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 2)]);
    let best = |valid_items| {
        let config = TrainConfig { valid_items, ..at_one(2, 5, 1) };
        fit(&Script { hits: vec![1, 2] }, &data, &config, None).unwrap().report.best_valid
    };
    // Two of the four, and the fifth.
    assert!((best(ValidItems::New) - 0.6).abs() < 1e-12);
    assert_eq!(best(ValidItems::All), 0.0);
    // Where validation has nothing new there is nothing to look at.
    let known = Data::of(&[(0, 0), (1, 1)], &[(0, 1), (1, 0)]);
    let new = TrainConfig { valid_items: ValidItems::New, ..at_one(2, 5, 1) };
    let refused = fit(&Script { hits: vec![1] }, &known, &new, None).map(drop).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("[train] valid_items") && text.contains("\"new\""), "{text}");
}

#[test]
fn a_model_that_never_hits_is_still_a_model() {
    let fitted = scripted(&[0, 0, 0], &at_one(3, 2, 1));
    assert_eq!((fitted.report.best_epoch, fitted.report.best_valid), (1, 0.0));
    assert_eq!((fitted.report.stopped, epoch_of(&fitted)), (Stopped::Patience, 1));
}

#[test]
fn real_models_end_with_the_best_value_of_their_log() {
    let data = Data::world();
    for name in ["bpr", "lightgcn"] {
        let fit_it = model(name, None);
        let config = TrainConfig { epochs: 30, patience: 3, ..TrainConfig::default() };
        let fitted = fit(fit_it.as_ref(), &data, &config, None).unwrap();
        let r = &fitted.report;
        let values: Vec<f64> = fitted.log.iter().map(|e| e.valid["ndcg@10"]).collect();
        let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = values.iter().position(|v| *v == best).unwrap() + 1;
        assert_eq!((r.best_valid, r.best_epoch), (best, first), "{name}: {values:?}");
        assert_eq!(r.epochs, fitted.log.len(), "{name}");
        match r.stopped {
            Stopped::Patience => assert_eq!(r.epochs, r.best_epoch + 3, "{name}"),
            Stopped::Epochs => assert_eq!(r.epochs, 30, "{name}"),
            Stopped::ClosedForm => panic!("{name} has epochs"),
        }
        // The weights are those of the best epoch: trained so far and no further, the same.
        let short = TrainConfig { epochs: r.best_epoch, ..config.clone() };
        let again = fit(fit_it.as_ref(), &data, &short, None).unwrap();
        assert_eq!(fitted.model.state(), again.model.state(), "{name}");
        assert!(r.n_parameters > 0, "{name}");
    }
}

#[test]
fn a_closed_form_model_has_no_epochs() {
    let data = Data::world();
    for name in ["popularity", "itemknn"] {
        let dir = tempfile::tempdir().unwrap();
        let place = quintet_train::RunPlace::new(dir.path(), "x").unwrap();
        let mut heard = Heard::default();
        let fit_it = model(name, None);
        let config = settings(10, 1);
        let fitted = fit_heard(fit_it.as_ref(), &data, &config, Some(&place), &mut heard).unwrap();
        let r = &fitted.report;
        assert_eq!((r.stopped, r.epochs, r.best_epoch), (Stopped::ClosedForm, 0, 0), "{name}");
        assert_eq!((r.n_parameters, fitted.log.len()), (0, 0), "{name}");
        assert!((0.0..=1.0).contains(&r.best_valid), "{name}: {}", r.best_valid);
        assert!(heard.begun.is_empty() && heard.epochs.is_empty(), "{name}");
        assert!(!dir.path().join("checkpoints").exists(), "{name}");
    }
}

#[test]
fn what_diverges_names_epoch_and_batch() {
    let data = Data::world();
    for name in ["bpr", "lightgcn"] {
        let params = serde_json::json!({ "dim": 8, "lr": 1e30, "batch_size": 128 });
        let fit_it = model(name, Some(params));
        let mut heard = Heard::default();
        let config = settings(5, 0);
        let error = fails(fit_heard(fit_it.as_ref(), &data, &config, None, &mut heard));
        let text = error.to_string();
        let TrainError::Fit(FitError::Diverged { model, epoch, batch, loss }) = error else {
            panic!("{name}: {text}");
        };
        assert_eq!((model.as_str(), epoch), (name, 1));
        assert!(batch >= 2 && !loss.is_finite(), "{text}");
        assert!(text.contains("epoch 1") && text.contains(&format!("batch {batch}")), "{text}");
        // The bar is taken away, also after an error.
        assert_eq!((heard.begun.len(), heard.ended), (1, 1), "{name}");
    }
}

#[test]
fn progress_hears_every_epoch_once() {
    let mut heard = Heard::default();
    let script = Script { hits: vec![1, 2, 1, 1, 1] };
    let config = at_one(5, 2, 1);
    fit_heard(&script, &Data::scripted(), &config, None, &mut heard).unwrap();
    assert_eq!(heard.begun, [("script".to_owned(), 5)]);
    assert_eq!(heard.epochs, [1, 2, 3, 4]);
    assert_eq!((heard.ended, heard.notes.len()), (1, 0));
}
