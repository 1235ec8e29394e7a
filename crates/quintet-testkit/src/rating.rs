//! The contract of rating models.

use quintet_core::{
    Fallback, FitRating, Interactions, ItemIdx, Learns, ModelState, Prediction, RatingEntry,
    RatingError, RatingPair, RatingPredictor, ScoreError, SeedStream, Triplet, UserIdx,
};
use serde_json::{Value, json};

use crate::rating_world::RatingWorld;

/// How much better than the line below it a model must be: share of its RMSE.
const BETTER: f64 = 0.9;

struct Case<'a> {
    entry: &'a RatingEntry,
    title: String,
    params: Value,
    world: RatingWorld,
}

/// Runs the contract of [`FitRating`] and [`RatingPredictor`] with each set of the entry's `tiny`
/// parameters on [`RatingWorld`].
///
/// # Panics
/// When the contract is broken; the message names the model, its parameters and the rule.
pub fn check_rating(entry: &RatingEntry) {
    assert!(!entry.tiny.is_empty(), "rating model {}: it has no `tiny` parameters", entry.name);
    for tiny in entry.tiny {
        let title = format!("rating model {} with {tiny}", entry.name);
        let params = serde_json::from_str(tiny)
            .unwrap_or_else(|e| panic!("{title}: `tiny` is not JSON: {e}"));
        let case = Case { entry, title, params, world: RatingWorld::new() };
        let fit = case.parameters();
        let model = case.fit(&*fit, &case.world.train);
        case.identity(&*model);
        let all = case.predictions(&*model);
        case.unknown(&*model);
        case.learning(&*fit, &*model);
        case.clipping(&*model, &all);
        case.saved_and_loaded(&*model, &all);
        case.same_seed_same_state(&*fit, &*model);
        case.odd_data(&*fit);
    }
}

