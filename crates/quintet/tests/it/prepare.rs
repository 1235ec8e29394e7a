//! What reaches the models beside interactions: the order of time, attributes, newcomers.

use std::path::Path;

use quintet::Registries;
use quintet::core::{
    Capability, FeatureSet, ItemIdx, Matrix, ModelState, Recommender, ScoreError, UserIdx,
};
use quintet::data::{Dataset, Event, Item, User};
use quintet::pipeline::{
    PipelineError, Prepared, Request, RunConfig, TrainedModel, Workspace, evaluate_models,
    load_models, prepare, recommend, train_models, train_stage,
};
use quintet::tensor::{Device, Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData};
use quintet::train::Silent;
use serde_json::{Value, json};

/// 40 users and 20 items in two groups: users take 8 of the 10 items of their own group, going
/// round them in time. `timed` says which users have times.
fn dataset(timed: impl Fn(u32) -> bool) -> Dataset {
    let mut events = Vec::new();
    for user in 0..40u32 {
        for nth in 0..8 {
            let item = ItemIdx(2 * ((user / 2 + 3 * nth) % 10) + user % 2);
            let timestamp = timed(user).then_some(i64::from(1000 + 10 * nth));
            let user = UserIdx(user);
            events.push(Event { user, item, event: "e", value: 1.0, timestamp, part: None });
        }
    }
    let group = |i: usize, odd: &str| {
        let group = if i.is_multiple_of(2) { "even" } else { odd };
        let group = if i % 4 < 2 { group.to_owned() } else { format!("big|{group}") };
        [("group".to_owned(), group), ("size".to_owned(), (i % 4).to_string())].into()
    };
    let user = |u| User { id: format!("u{u}"), attributes: group(u, "odd") };
    let item = |i| Item { id: format!("i{i}"), attributes: group(i, "strange"), ..Item::default() };
    Dataset {
        name: "t".into(),
        users: (0..40).map(user).collect(),
        items: (0..20).map(item).collect(),
        events: events.into_iter().collect(),
        ..Dataset::default()
    }
}

pub(crate) fn config(dir: &Path, rest: &str) -> RunConfig {
    let text = format!(
        "name = \"t\"\n[ingest]\ntables.interactions = [{{ path = \"x.csv\", columns = {{}} }}]\n\
         {rest}\n"
    );
    std::fs::write(dir.join("run.toml"), text).unwrap();
    RunConfig::read(&dir.join("run.toml")).unwrap()
}

fn prepared(dir: &Path, rest: &str, dataset: Dataset) -> Result<Prepared, PipelineError> {
    let features = FeatureSet::new(dataset.items.len());
    prepare(&config(dir, rest), dataset, features, None)
}

#[test]
fn models_get_the_training_interactions_in_the_order_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let split = "[split]\nstrategy = \"leave_one_out\"";
    let found = prepared(dir.path(), split, dataset(|_| true)).unwrap();
    let data = found.training_data();
    let sequences = data.sequences.unwrap();
    assert_eq!(sequences.len(), data.train.nnz());
    // User 2 took 2 + 6 nth (mod 20); the last two are held out.
    let items: Vec<u32> = sequences.items(UserIdx(2)).iter().map(|i| i.0).collect();
    assert_eq!(items, [2, 8, 14, 0, 6, 12]);
    assert_eq!(sequences.times(UserIdx(2)), [1000, 1010, 1020, 1030, 1040, 1050]);
    assert!(found.summary().ordered && found.history_order.is_none());

    let split = "[split]\nstrategy = \"random\"";
    let found = prepared(dir.path(), split, dataset(|user| user != 7)).unwrap();
    assert!(found.training_data().sequences.is_none(), "one user has no times");
    assert!(!found.summary().ordered);
}

#[test]
fn models_get_attributes_and_others_make_another_run() {
    let dir = tempfile::tempdir().unwrap();
    let split = "[split]\nstrategy = \"random\"\n[[models]]\nmodel = \"popularity\"\n";
    let of = |rest: &str| prepared(dir.path(), &format!("{split}{rest}"), dataset(|_| true));
    let found = of("").unwrap();
    let (users, items) = (found.training_data().user_attributes, &found.item_attributes);
    assert_eq!(users.unwrap().names(), ["group=big", "group=even", "group=odd"]);
    let items = items.as_ref().unwrap();
    assert_eq!(items.names(), ["group=big", "group=even", "group=strange"]);
    assert_eq!((items.values(0), items.values(2)), (&[1.0][..], &[0.5, 0.5][..]));

    let size = "[[attributes.items]]\nname = \"size\"\nkind = \"numeric\"\nscale = \"min_max\"\n";
    let other = of(size).unwrap();
    assert_eq!(other.item_attributes.as_ref().unwrap().names(), ["size"]);
    assert_eq!(other.user_attributes, found.user_attributes);
    assert_ne!(other.features_hash, found.features_hash);
    assert_eq!(other.data_hash, found.data_hash);
    let none = of("[attributes]\nmax_values = 0").unwrap();
    assert!(none.item_attributes.is_none() && none.user_attributes.is_none());
    let typo = of("[[attributes.users]]\nname = \"sise\"\nkind = \"numeric\"").err().unwrap();
    assert!(matches!(typo, PipelineError::Attribute { table: "users", .. }), "{typo}");

    let known = Registries::new().unwrap();
    let workspace = Workspace::new(dir.path().join("out"));
    let run = config(dir.path(), split);
    train_stage(&run, &found, &known, &Device::flex(), &workspace, &mut Silent).unwrap();
    assert_eq!(load_models(&run, &found, &known, &workspace).unwrap().len(), 1);
    let refused = load_models(&run, &other, &known, &workspace).err().unwrap();
    assert!(matches!(refused, PipelineError::OtherRun { .. }), "{refused}");
}

