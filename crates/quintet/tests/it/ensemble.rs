//! The ensemble: its contract under every combination, its parameters and its explanations.

use quintet::Registries;
use quintet::core::{ItemIdx, Matrix, Reason, SeedStream, UserIdx};
use quintet::fusion::decision::decisions;
use quintet::tensor::{Device, FitContext, Fitting, ModelEntry};
use quintet_testkit::{World, check_recommender};
use serde_json::{Value, json};

fn entry() -> ModelEntry {
    Registries::new().unwrap().models.get("ensemble").unwrap().clone()
}

fn refused(params: Value) -> String {
    (entry().build)(&params).err().unwrap().to_string()
}

fn with(method: &str, params: Value) -> ModelEntry {
    let mut entry = entry();
    let mut tiny: Value = serde_json::from_str(entry.tiny).unwrap();
    (tiny["method"], tiny["method_params"]) = (method.into(), params);
    // The suite wants text that lives as long as the program; a test may leak it.
    entry.tiny = Box::leak(tiny.to_string().into_boxed_str());
    entry
}

#[test]
fn every_combination_keeps_the_contract() {
    for decision in decisions().unwrap().iter() {
        check_recommender(&with(decision.name, Value::Null), &Device::flex());
    }
    let own = json!({ "learn": "per_user" });
    check_recommender(&with("weighted", own), &Device::flex());
}

#[test]
fn closed_form_members_are_fitted_at_once_and_fold_in_together() {
    let mut entry = with("rrf", Value::Null);
    let mut tiny: Value = serde_json::from_str(entry.tiny).unwrap();
    tiny["members"] = json!([{ "model": "ease" }, { "model": "itemknn", "label": "near" }]);
    entry.tiny = Box::leak(tiny.to_string().into_boxed_str());
    check_recommender(&entry, &Device::flex());
    let world = World::new();
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(1) };
    let fit = (entry.build)(&tiny).unwrap();
    let Fitting::Fitted(model) = fit.start(world.data(), &context).unwrap() else {
        panic!("nothing is left to train");
    };
    assert!(model.capability().personal);

    // Both put the same item first: 2 / 61, and one addend is 1 / 61.
    let user = UserIdx(0);
    let mut scores = Matrix::default();
    model.score(&[user], &mut scores).unwrap();
    let seen = world.train.items(user);
    assert!(seen.iter().all(|i| scores.row(0)[i.index()] == 0.0), "seen items stand last");
    let best = model.recommend(user, 1, seen).unwrap()[0];
    let reasons = model.explain(user, best.item, seen, 3).unwrap();
    let Reason::Part { name, weight } = &reasons[0] else { panic!("{reasons:?}") };
    assert!(["ease", "near"].contains(&name.as_str()), "{name}");
    assert!(*weight >= best.score / 2.0 && *weight <= 1.0 / 61.0 + 1e-6, "{weight} of {best:?}");
    assert!(reasons.len() > 1, "the member's own reasons are missing: {reasons:?}");
    let unknown = model.explain(user, ItemIdx::new(model.n_items()), seen, 3);
    assert!(unknown.is_err());
}

#[test]
fn a_member_stops_after_its_own_epochs() {
    let params = json!({ "members": [
        { "model": "bpr", "params": { "dim": 4 }, "epochs": 2 },
        { "model": "ease" },
    ] });
    let world = World::new();
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(1) };
    let Fitting::Epochs(mut trainer) =
        (entry().build)(&params).unwrap().start(world.data(), &context).unwrap()
    else {
        panic!("bpr has epochs");
    };
    assert!(trainer.epoch(1).unwrap().batches > 0 && trainer.epoch(2).unwrap().batches > 0);
    let before = trainer.save().unwrap();
    assert_eq!(trainer.epoch(3).unwrap().batches, 0);
    assert_eq!(trainer.save().unwrap(), before);
}

#[test]
fn parameters_that_cannot_work_are_refused() {
    let two = json!([{ "model": "ials" }, { "model": "bpr" }]);
    for (params, what) in [
        (json!({ "members": [{ "model": "ials" }] }), "1 members"),
        (json!({ "members": [{ "model": "ials" }, { "model": "ials" }] }), "are called \"ials\""),
        (json!({ "members": [{ "model": "ials" }, { "model": "brp" }] }), "unknown model \"brp\""),
        (json!({ "members": [{ "model": "ials" }, { "model": "ensemble" }] }), "unknown model"),
        (json!({ "members": [{ "model": "ials", "param": {} }] }), "param"),
        (json!({ "members": two, "method": "rff" }), "unknown decision fusion \"rff\""),
        (json!({ "members": two, "method_params": { "kapa": 1 } }), "kapa"),
        (json!({ "members": two, "holdout": 1.0 }), "holdout"),
        (json!({ "members": two, "holdout_epochs": 0 }), "holdout_epochs"),
        (
            json!({ "members": [{ "model": "ials", "params": { "dmi": 4 } }, { "model": "bpr" }] }),
            "dmi",
        ),
    ] {
        let error = refused(params.clone());
        assert!(error.contains(what), "{params}: {error}");
    }
}
