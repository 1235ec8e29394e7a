//! The contract of recommenders.

use burn::tensor::Device;
use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Matrix, Modality, ModalityFeatures, ModelState, Recommender,
    ScoreError, Scored, SeedStream, UserIdx, top_k,
};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData};
use serde_json::{Value, json};

use crate::compare::{CLOSE, assert_close, assert_finite, assert_rerun, assert_state};
use crate::content::check_other_features;
use crate::learning::check_learning;
use crate::trainer::{EPOCHS, check_trainer, fit_all};
use crate::world::World;

struct Case<'a> {
    entry: &'a ModelEntry,
    title: String,
    world: World,
    context: FitContext,
}

/// Runs the contract of [`Recommender`], [`Fit`] and [`quintet_tensor::Trainer`] with the
/// entry's `tiny` parameters on [`World`].
///
/// # Panics
/// When the contract is broken; the message names the model, the device and the rule.
pub fn check_recommender(entry: &ModelEntry, device: &Device) {
    let case = Case {
        entry,
        title: format!("model {} on {device:?}", entry.name),
        world: World::new(),
        context: FitContext { device: device.clone(), seed: SeedStream::new(1) },
    };
    let fit = case.parameters();
    case.nan_features_cannot_exist();
    let data = case.world.data();
    let model = fit_all(&*fit, data, &case.context, EPOCHS);
    case.identity(&*model);
    let scores = case.scores(&*model);
    case.unknown_ids(&*model);
    case.lists(&*model, &scores);
    case.similar_items(&*model);
    case.explanations(&*model);
    check_other_features(&case.title, &case.world, &*model, &scores);
    check_learning(&case.title, &case.world, &*model, &scores);
    case.folding_in(&*model);
    case.saved_and_loaded(&*model, &scores);
    case.same_seed_same_state(&*fit, &*model);
    check_trainer(&case.title, &*fit, data, &case.context);
    case.poor_data(&*fit);
}

