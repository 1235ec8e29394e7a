//! Kinds of events from the log to the heads of a model, by every verb that fits models.

use quintet::Registries;
use quintet::core::{FeatureSet, ItemIdx, UserIdx};
use quintet::data::{Dataset, Event, Item, User};
use quintet::pipeline::{Workspace, cross_validate, prepare, train_models, tune_stage};
use quintet::tensor::{Device, TrainingData};
use quintet::train::{Folding, Silent};

use crate::prepare::config;

/// 40 users and 20 items in two groups: a user clicks eight of the ten items of the own group and
/// buys every second of them a little later.
fn dataset() -> Dataset {
    let mut events = Vec::new();
    for user in 0..40u32 {
        for nth in 0..8 {
            let item = ItemIdx(2 * ((user / 2 + 3 * nth) % 10) + user % 2);
            let at = i64::from(1000 + 10 * nth);
            let of = |event, value, timestamp| Event {
                user: UserIdx(user),
                item,
                event,
                value,
                timestamp: Some(timestamp),
                part: None,
            };
            events.push(of("click", 1.0, at));
            if nth % 2 == 0 {
                events.push(of("purchase", 2.0, at + 5));
            }
        }
    }
    let user = |u| User { id: format!("u{u}"), ..User::default() };
    let item = |i| Item { id: format!("i{i}"), ..Item::default() };
    Dataset {
        name: "t".into(),
        users: (0..40).map(user).collect(),
        items: (0..20).map(item).collect(),
        events: events.into_iter().collect(),
        ..Dataset::default()
    }
}

const RUN: &str = "[shape]\nevents = [\"purchase\"]\n[split]\nstrategy = \"leave_one_out\"\n\
    [train]\nepochs = 12\npatience = 12\nmetric = \"recall@5\"\ncheckpoint_every = 0\n\
    [evaluate]\ncutoffs = [5]\nprimary = \"recall@5\"\nresamples = 20\n\
    [[models]]\nmodel = \"bpr\"\nparams = { dim = 4 }\n\
    [[models]]\nmodel = \"fusion_net\"\n\
    params = { dim = 8, layers = 1, lr = 0.03, batch_size = 64, tasks = {} }\n\
    [[models]]\nmodel = \"ensemble\"\n[models.params]\nmethod = \"stack\"\nholdout_epochs = 2\n\
    members = [{ model = \"ials\", params = { dim = 4 } }, { model = \"fusion_net\", \
    params = { dim = 4, layers = 0, tasks = { heads = [\"click\"] } } }]\n\
    [tune]\nmodel = \"fusion_net\"\nmethod = \"random\"\ntrials = 2\nfolds = { k_fold = 2 }\n\
    [tune.space]\nlr = [0.01, 0.03]\n";

#[test]
fn models_that_ask_get_what_users_did_before_what_is_held_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = config(dir.path(), RUN);
    let found = prepare(&run, dataset(), FeatureSet::new(20), None).unwrap();
    let known = Registries::new().unwrap();
    let fit = |at: usize| {
        let spec = &run.models[at];
        (known.models.get(&spec.model).unwrap().build)(&spec.params).unwrap()
    };
    let data: Vec<TrainingData<'_>> =
        (0..3).map(|at| found.training_data_for(&*fit(at)).unwrap()).collect();
    assert!(data[0].behaviours.is_none() && data[2].behaviours.is_some());
    let all = data[1].behaviours.unwrap();
    assert_eq!(all.names().collect::<Vec<_>>(), ["click", "purchase"]);
    // Purchases 4 and 6 of each user are held out; the first of them is at 1045. Clicks 0 to 3 are
    // before it, and click 4 is on what is held out.
    assert_eq!(all.get("purchase"), Some(&found.split.train));
    let clicks = all.get("click").unwrap();
    for user in 0..40u32 {
        let mut expected: Vec<u32> =
            (0..4).map(|nth| 2 * ((user / 2 + 3 * nth) % 10) + user % 2).collect();
        expected.sort_unstable();
        let found: Vec<u32> = clicks.items(UserIdx(user)).iter().map(|i| i.0).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(found.split.train.nnz() + 80, 160);
}

#[test]
fn every_verb_hands_the_kinds_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = config(dir.path(), RUN);
    let known = Registries::new().unwrap();
    let (device, none) = (Device::flex(), FeatureSet::new(20));
    let prepared = prepare(&run, dataset(), none.clone(), None).unwrap();
    // A model that is not given what it reads is an error that names it.
    let fitted = train_models(&run, &prepared, &known, &device, None, &mut Silent).unwrap();
    let report = fitted[1].report.as_ref().unwrap();
    assert_eq!((report.model.as_str(), fitted.len()), ("fusion_net", 3));
    assert_eq!(report.config["tasks"]["weighting"], "fixed");

    let (folding, data) = (Folding::KFold(2), (&dataset(), &none));
    let table = cross_validate(&run, data, (folding, 0.2), &known, &device, &mut Silent).unwrap();
    assert!(table.models.iter().all(|model| model.folds.len() == 2), "{table:?}");

    let workspace = Workspace::new(dir.path().join("out"));
    let tuned = tune_stage(&run, (dataset(), none), &known, &device, &workspace, &|_| {}).unwrap();
    assert_eq!(tuned.search.trials.len(), 2);
    for trial in &tuned.search.trials {
        assert!(trial.mean.is_some(), "{:?}", trial.error);
    }
}