impl Case<'_> {
    fn build(&self, params: &Value) -> Result<Box<dyn FitRating>, RatingError> {
        (self.entry.build)(params)
    }

    fn parameters(&self) -> Box<dyn FitRating> {
        let title = &self.title;
        for defaults in [Value::Null, json!({})] {
            if let Err(e) = self.build(&defaults) {
                panic!("{title}: {defaults} must mean the defaults: {e}");
            }
        }
        for (key, params) in [
            ("no_such_parameter", json!({ "no_such_parameter": 1 })),
            ("no_such_output", json!({ "output": { "no_such_output": 1 } })),
        ] {
            match self.build(&params) {
                Err(e @ RatingError::Config { .. }) => assert!(
                    e.to_string().contains(key),
                    "{title}: the error for an unknown parameter must name it, found {e}"
                ),
                Err(e) => panic!("{title}: an unknown parameter must be Config: {e:?}"),
                Ok(_) => panic!("{title}: the unknown parameter {key} was accepted"),
            }
        }
        let fit = self.build(&self.params);
        let fit = fit.unwrap_or_else(|e| panic!("{title}: `tiny` is refused: {e}"));
        assert_eq!(fit.name(), self.entry.name, "{title}: name of the model and its entry");
        let config = fit.config();
        let again = self.build(&config).map(|fit| fit.config());
        let again = again.unwrap_or_else(|e| panic!("{title}: its own config() is refused: {e}"));
        assert_eq!(config, again, "{title}: built from its config(), it has another config()");
        fit
    }

    fn fit(&self, fit: &dyn FitRating, ratings: &Interactions) -> Box<dyn RatingPredictor> {
        fit.fit(ratings, SeedStream::new(1))
            .unwrap_or_else(|e| panic!("{}: it cannot be fitted: {e}", self.title))
    }

    fn identity(&self, model: &dyn RatingPredictor) {
        let (title, train) = (&self.title, &self.world.train);
        assert_eq!(model.name(), self.entry.name, "{title}: name of the fitted model");
        assert_eq!(model.n_users(), train.n_users(), "{title}: n_users()");
        assert_eq!(model.n_items(), train.n_items(), "{title}: n_items()");
    }

    /// Predictions of all pairs; alone, in another order and repeated they must be the same.
    fn predictions(&self, model: &dyn RatingPredictor) -> Vec<Prediction> {
        let title = &self.title;
        let pairs = all_pairs(model);
        let all = self.predict(model, &pairs);
        for (&(user, item), &expected) in pairs.iter().zip(&all) {
            let who = format!("user {user:?}, item {item:?}");
            assert!(expected.unclipped.is_finite(), "{title}: {who}: {expected:?} is not finite");
            let alone = model
                .predict(user, item)
                .unwrap_or_else(|e| panic!("{title}: {who} cannot be predicted: {e}"));
            assert_eq!(expected, alone, "{title}: batch mates matter: {who}");
        }
        let order: Vec<usize> = (0..3 * pairs.len()).map(|at| 7 * at % pairs.len()).collect();
        let mixed: Vec<RatingPair> = order.iter().map(|&at| pairs[at]).collect();
        for (&at, found) in order.iter().zip(self.predict(model, &mixed)) {
            let who = pairs[at];
            assert_eq!(all[at], found, "{title}: {who:?} in another order and repeated");
        }
        assert!(self.predict(model, &[]).is_empty(), "{title}: predictions of no pair");
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = one.install(|| self.predict(model, &pairs));
        assert_eq!(all, again, "{title}: predictions on one thread");
        all
    }

    fn predict(&self, model: &dyn RatingPredictor, pairs: &[RatingPair]) -> Vec<Prediction> {
        let found =
            model.predict_all(pairs).unwrap_or_else(|e| panic!("{}: predict_all: {e}", self.title));
        assert_eq!(found.len(), pairs.len(), "{}: number of predictions", self.title);
        found
    }

    /// Whoever has no training rating is answered and flagged; positions that do not exist are
    /// errors.
    fn unknown(&self, model: &dyn RatingPredictor) {
        let (title, world) = (&self.title, &self.world);
        let known = (Some(UserIdx(0)), Some(ItemIdx(0)));
        let cases = [
            ((None, known.1), Fallback::UnknownUser),
            ((Some(world.empty_user), known.1), Fallback::UnknownUser),
            ((known.0, None), Fallback::UnknownItem),
            ((known.0, Some(world.empty_item)), Fallback::UnknownItem),
            ((None, None), Fallback::UnknownBoth),
            ((Some(world.empty_user), Some(world.empty_item)), Fallback::UnknownBoth),
            ((None, Some(world.empty_item)), Fallback::UnknownBoth),
        ];
        for ((user, item), fallback) in cases {
            let found = model.predict(user, item);
            let found = found.unwrap_or_else(|e| panic!("{title}: ({user:?}, {item:?}): {e}"));
            let what = format!("{title}: ({user:?}, {item:?}) is answered by {found:?}");
            assert_eq!(found.fallback, Some(fallback), "{what}: it must say why");
            assert!(found.value.is_finite(), "{what}: it must be a number");
            let in_batch = self.predict(model, &[known, (user, item)])[1];
            assert_eq!(found, in_batch, "{what}, in a batch by another");
        }
        let (user, item) = (UserIdx::new(model.n_users()), ItemIdx::new(model.n_items()));
        for pair in [(Some(user), known.1), (known.0, Some(item)), (Some(user), None)] {
            for found in [
                model.predict(pair.0, pair.1).map(drop),
                model.predict_all(&[known, pair]).map(drop),
            ] {
                let typed = matches!(found, Err(ScoreError::OutOfRange { .. }));
                assert!(typed, "{title}: {pair:?} must be ScoreError::OutOfRange, found {found:?}");
            }
        }
    }

    /// On held-out ratings, models that learn levels beat the mean of all ratings; models that
    /// learn tastes also beat the means of users and items.
    fn learning(&self, fit: &dyn FitRating, model: &dyn RatingPredictor) {
        let (title, world) = (&self.title, &self.world);
        let pairs: Vec<RatingPair> =
            world.held_out.iter().map(|t| (Some(t.user), Some(t.item))).collect();
        let found = self.predict(model, &pairs);
        let values: Vec<f64> = found.iter().map(|p| f64::from(p.value)).collect();
        let rmse = world.rmse(values);
        let (mean, means) = (world.rmse_of_mean(), world.rmse_of_means());
        let line = match self.entry.learns {
            Learns::Nothing => return,
            Learns::Level => mean,
            Learns::Taste => means,
        };
        assert!(
            rmse <= BETTER * line,
            "{title}: the planted world is not learned: RMSE {rmse:.4}, the mean of all ratings \
             has {mean:.4}, the means of users and items {means:.4}; {:.4} is needed",
            BETTER * line
        );
        // Somebody with one rating, and an item with one, are answered by the model.
        let rare = model.predict(Some(world.rare_user), Some(world.rare_item)).unwrap();
        let far = rare.fallback.is_some_and(|f| f != Fallback::FewNeighbours);
        assert!(!far, "{title} ({}): one rating is enough to be known: {rare:?}", fit.name());
    }

    /// Without clipping the same model gives the same numbers, not moved into the scale.
    fn clipping(&self, model: &dyn RatingPredictor, all: &[Prediction]) {
        let title = &self.title;
        let [low, high] = match self.params["output"]["scale"].as_array() {
            Some(ends) => [0, 1].map(|end: usize| ends[end].as_f64().unwrap_or(0.0) as f32),
            None => self.world.scale(),
        };
        for p in all {
            assert_eq!(p.value, p.unclipped.clamp(low, high), "{title}: clipped to the scale");
        }
        let mut open = self.params.clone();
        open["output"]["clip"] = json!(false);
        let open = self.build(&open).unwrap_or_else(|e| panic!("{title}: output.clip: {e}"));
        let open = self.fit(&*open, &self.world.train);
        let found = self.predict(&*open, &all_pairs(model));
        for (a, b) in all.iter().zip(found) {
            let same = a.unclipped == b.unclipped && b.value == b.unclipped;
            assert!(same, "{title}: without clipping {a:?} becomes {b:?}");
        }
        let mut narrow = self.params.clone();
        narrow["output"]["scale"] = json!([low + 1.0, high]);
        let refused = self
            .build(&narrow)
            .and_then(|fit| fit.fit(&self.world.train, SeedStream::new(1)).map(drop));
        let typed = matches!(refused, Err(RatingError::Data { .. }));
        assert!(typed, "{title}: a rating outside the scale must be Data, found {refused:?}");
        for scale in [json!([5, 1]), json!([1, 1])] {
            let mut odd = self.params.clone();
            odd["output"]["scale"] = scale.clone();
            let refused = self
                .build(&odd)
                .and_then(|fit| fit.fit(&self.world.train, SeedStream::new(1)).map(drop));
            let typed = matches!(refused, Err(RatingError::Config { .. }));
            assert!(typed, "{title}: the scale {scale} must be Config, found {refused:?}");
        }
    }

    fn saved_and_loaded(&self, model: &dyn RatingPredictor, all: &[Prediction]) {
        let title = &self.title;
        let state = model.state();
        assert_eq!(state.kind, self.entry.name, "{title}: kind of the state");
        let loaded =
            (self.entry.load)(&state).unwrap_or_else(|e| panic!("{title}: load its state: {e}"));
        self.identity(&*loaded);
        assert_eq!(loaded.capability(), model.capability(), "{title}: capability after loading");
        assert!(state == loaded.state(), "{title}: another state after loading");
        let found = self.predict(&*loaded, &all_pairs(model));
        assert_eq!(all, found, "{title}: saved and loaded, the predictions change");
        assert!(
            (self.entry.load)(&ModelState::new(self.entry.name)).is_err(),
            "{title}: an empty state is loaded as if it were a model"
        );
        // A state with a hole may be an error, but not a crash; so may one of another size.
        for key in state.tensors.keys() {
            let mut torn = state.clone();
            torn.tensors.remove(key);
            drop((self.entry.load)(&torn));
            let mut short = state.clone();
            short.put_whole(key.clone(), vec![-1, 1 << 40]);
            if let Ok(model) = (self.entry.load)(&short) {
                drop(model.predict(Some(UserIdx(0)), Some(ItemIdx(0))));
            }
        }
    }

    fn same_seed_same_state(&self, fit: &dyn FitRating, model: &dyn RatingPredictor) {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = one.install(|| self.fit(fit, &self.world.train).state());
        let same = model.state() == again;
        assert!(
            same,
            "{}: fitted again with the same seed, on one thread: another state",
            self.title
        );
    }

    /// Ratings that are hardly any: a typed error or a model that answers.
    fn odd_data(&self, fit: &dyn FitRating) {
        let title = &self.title;
        let empty = Interactions::from_pairs(3, 3, []).unwrap();
        let refused = fit.fit(&empty, SeedStream::new(1)).map(drop);
        let typed = matches!(refused, Err(RatingError::Data { .. }));
        assert!(typed, "{title}: no ratings at all must be Data, found {refused:?}");
        let cell = |user, item, value| Triplet { user: UserIdx(user), item: ItemIdx(item), value };
        // No model needs to look for NaN in ratings: the type keeps it out.
        for value in [f32::NAN, f32::INFINITY] {
            let made = Interactions::from_triplets(1, 1, [cell(0, 0, value)]);
            assert!(made.is_err(), "{title}: ratings with {value} can be made");
        }
        // The parameters of the planted world may name a scale that these ratings do not fill.
        let constant = |n_users: u32, n_items: u32| {
            let pairs = (0..n_users).flat_map(|u| (0..n_items).map(move |i| (u, i)));
            let cells = pairs.filter(|(u, i)| (u, i) == (&0, &0) || (u + i) % 3 > 0);
            Interactions::from_triplets(
                n_users as usize,
                n_items as usize,
                cells.map(|(u, i)| cell(u, i, 4.0)),
            )
            .unwrap()
        };
        for (what, ratings) in [
            ("constant ratings", constant(12, 9)),
            ("one rating", constant(1, 1)),
            ("one user", constant(1, 7)),
            ("one item", constant(7, 1)),
        ] {
            let model = self.fit(fit, &ratings);
            let found = self.predict(&*model, &all_pairs(&*model));
            let named = self.params["output"]["scale"].is_array();
            for p in found {
                let right = p.value == 4.0 || (named && p.value.is_finite());
                assert!(right, "{title}: {what}, all of them 4: predicted is {p:?}");
            }
        }
    }
}

/// Every pair, those without ratings too.
fn all_pairs(model: &dyn RatingPredictor) -> Vec<RatingPair> {
    let items = |user| (0..model.n_items()).map(move |item| (Some(user), Some(ItemIdx::new(item))));
    (0..model.n_users()).map(UserIdx::new).flat_map(items).collect()
}