impl Case<'_> {
    fn build(&self, params: &Value) -> Result<Box<dyn Fit>, FitError> {
        (self.entry.build)(params)
    }

    fn parameters(&self) -> Box<dyn Fit> {
        let title = &self.title;
        for defaults in [Value::Null, json!({})] {
            if let Err(e) = self.build(&defaults) {
                panic!("{title}: {defaults} must mean the defaults: {e}");
            }
        }
        match self.build(&json!({ "no_such_parameter": 1 })) {
            Err(e @ FitError::Config { .. }) => assert!(
                e.to_string().contains("no_such_parameter"),
                "{title}: the error for an unknown parameter must name it, found {e}"
            ),
            Err(e) => panic!("{title}: an unknown parameter must be FitError::Config: {e:?}"),
            Ok(_) => panic!("{title}: an unknown parameter was accepted"),
        }
        let tiny: Value = serde_json::from_str(self.entry.tiny)
            .unwrap_or_else(|e| panic!("{title}: `tiny` is not JSON: {e}"));
        let fit = self.build(&tiny).unwrap_or_else(|e| panic!("{title}: `tiny` is refused: {e}"));
        assert_eq!(fit.name(), self.entry.name, "{title}: name of the model and its entry");
        let config = fit.config();
        let again = self.build(&config).map(|fit| fit.config());
        let again = again.unwrap_or_else(|e| panic!("{title}: its own config() is refused: {e}"));
        assert_eq!(config, again, "{title}: built from its config(), it has another config()");
        fit
    }

    /// No model needs to look for NaN in features: the type keeps it out.
    fn nan_features_cannot_exist(&self) {
        let nan = Matrix::from_vec(1, 2, vec![0.0, f32::NAN]).unwrap();
        let made = ModalityFeatures::new(Modality::Text, nan, vec![true]);
        assert!(made.is_err(), "{}: features with NaN can be made", self.title);
    }

    fn identity(&self, model: &dyn Recommender) {
        let (title, world) = (&self.title, &self.world);
        assert_eq!(model.name(), self.entry.name, "{title}: name of the fitted model");
        assert_eq!(model.n_users(), world.train.n_users(), "{title}: n_users()");
        assert_eq!(model.n_items(), world.train.n_items(), "{title}: n_items()");
        let capability = model.capability();
        for modality in &capability.modalities {
            let given = world.features.get(*modality).is_some();
            assert!(given, "{title}: it claims to have read {modality} features: none were given");
        }
        if let Some(f) = model.factors() {
            let shapes = [f.users.rows(), f.items.rows(), f.bias.len(), f.items.cols()];
            let expected = [model.n_users(), model.n_items(), model.n_items(), f.users.cols()];
            assert_eq!(shapes, expected, "{title}: shapes of the factors");
        }
    }

    fn score(&self, model: &dyn Recommender, users: &[UserIdx]) -> Matrix {
        // What was in the matrix before must not matter.
        let mut out = Matrix::from_vec(2, 3, vec![f32::NAN; 6]).unwrap();
        model.score(users, &mut out).unwrap_or_else(|e| panic!("{}: score: {e}", self.title));
        let (found, expected) = ((out.rows(), out.cols()), (users.len(), model.n_items()));
        assert_eq!(found, expected, "{}: shape of the scores", self.title);
        out
    }

    /// Scores of all users; alone, shuffled and repeated they must be the same.
    fn scores(&self, model: &dyn Recommender) -> Matrix {
        let title = &self.title;
        let users: Vec<UserIdx> = (0..model.n_users()).map(UserIdx::new).collect();
        let all = self.score(model, &users);
        for &user in &users {
            assert_finite(title, &format!("scores of user {user}"), all.row(user.index()));
            let alone = self.score(model, &[user]);
            let what = format!("batch mates matter: scores of user {user} alone");
            assert_close(title, &what, all.row(user.index()), alone.row(0), CLOSE);
        }
        let mixed: Vec<UserIdx> = [40, 3, 3, 0, 17, 3].map(UserIdx).to_vec();
        let found = self.score(model, &mixed);
        for (row, user) in mixed.iter().enumerate() {
            let what = format!("batch mates matter: scores of user {user} in another batch");
            assert_close(title, &what, all.row(user.index()), found.row(row), CLOSE);
        }
        self.score(model, &[]);
        all
    }

    fn unknown_ids(&self, model: &dyn Recommender) {
        let title = &self.title;
        let unknown = UserIdx::new(model.n_users());
        let out_of_range = |r: Result<(), ScoreError>, what: &str| {
            let typed = matches!(r, Err(ScoreError::OutOfRange { .. }));
            assert!(typed, "{title}: {what} must be ScoreError::OutOfRange, found {r:?}");
        };
        let mut out = Matrix::default();
        out_of_range(model.score(&[UserIdx(0), unknown], &mut out), "score of an unknown user");
        out_of_range(model.recommend(unknown, 3, &[]).map(drop), "a list for an unknown user");
        let item = ItemIdx::new(model.n_items());
        out_of_range(model.similar_items(item, 3).map(drop), "neighbours of an unknown item");
    }

    fn recommend(&self, model: &dyn Recommender, user: UserIdx, k: usize) -> Vec<Scored> {
        let seen = self.world.train.items(user);
        model
            .recommend(user, k, seen)
            .unwrap_or_else(|e| panic!("{}: recommend for user {user}: {e}", self.title))
    }

    fn lists(&self, model: &dyn Recommender, scores: &Matrix) {
        let (title, n_items) = (&self.title, model.n_items());
        for user in (0..model.n_users()).map(UserIdx::new) {
            let seen = self.world.train.items(user);
            let unseen = n_items - seen.len();
            for (k, expected) in [(0, 0), (1, 1), (7, 7), (n_items + 50, unseen)] {
                let list = self.recommend(model, user, k);
                let who = format!("the {k} best for user {user}");
                assert_eq!(list.len(), expected, "{title}: length of {who}");
                self.check_order(&who, &list);
                let shown = list.iter().find(|s| seen.binary_search(&s.item).is_ok());
                assert!(shown.is_none(), "{title}: {who} hold the excluded item {shown:?}");
                let row = scores.row(user.index());
                let found: Vec<f32> = list.iter().map(|s| s.score).collect();
                let best: Vec<f32> = list.iter().map(|s| row[s.item.index()]).collect();
                assert_close(title, &format!("scores of {who}"), &best, &found, CLOSE);
                let ranked = top_k(row, k, |i| seen.binary_search(&i).is_ok());
                let ranked: Vec<f32> = ranked.iter().map(|s| s.score).collect();
                assert_close(title, &format!("{who} are not the best"), &ranked, &found, CLOSE);
            }
        }
        let user = UserIdx(0);
        let all: Vec<ItemIdx> = (0..n_items).map(ItemIdx::new).collect();
        let nothing = model.recommend(user, 5, &all);
        assert!(nothing.is_ok_and(|l| l.is_empty()), "{title}: a list of excluded items");
    }

    /// Best first, ties by item position, no item twice.
    fn check_order(&self, who: &str, list: &[Scored]) {
        for w in list.windows(2) {
            let (a, b) = (&w[0], &w[1]);
            let ordered = a.score > b.score || (a.score == b.score && a.item < b.item);
            assert!(ordered, "{}: {who}: {a:?} stands before {b:?}", self.title);
        }
    }

    fn similar_items(&self, model: &dyn Recommender) {
        let title = &self.title;
        for item in (0..model.n_items()).map(ItemIdx::new) {
            for k in [0, 5, model.n_items() + 5] {
                let list = model
                    .similar_items(item, k)
                    .unwrap_or_else(|e| panic!("{title}: items similar to {item}: {e}"));
                let who = format!("the {k} items most similar to {item}");
                assert!(list.len() <= k, "{title}: {who} are {}", list.len());
                assert!(list.iter().all(|s| s.item != item), "{title}: {who} hold itself");
                assert!(list.iter().all(|s| s.score.is_finite()), "{title}: {who}: not finite");
                self.check_order(&who, &list);
            }
        }
    }

    fn explanations(&self, model: &dyn Recommender) {
        let title = &self.title;
        for user in [UserIdx(0), UserIdx(7), self.world.empty_user] {
            let history = self.world.train.items(user);
            for item in
                [ItemIdx(1), self.world.cold[0], history.first().copied().unwrap_or(ItemIdx(0))]
            {
                if let Err(e) = model.explain(user, item, history, 3) {
                    panic!("{title}: item {item} for user {user} cannot be explained: {e}");
                }
            }
        }
        if model.capability().explains {
            let (user, history) = (UserIdx(0), self.world.train.items(UserIdx(0)));
            let item = self.recommend(model, user, 1)[0].item;
            let reasons = model.explain(user, item, history, 3).unwrap_or_default();
            assert!(!reasons.is_empty(), "{title}: it claims to explain, and gives no reason");
        }
    }

    /// Models that claim it learn the taste of a newcomer from what they did, others say that
    /// they cannot.
    fn folding_in(&self, model: &dyn Recommender) {
        let (title, world) = (&self.title, &self.world);
        let mut out = vec![f32::NAN; model.n_items()];
        if !model.capability().folds_in {
            let refused = model.fold_in(&[ItemIdx(0)], &[1.0], &mut out);
            let typed = matches!(refused, Err(ScoreError::NoFoldIn { .. }));
            assert!(typed, "{title}: it does not claim to fold in, and answers {refused:?}");
            return;
        }
        let unknown = model.fold_in(&[ItemIdx::new(model.n_items())], &[1.0], &mut out);
        let typed = matches!(unknown, Err(ScoreError::OutOfRange { .. }));
        assert!(typed, "{title}: an unknown item folded in must be OutOfRange: {unknown:?}");
        let mut scores = Matrix::zeros(model.n_users(), model.n_items());
        for user in (0..model.n_users()).map(UserIdx::new) {
            let items = world.sequences.items(user);
            let row = world.train.items(user);
            let place = |item| row.binary_search(item).unwrap();
            let values: Vec<f32> =
                items.iter().map(|item| world.train.values(user)[place(item)]).collect();
            let row = scores.row_mut(user.index());
            row.fill(f32::NAN);
            let done = model.fold_in(items, &values, row);
            done.unwrap_or_else(|e| panic!("{title}: folding in what user {user} did: {e}"));
            assert_finite(title, &format!("scores of the newcomer {user}"), row);
        }
        check_learning(&format!("{title}, folded in"), world, model, &scores);
    }

    fn saved_and_loaded(&self, model: &dyn Recommender, scores: &Matrix) {
        let title = &self.title;
        let state = model.state();
        assert_eq!(state.kind, self.entry.name, "{title}: kind of the state");
        let loaded =
            (self.entry.load)(&state).unwrap_or_else(|e| panic!("{title}: load its state: {e}"));
        self.identity(&*loaded);
        assert_eq!(loaded.capability(), model.capability(), "{title}: capability after loading");
        assert_state(title, "state after loading", &state, &loaded.state(), &self.context.device);
        let users: Vec<UserIdx> = (0..model.n_users()).map(UserIdx::new).collect();
        let found = self.score(&*loaded, &users);
        let what = "saved and loaded, the scores change";
        assert_rerun(title, what, scores.as_slice(), found.as_slice(), &self.context.device);
        for user in users {
            let (a, b) = (self.recommend(model, user, 10), self.recommend(&*loaded, user, 10));
            let items = |l: &[Scored]| l.iter().map(|s| s.item).collect::<Vec<_>>();
            assert_eq!(items(&a), items(&b), "{title}: top 10 of user {user} after loading");
        }
        assert!(
            (self.entry.load)(&ModelState::new(self.entry.name)).is_err(),
            "{title}: an empty state is loaded as if it were a model"
        );
        // A state with a hole may be an error, but not a crash.
        for key in state.tensors.keys() {
            let mut torn = state.clone();
            torn.tensors.remove(key);
            drop((self.entry.load)(&torn));
        }
    }

    fn same_seed_same_state(&self, fit: &dyn Fit, model: &dyn Recommender) {
        let data = self.world.data();
        let state = model.state();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = one.install(|| fit_all(fit, data, &self.context, EPOCHS).state());
        let what = "fitted again with the same seed, on one thread";
        assert_state(&self.title, what, &state, &again, &self.context.device);
    }

    /// No interactions or no features: a typed error or a working model.
    fn poor_data(&self, fit: &dyn Fit) {
        let title = &self.title;
        let (n_users, n_items) = (self.world.train.n_users(), self.world.train.n_items());
        let empty = Interactions::from_pairs(n_users, n_items, []).unwrap();
        let none = FeatureSet::new(n_items);
        let worlds = [
            ("without interactions", &empty, &self.world.features),
            ("without features", &self.world.train, &none),
        ];
        for (what, train, features) in worlds {
            let model = match fit.start(TrainingData::new(train, features), &self.context) {
                Ok(Fitting::Fitted(model)) => model,
                Ok(Fitting::Epochs(mut trainer)) => {
                    match trainer.epoch(1).and_then(|_| trainer.model()) {
                        Ok(model) => model,
                        Err(e) => panic!(
                            "{title}: a world {what} must be refused at the start or trained: {e}"
                        ),
                    }
                }
                Err(
                    FitError::Data { .. }
                    | FitError::MissingModality { .. }
                    | FitError::Config { .. },
                ) => continue,
                Err(e) => panic!("{title}: the error for a world {what} is {e:?}"),
            };
            let scores = self.score(&*model, &[UserIdx(0), UserIdx(1)]);
            assert_finite(title, &format!("scores in a world {what}"), scores.as_slice());
            let read = model.capability().modalities;
            assert!(
                read.iter().all(|m| features.get(*m).is_some()),
                "{title}: fitted {what}, it claims to have read {read:?}"
            );
        }
    }
}