#[test]
fn an_unknown_key_of_the_attributes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("run.toml"),
        "name = \"t\"\n[ingest]\n[split]\nstrategy = \"random\"\n[attributes]\nmax_levels = 3\n",
    )
    .unwrap();
    let said = RunConfig::read(&dir.path().join("run.toml")).unwrap_err().to_string();
    assert!(said.contains("max_levels") && said.contains("line 6"), "{said}");
}

/// Counts how often two items are taken by one user, and says so of somebody's last item.
struct Together {
    counts: Matrix,
    n_users: usize,
    folds_in: bool,
}

struct FitTogether {
    folds_in: bool,
}

impl Fit for FitTogether {
    fn name(&self) -> &str {
        "together"
    }
    fn config(&self) -> Value {
        json!({ "folds_in": self.folds_in })
    }
    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        let n_users = data.train.n_users();
        let mut counts = Matrix::zeros(data.train.n_items(), data.train.n_items());
        for user in (0..n_users).map(UserIdx::new) {
            for a in data.train.items(user) {
                data.train
                    .items(user)
                    .iter()
                    .for_each(|b| counts.row_mut(a.index())[b.index()] += 1.0);
            }
        }
        Ok(Fitting::Fitted(Box::new(Together { counts, n_users, folds_in: self.folds_in })))
    }
}

impl Recommender for Together {
    fn name(&self) -> &str {
        "together"
    }
    fn n_users(&self) -> usize {
        self.n_users
    }
    fn n_items(&self) -> usize {
        self.counts.rows()
    }
    fn capability(&self) -> Capability {
        let personal = Capability::personal();
        if self.folds_in { personal.with_fold_in() } else { personal }
    }
    /// Nothing is known of anybody.
    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        out.reset(users.len(), self.n_items());
        Ok(())
    }
    fn state(&self) -> ModelState {
        ModelState::new("together")
    }
    fn fold_in(&self, items: &[ItemIdx], _: &[f32], out: &mut [f32]) -> Result<(), ScoreError> {
        out.copy_from_slice(self.counts.row(items[items.len() - 1].index()));
        Ok(())
    }
}

#[test]
fn brand_new_users_are_folded_in_by_their_history() {
    let dir = tempfile::tempdir().unwrap();
    let run = "[split]\nstrategy = \"cold_users\"\nshare = 0.4\n[train]\nmetric = \"recall@5\"\n\
               [evaluate]\ncutoffs = [5]\nprimary = \"recall@5\"\nresamples = 20\n\
               [[models]]\nmodel = \"together\"\n\
               [[models]]\nmodel = \"together\"\nlabel = \"blind\"\nparams = { folds_in = false }";
    let found = prepared(dir.path(), run, dataset(|_| true)).unwrap();
    let order = found.history_order.as_ref().unwrap();
    assert_eq!(order.len(), found.split.history.nnz());

    let mut known = Registries::new().unwrap();
    let entry = ModelEntry {
        name: "together",
        summary: "counts",
        build: |params| {
            Ok(Box::new(FitTogether { folds_in: params["folds_in"].as_bool().unwrap_or(true) }))
        },
        load: |_| Err(FitError::Device("not loaded here".into())),
        tiny: "{}",
    };
    known.models.add(entry).unwrap();
    let run = config(dir.path(), run);
    let models = train_models(&run, &found, &known, &Device::flex(), None, &mut Silent).unwrap();
    let valid = |at: usize| models[at].report.as_ref().unwrap().best_valid;
    let (result, _) = evaluate_models(&run, &found, &models, &known).unwrap();
    let test = |at: usize| result.models[at].test["recall@5"];
    // Of a newcomer four items are known and four held out, all of the own group of ten. Five of
    // the six others of the group hold 5/6 of them on average, five of all sixteen others 5/16.
    for (folded, blind) in [(valid(0), valid(1)), (test(0), test(1))] {
        assert!(folded > 0.6 && blind < 0.4, "{folded} {blind}");
    }

    let newcomer = (0..40).map(UserIdx::new).find(|u| !order.items(*u).is_empty()).unwrap();
    // Eight of the ten items of the group are taken by then, held out for validation included.
    let request = Request { user: &format!("u{newcomer}"), k: 2, reasons: 0 };
    let list = |model: &TrainedModel| recommend(&found, model, request).unwrap();
    let group = |id: &str| id[1..].parse::<usize>().unwrap() % 2;
    assert!(list(&models[0]).iter().all(|r| group(&r.item) == newcomer.index() % 2));
    assert!(list(&models[1]).iter().all(|r| r.score == 0.0));
}
