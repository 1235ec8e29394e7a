//! A run that was stopped and goes on ends where it would have ended.

use std::path::Path;

use quintet_train::{EpochRecord, Fitted, RunPlace, Stopped, TrainConfig, TrainError};

use crate::support::{
    Data, Heard, Interrupted, Script, epoch_of, fails, fit, fit_heard, model, settings, timeless,
};

fn place(dir: &Path) -> RunPlace {
    RunPlace::new(dir, "the run").unwrap()
}

fn log_lines(dir: &Path) -> Vec<EpochRecord> {
    let text = fs_err::read_to_string(dir.join("metrics.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_same(name: &str, whole: &Fitted, resumed: &Fitted) {
    assert_eq!(whole.model.state(), resumed.model.state(), "{name}: weights");
    assert_eq!(whole.report, resumed.report, "{name}: report");
    assert_eq!(timeless(&whole.log), timeless(&resumed.log), "{name}: log");
}

#[test]
fn four_epochs_and_four_more_are_eight() {
    let data = Data::world();
    for name in ["bpr", "lightgcn"] {
        let fit_it = model(name, None);
        let whole = fit(fit_it.as_ref(), &data, &settings(8, 0), None).unwrap();
        assert_eq!(whole.report.stopped, Stopped::Epochs);

        let dir = tempfile::tempdir().unwrap();
        let first = fit(fit_it.as_ref(), &data, &settings(4, 2), Some(&place(dir.path()))).unwrap();
        assert_eq!((first.report.epochs, log_lines(dir.path()).len()), (4, 4));
        let mut heard = Heard::default();
        let config = settings(8, 2);
        let there = place(dir.path());
        let second = fit_heard(fit_it.as_ref(), &data, &config, Some(&there), &mut heard).unwrap();
        assert_eq!(heard.notes, [format!("{name}: resumed after epoch 4")]);
        assert_eq!(heard.epochs, [5, 6, 7, 8]);
        assert_same(name, &whole, &second);
        assert_eq!(timeless(&log_lines(dir.path())), timeless(&whole.log));
    }
}

#[test]
fn a_run_cut_off_between_checkpoints_loses_only_the_epochs_since() {
    let data = Data::world();
    for name in ["bpr", "lightgcn"] {
        let fit_it = model(name, None);
        let config = settings(8, 2);
        let whole = fit(fit_it.as_ref(), &data, &config, None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let there = place(dir.path());
        for at in [4, 6] {
            let cut = Interrupted { inner: fit_it.as_ref(), at };
            let error = fails(fit(&cut, &data, &config, Some(&there)));
            assert!(error.to_string().contains("the power is gone"), "{error}");
            assert_eq!(
                log_lines(dir.path()).len(),
                at - 1,
                "{name}: every finished epoch is logged"
            );
        }
        // What a crash in the middle of writing leaves behind is no checkpoint.
        let half = dir.path().join("checkpoints/ckpt-000006.tmp");
        fs_err::create_dir_all(&half).unwrap();
        fs_err::write(half.join("trainer.safetensors"), b"half").unwrap();
        let mut heard = Heard::default();
        let resumed = fit_heard(fit_it.as_ref(), &data, &config, Some(&there), &mut heard).unwrap();
        assert_eq!(heard.epochs, [5, 6, 7, 8], "{name}");
        assert_same(name, &whole, &resumed);
        assert_eq!(timeless(&log_lines(dir.path())), timeless(&whole.log));
    }
}

#[test]
fn a_checkpoint_from_before_the_first_evaluation_is_one_too() {
    let data = Data::world();
    let fit_it = model("bpr", None);
    let config = TrainConfig { eval_every: 4, ..settings(8, 1) };
    let whole = fit(fit_it.as_ref(), &data, &config, None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let there = place(dir.path());
    fails(fit(&Interrupted { inner: fit_it.as_ref(), at: 3 }, &data, &config, Some(&there)));
    let resumed = fit(fit_it.as_ref(), &data, &config, Some(&there));
    let resumed = resumed.unwrap_or_else(|e| panic!("stopped after epoch 2, not resumed: {e}"));
    assert_same("bpr", &whole, &resumed);
}

#[test]
fn a_run_that_is_over_is_not_trained_again() {
    let data = Data::scripted();
    for (hits, stopped) in
        [(vec![1, 2, 3, 4, 4], Stopped::Epochs), (vec![3, 1, 1, 4, 4], Stopped::Patience)]
    {
        let script = Script { hits };
        let dir = tempfile::tempdir().unwrap();
        let metric = "ndcg@1".into();
        let config = TrainConfig { patience: 2, metric, ..settings(4, 10) };
        let there = place(dir.path());
        let first = fit(&script, &data, &config, Some(&there)).unwrap();
        assert_eq!(first.report.stopped, stopped);
        let mut heard = Heard::default();
        let again = fit_heard(&script, &data, &config, Some(&there), &mut heard).unwrap();
        assert!(heard.epochs.is_empty(), "{:?}", heard.epochs);
        assert_eq!((&first.report, epoch_of(&first)), (&again.report, epoch_of(&again)));
    }
}

#[test]
fn early_stopping_goes_on_where_it_was() {
    // Best in epoch 2; waited 2 of 4 when the run is cut off in epoch 5.
    let script = Script { hits: vec![1, 3, 2, 2, 2, 2, 4] };
    let data = Data::scripted();
    let config = TrainConfig { patience: 4, metric: "ndcg@1".into(), ..settings(7, 1) };
    let dir = tempfile::tempdir().unwrap();
    let there = place(dir.path());
    fails(fit(&Interrupted { inner: &script, at: 5 }, &data, &config, Some(&there)));
    let fitted = fit(&script, &data, &config, Some(&there)).unwrap();
    assert_eq!((fitted.report.stopped, fitted.report.epochs), (Stopped::Patience, 6));
    assert_eq!((fitted.report.best_epoch, epoch_of(&fitted)), (2, 2));
}

#[test]
fn metrics_jsonl_has_one_object_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script { hits: vec![1, 2, 3] };
    let config = TrainConfig { metric: "ndcg@1".into(), eval_every: 2, ..settings(3, 0) };
    fit(&script, &Data::scripted(), &config, Some(&place(dir.path()))).unwrap();
    let text = fs_err::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(
            (line["epoch"].as_u64(), line["samples"].as_u64()),
            (Some(i as u64 + 1), Some(4))
        );
        assert!(line["loss"].is_f64() && line["train_seconds"].is_f64(), "{line}");
    }
    assert_eq!(lines[0]["valid"], serde_json::json!({}));
    assert_eq!(lines[1]["valid"], serde_json::json!({ "ndcg@1": 0.5 }));
    assert_eq!(lines[2]["valid"], serde_json::json!({ "ndcg@1": 0.75 }));
    assert!(!dir.path().join("checkpoints").exists(), "checkpoint_every = 0 writes none");
}

#[test]
fn two_checkpoints_stay() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script { hits: vec![1; 7] };
    let config = TrainConfig { metric: "ndcg@1".into(), ..settings(7, 2) };
    fit(&script, &Data::scripted(), &config, Some(&place(dir.path()))).unwrap();
    let mut names: Vec<String> = fs_err::read_dir(dir.path().join("checkpoints"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ckpt-000006", "ckpt-000007"]);
}

#[test]
fn the_checkpoint_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script { hits: vec![1; 4] };
    let data = Data::scripted();
    let config = TrainConfig { metric: "ndcg@1".into(), ..settings(2, 1) };
    fit(&script, &data, &config, Some(&place(dir.path()))).unwrap();
    let other = RunPlace::new(dir.path(), "another run").unwrap();
    let error = fails(fit(&script, &data, &config, Some(&other)));
    let TrainError::OtherRun { path } = &error else { panic!("{error}") };
    assert!(path.ends_with("checkpoints"), "{path}");
    assert!(error.to_string().contains("another run"), "{error}");
    // Nothing of the first run was harmed.
    assert_eq!(fit(&script, &data, &config, Some(&place(dir.path()))).unwrap().report.epochs, 2);
}

#[test]
fn an_identity_is_of_its_parts_and_their_bounds() {
    let id = |parts: &[&str]| RunPlace::identity(parts);
    assert_eq!(id(&["a", "b"]), id(&["a", "b"]));
    assert_ne!(id(&["a", "b"]), id(&["b", "a"]));
    assert_ne!(id(&["ab", "c"]), id(&["a", "bc"]));
    assert_ne!(id(&["a"]), id(&["a", ""]));
}
