//! Settings that are out of range are named before anything is trained.

use quintet_train::{TrainConfig, TrainError};

use crate::support::{Data, Heard, Script, fails, fit_heard};

fn refused(config: &TrainConfig) -> TrainError {
    let mut heard = Heard::default();
    let script = Script { hits: vec![1; 200] };
    let error = fails(fit_heard(&script, &Data::scripted(), config, None, &mut heard));
    assert!(heard.epochs.is_empty(), "{error}: found only after {} epochs", heard.epochs.len());
    error
}

#[test]
fn a_setting_out_of_range_is_named() {
    let base = TrainConfig::default;
    let cases = [
        ("epochs", TrainConfig { epochs: 0, ..base() }),
        ("patience", TrainConfig { patience: 0, ..base() }),
        ("eval_every", TrainConfig { eval_every: 0, ..base() }),
        ("metric", TrainConfig { metric: "ndcg".into(), ..base() }),
        ("metric", TrainConfig { metric: "ndcg@0".into(), ..base() }),
        ("metric", TrainConfig { metric: "ndcg@ten".into(), ..base() }),
        ("metric", TrainConfig { metric: "@10".into(), ..base() }),
        ("metric", TrainConfig { metric: String::new(), ..base() }),
    ];
    for (name, config) in cases {
        assert!(config.validate().is_err(), "{config:?}");
        let error = refused(&config);
        let text = error.to_string();
        let TrainError::Config { key, .. } = error else { panic!("{name}: {text}") };
        assert_eq!(key, name);
        assert!(text.contains("expected") && text.contains("found"), "{text}");
    }
    assert!(base().validate().is_ok());
}

#[test]
fn an_unknown_metric_costs_no_epoch() {
    let metric = "ndgc@10".into();
    let error = refused(&TrainConfig { metric, eval_every: 5, ..TrainConfig::default() });
    let text = error.to_string();
    assert!(text.contains("ndgc") && text.contains("ndcg"), "{text}");
}

#[test]
fn a_typo_in_a_table_is_refused() {
    let read = |text: &str| serde_json::from_str::<TrainConfig>(text);
    assert_eq!(read("{}").unwrap(), TrainConfig::default());
    let error = read(r#"{"epoch": 3}"#).unwrap_err().to_string();
    assert!(error.contains("`epoch`") && error.contains("`epochs`"), "{error}");
    assert!(read(r#"{"epochs": -1}"#).is_err());
}
