//! Agreement with scikit-learn on 280 random inputs; `tests/fixtures/scikit_learn/generate.py`
//! wrote them. Where scikit-learn has no number, ours is an error.

use quintet_metrics::EvalError;
use quintet_metrics::classification::{
    Average, Binning, ClassScores, Confusion, Reliability, average_precision, brier, log_loss,
    log_loss_classes, pr_auc_trapezoid, roc_auc,
};
use quintet_metrics::rating::RatingScores;
use serde::Deserialize;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Cases {
    ratings: Vec<RatingCase>,
    labels: Vec<LabelCase>,
    scores: Vec<ScoreCase>,
}

#[derive(Deserialize)]
struct RatingCase {
    truth: Vec<f64>,
    predicted: Vec<f64>,
    mse: f64,
    rmse: f64,
    mae: f64,
    r2: Option<f64>,
}

#[derive(Deserialize)]
struct LabelCase {
    n_classes: usize,
    truth: Vec<usize>,
    predicted: Vec<usize>,
    accuracy: f64,
    micro: [f64; 3],
    r#macro: [f64; 3],
    weighted: [f64; 3],
    classes: Vec<[f64; 3]>,
    probability: Vec<f64>,
    log_loss: f64,
}

#[derive(Deserialize)]
struct ScoreCase {
    truth: Vec<bool>,
    probability: Vec<f64>,
    log_loss: f64,
    brier: f64,
    roc_auc: Option<f64>,
    average_precision: Option<f64>,
    trapezoid: Option<f64>,
    n_bins: usize,
    /// Observed shares and mean predictions of the bins that are not empty.
    equal_width: [Vec<f64>; 2],
    equal_mass: [Vec<f64>; 2],
}

fn cases() -> Cases {
    let manifest = include_str!("../fixtures/scikit_learn/manifest.toml");
    assert!(manifest.contains("tolerance = 1e-9\n"), "the manifest states another tolerance");
    serde_json::from_str(include_str!("../fixtures/scikit_learn/cases.json")).unwrap()
}

#[track_caller]
fn close(case: usize, what: &str, got: f64, want: f64) {
    let scale = want.abs().max(1.0);
    assert!((got - want).abs() <= TOLERANCE * scale, "{what}, case {case}: {got}, not {want}");
}

#[track_caller]
fn close_or_error(case: usize, what: &str, got: Result<f64, EvalError>, want: Option<f64>) {
    match (got, want) {
        (Ok(got), Some(want)) => close(case, what, got, want),
        (Err(EvalError::OneClass { .. }), None) => {}
        (got, want) => panic!("{what}, case {case}: {got:?}, not {want:?}"),
    }
}

#[test]
fn ratings_agree() {
    let cases = cases().ratings;
    assert_eq!(cases.len(), 80);
    for (case, c) in cases.iter().enumerate() {
        let got = RatingScores::new(&c.truth, &c.predicted).unwrap();
        close(case, "mse", got.mse, c.mse);
        close(case, "rmse", got.rmse, c.rmse);
        close(case, "mae", got.mae, c.mae);
        assert_eq!(got.r2.is_some(), c.r2.is_some(), "r2, case {case}");
        close(case, "r2", got.r2.unwrap_or(0.0), c.r2.unwrap_or(0.0));
    }
}

#[test]
fn classes_agree() {
    let cases = cases().labels;
    assert_eq!(cases.len(), 80);
    for (case, c) in cases.iter().enumerate() {
        let got = Confusion::new(&c.truth, &c.predicted, c.n_classes).unwrap();
        close(case, "accuracy", got.accuracy(), c.accuracy);
        let agree = |what: &str, got: ClassScores, want: &[f64; 3]| {
            close(case, &format!("precision of {what}"), got.precision, want[0]);
            close(case, &format!("recall of {what}"), got.recall, want[1]);
            close(case, &format!("f1 of {what}"), got.f1, want[2]);
        };
        agree("micro", got.average(Average::Micro), &c.micro);
        agree("macro", got.average(Average::Macro), &c.r#macro);
        agree("weighted", got.average(Average::Weighted), &c.weighted);
        for (class, want) in c.classes.iter().enumerate() {
            agree(&format!("class {class}"), got.class(class), want);
        }
        let loss = log_loss_classes(&c.truth, &c.probability, c.n_classes).unwrap();
        close(case, "log-loss", loss, c.log_loss);
    }
}

#[test]
fn scores_agree_and_one_class_is_an_error() {
    let cases = cases().scores;
    assert_eq!(cases.len(), 120);
    for (case, c) in cases.iter().enumerate() {
        let (t, p) = (&c.truth, &c.probability);
        close(case, "log-loss", log_loss(t, p).unwrap(), c.log_loss);
        close(case, "brier", brier(t, p).unwrap(), c.brier);
        close_or_error(case, "roc_auc", roc_auc(t, p), c.roc_auc);
        close_or_error(case, "average precision", average_precision(t, p), c.average_precision);
        close_or_error(case, "trapezoid", pr_auc_trapezoid(t, p), c.trapezoid);
    }
    assert!(cases.iter().filter(|c| c.roc_auc.is_none()).count() >= 10);
}

#[test]
fn reliability_tables_agree() {
    for (case, c) in cases().scores.iter().enumerate() {
        for (binning, [observed, predicted]) in [
            (Binning::EqualWidth(c.n_bins), &c.equal_width),
            (Binning::EqualMass(c.n_bins), &c.equal_mass),
        ] {
            let table = Reliability::new(&c.truth, &c.probability, binning).unwrap();
            assert_eq!(table.bins().len(), c.n_bins);
            let filled: Vec<_> = table.bins().iter().filter(|bin| bin.n > 0).collect();
            assert_eq!(filled.len(), observed.len(), "{binning:?}, case {case}");
            let (mut ece, mut mce) = (0.0, 0.0f64);
            for (bin, (o, p)) in filled.iter().zip(observed.iter().zip(predicted)) {
                close(case, "observed", bin.observed.unwrap(), *o);
                close(case, "predicted", bin.predicted.unwrap(), *p);
                ece += bin.n as f64 * (o - p).abs() / c.truth.len() as f64;
                mce = mce.max((o - p).abs());
            }
            close(case, "ece", table.ece(), ece);
            close(case, "mce", table.mce(), mce);
        }
    }
}
