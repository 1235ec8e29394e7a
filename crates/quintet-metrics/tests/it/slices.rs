//! Groups of users and items, candidate lists, grades, and models in dot-product form.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quintet_core::{
    Capability, Factors, Held, Interactions, ItemIdx, Matrix, ModelState, Recommender, ScoreError,
    SeedStream, Test, Triplet, UserIdx, Valid,
};
use quintet_metrics::{
    EvalConfig, EvalError, Evaluation, Evaluator, RankOptions, rank_users, registry,
};
use rand::RngExt;

use crate::common::{Table, pairs};

const LIST_METRICS: [&str; 8] =
    ["recall", "precision", "hit_rate", "ndcg", "map", "mrr", "r_precision", "coverage"];

fn evaluator(cutoffs: &[usize], metrics: &[&str]) -> Evaluator<'static> {
    let metrics = metrics.iter().map(|m| (*m).to_owned()).collect();
    Evaluator::new(&EvalConfig { cutoffs: cutoffs.to_vec(), metrics }, &registry().unwrap())
        .unwrap()
}

/// 3 users, 5 items; every user scores the items 5 4 3 2 1 in their order.
fn table() -> Table {
    Table::new(3, 5, [5.0, 4.0, 3.0, 2.0, 1.0].repeat(3))
}

#[test]
fn slices_are_means_over_their_users() {
    let held = Held::<Valid>::new(pairs(3, 5, &[(0, 0), (1, 1), (2, 3)]));
    let got = evaluator(&[1, 2], &["recall", "mrr", "coverage", "auc", "gauc"])
        .evaluate(&table(), &held, &pairs(3, 5, &[]))
        .unwrap();
    let slices = got.slice(&["light", "light", "heavy"]).unwrap();
    assert_eq!(slices.keys().copied().collect::<Vec<_>>(), ["heavy", "light"]);
    assert_eq!((slices["light"].n_users, slices["heavy"].n_users), (2, 1));
    assert_eq!((slices["light"].means["recall@1"], slices["light"].means["mrr@2"]), (0.5, 0.75));
    assert_eq!((slices["heavy"].means["recall@2"], slices["heavy"].means["auc"]), (0.0, 0.25));
    // Coverage and GAUC are no means over users.
    assert!(!slices["heavy"].means.contains_key("coverage@1"));
    assert!(!slices["heavy"].means.contains_key("gauc"));
    let err = got.slice(&[1, 2]).unwrap_err();
    assert_eq!(err.to_string(), "groups, one a user: expected 3, found 2");
}

#[test]
fn item_groups_share_one_ranking() {
    // User 0 wants items 0 (warm) and 3 (cold), user 1 item 1 (warm); item 4 is cold, unwanted.
    let held = Held::<Test>::new(pairs(3, 5, &[(0, 0), (0, 3), (1, 1)]));
    let cold = [false, false, false, true, true];
    let evaluator = evaluator(&[2, 4], &["recall", "mrr", "r_precision", "auc", "coverage"]);
    let seen = pairs(3, 5, &[]);
    let got = evaluator.evaluate_by_item_group(&table(), &held, &seen, &cold).unwrap();
    assert_eq!(got.len(), 2);
    let (warm, cold) = (&got[&false], &got[&true]);
    assert_eq!((warm.n_users(), warm.n_skipped()), (2, 1));
    assert_eq!((cold.n_users(), cold.n_skipped(), cold.users()), (1, 2, &[UserIdx(0)][..]));
    assert_eq!((warm.get("recall@2"), warm.get("mrr@2")), (Some(1.0), Some(0.75)));
    // Item 3 stands fourth of five whatever else is held out.
    assert_eq!((cold.get("recall@2"), cold.get("mrr@4")), (Some(0.0), Some(0.25)));
    assert_eq!((cold.get("auc"), cold.get("r_precision")), (Some(0.25), Some(0.0)));
    assert_eq!((warm.per_user("auc")), Some(&[1.0, 0.75][..]));
    // Lists of the group's users, over all items.
    assert_eq!((warm.get("coverage@2"), cold.get("coverage@4")), (Some(0.4), Some(0.8)));
    let err = evaluator.evaluate_by_item_group(&table(), &held, &seen, &[1]).unwrap_err();
    assert_eq!(err.to_string(), "groups, one an item: expected 5, found 1");
}

#[test]
fn candidate_lists_are_ranked_alone() {
    let held = Held::<Valid>::new(pairs(3, 5, &[(0, 3), (1, 4), (2, 0)]));
    // User 1's held-out item is not among the candidates; user 2 has none.
    let lists = pairs(3, 5, &[(0, 1), (0, 3), (0, 4), (1, 2)]);
    let seen = pairs(3, 5, &[(0, 1)]);
    let evaluator = evaluator(&[1, 2], &["mrr", "auc", "coverage"]).with_candidate_lists(&lists);
    let got = evaluator.evaluate(&table(), &held, &seen).unwrap();
    // Item 1 is seen, so 3 comes before 4.
    assert_eq!((got.users(), got.n_skipped()), (&[UserIdx(0)][..], 2));
    assert_eq!((got.get("mrr@1"), got.get("auc")), (Some(1.0), Some(1.0)));
    // Items 3 and 4 of 1, 2, 3, 4.
    assert_eq!(got.get("coverage@2"), Some(0.5));
    let wrong = pairs(2, 5, &[]);
    let err = evaluator.with_candidate_lists(&wrong).evaluate(&table(), &held, &seen).unwrap_err();
    assert_eq!(err.to_string(), "users of the candidate lists: expected 3, found 2");
}

#[test]
fn grades_are_checked_where_they_are_read() {
    let cell = |user, item, value| Triplet { user: UserIdx(user), item: ItemIdx(item), value };
    let held = |value: f32| {
        let cells = [cell(0, 0, 2.0), cell(1, 1, value)];
        Held::<Test>::new(Interactions::from_triplets(3, 5, cells).unwrap())
    };
    let seen = pairs(3, 5, &[]);
    let graded = evaluator(&[2], &["ndcg_exp", "err"]);
    let err = graded.evaluate(&table(), &held(-1.0), &seen).unwrap_err();
    assert_eq!(err, EvalError::Grade { user: 1, item: 1, value: -1.0, ceiling: 1000.0 });
    let plain = evaluator(&[2], &["ndcg", "rbp.80"]);
    assert!(plain.evaluate(&table(), &held(-1.0), &seen).is_ok());
    // A hit of grade 2 on a scale up to 2 satisfies with 3/4, up to 4 with 3/16.
    let got = graded.evaluate(&table(), &held(0.0), &seen).unwrap();
    assert_eq!(got.per_user("err@2"), Some(&[0.75, 0.0][..]));
    assert_eq!(got.per_user("ndcg_exp@2"), Some(&[1.0, 0.0][..]));
    let graded = graded.with_max_grade(4.0);
    let got = graded.evaluate(&table(), &held(0.0), &seen).unwrap();
    assert_eq!(got.per_user("err@2"), Some(&[0.1875, 0.0][..]));
    let err = graded.evaluate(&table(), &held(5.0), &seen).unwrap_err();
    assert_eq!(err, EvalError::Grade { user: 1, item: 1, value: 5.0, ceiling: 4.0 });
}

#[test]
fn ranks_of_everything_need_scores() {
    let held = Held::<Valid>::new(pairs(1, 5, &[(0, 3)]));
    let err =
        evaluator(&[2], &["recall", "auc"]).evaluate_lists(&[vec![ItemIdx(3)]], &held).unwrap_err();
    assert_eq!(err, EvalError::NeedsScores { metric: "auc".into() });
}

#[test]
fn keys_are_those_of_the_result() {
    let evaluator =
        evaluator(&[1, 5], &["coverage", "gauc", "auc", "r_precision", "rbp.50", "err"]);
    let held = Held::<Valid>::new(pairs(3, 5, &[(0, 3)]));
    let got = evaluator.evaluate(&table(), &held, &pairs(3, 5, &[])).unwrap();
    let mut keys = evaluator.keys();
    keys.sort();
    assert_eq!(keys, got.means().keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys.len(), 9);
}

/// A model in dot-product form that can also be asked for its scores.
struct Dot {
    users: Matrix,
    items: Matrix,
    bias: Vec<f32>,
    shows_factors: bool,
}

impl Recommender for Dot {
    fn name(&self) -> &str {
        "dot"
    }

    fn n_users(&self) -> usize {
        self.users.rows()
    }

    fn n_items(&self) -> usize {
        self.items.rows()
    }

    fn capability(&self) -> Capability {
        Capability::personal()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        out.reset(users.len(), self.n_items());
        for (row, user) in users.iter().enumerate() {
            for item in 0..self.n_items() {
                let pairs = self.users.row(user.index()).iter().zip(self.items.row(item));
                out.row_mut(row)[item] = pairs.map(|(x, y)| x * y).sum::<f32>() + self.bias[item];
            }
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        ModelState::new("dot")
    }

    fn factors(&self) -> Option<Factors<'_>> {
        let Self { users, items, bias, shows_factors } = self;
        shows_factors.then_some(Factors { users, items, bias })
    }
}

/// Small whole numbers: every order of adding gives the same scores, and many are equal.
fn dot(seed: u64, n_users: usize, n_items: usize, dim: usize) -> Dot {
    let mut rng = SeedStream::new(seed).rng("dot", 0);
    let mut whole = |rows: usize, cols: usize| {
        let numbers = (0..rows * cols).map(|_| rng.random_range(-2i8..3).into()).collect();
        Matrix::from_vec(rows, cols, numbers).unwrap()
    };
    let (users, items, bias) = (whole(n_users, dim), whole(n_items, dim), whole(1, n_items));
    Dot { users, items, bias: bias.into_vec(), shows_factors: true }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Ranked by factors or by scores, streamed or with rows kept, in any blocks: one result.
    #[test]
    fn factors_and_scores_rank_the_same(
        seed in any::<u64>(), dim in 0usize..20, n_users in 1usize..40, n_items in 2usize..160,
        mask in proptest::collection::vec(any::<bool>(), 160), masked in any::<bool>(),
        listed in any::<bool>(), block in 1usize..50
    ) {
        let mut rng = SeedStream::new(seed).rng("parts", 0);
        let mut parts: [Vec<(u32, u32)>; 3] = Default::default();
        for user in 0..n_users as u32 {
            for item in 0..n_items as u32 {
                match rng.random_range(0..8) {
                    0 => parts[0].push((user, item)),
                    1 => parts[1].push((user, item)),
                    _ => {}
                }
                if rng.random_range(0..3) > 0 {
                    parts[2].push((user, item));
                }
            }
        }
        let [seen, truth, lists] = parts.map(|part| pairs(n_users, n_items, &part));
        let held = Held::<Test>::new(truth);
        let run = |metrics: &[&str], shows_factors: bool, block: usize| {
            let mut model = dot(seed, n_users, n_items, dim);
            model.shows_factors = shows_factors;
            let mut evaluator = evaluator(&[1, 7, 30], metrics).with_block_users(block);
            let mask = &mask[..n_items];
            if masked {
                evaluator = evaluator.with_candidates(mask);
            }
            if listed {
                evaluator = evaluator.with_candidate_lists(&lists);
            }
            evaluator.evaluate(&model, &held, &seen)
        };
        let full: Vec<&str> = LIST_METRICS.into_iter().chain(["auc", "gauc"]).collect();
        let by_scores = run(&full, false, 64);
        prop_assert_eq!(&run(&full, true, block), &by_scores);
        let lists_only = run(&LIST_METRICS, true, block);
        prop_assert_eq!(&run(&LIST_METRICS, false, 64), &lists_only);
        if let (Ok(full), Ok(lists)) = (by_scores, lists_only) {
            for (key, value) in lists.means() {
                prop_assert_eq!(full.get(key), Some(*value));
            }
        }
    }

    /// The order of scores is all that counts.
    #[test]
    fn a_rising_function_of_the_scores_changes_nothing(
        raw in proptest::collection::vec(-20i8..20, 6 * 12),
        cells in proptest::collection::btree_map((0u32..6, 0u32..12), any::<bool>(), 1..40)
    ) {
        let part = |which: bool| -> Vec<(u32, u32)> {
            cells.iter().filter(|(_, held)| **held == which).map(|(cell, _)| *cell).collect()
        };
        prop_assume!(!part(true).is_empty());
        let held = Held::<Valid>::new(pairs(6, 12, &part(true)));
        let seen = pairs(6, 12, &part(false));
        let scores: Vec<f32> = raw.iter().map(|v| f32::from(*v) / 4.0).collect();
        let names: Vec<String> = registry().unwrap().names().map(str::to_owned).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let run = |f: fn(f32) -> f32| {
            let model = Table::new(6, 12, scores.iter().map(|s| f(*s)).collect());
            evaluator(&[1, 3, 8], &names).evaluate(&model, &held, &seen).unwrap()
        };
        prop_assert_eq!(run(|s| s), run(|s| 1.0 - (-s).exp()));
    }

    /// Users are independent: in another order they have the same values.
    #[test]
    fn the_order_of_users_changes_no_value(
        raw in proptest::collection::vec(-5i8..5, 7 * 9),
        truth in proptest::collection::btree_set((0u32..7, 0u32..9), 1..25),
        order in Just((0..7u32).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let held = |cells: Vec<(u32, u32)>| Held::<Valid>::new(pairs(7, 9, &cells));
        let scores = |user: usize| raw[user * 9..(user + 1) * 9].iter().map(|s| f32::from(*s));
        let mut moved = vec![0.0; 7 * 9];
        for (from, to) in order.iter().enumerate() {
            moved[*to as usize * 9..][..9].iter_mut().zip(scores(from)).for_each(|(a, b)| *a = b);
        }
        let names = ["recall", "ndcg", "map", "auc", "gauc", "r_precision", "err", "coverage"];
        let evaluator = evaluator(&[2, 5], &names);
        let seen = pairs(7, 9, &[]);
        let first = Table::new(7, 9, (0..7).flat_map(scores).collect());
        let first = evaluator.evaluate(&first, &held(truth.iter().copied().collect()), &seen).unwrap();
        let renamed = truth.iter().map(|(u, i)| (order[*u as usize], *i)).collect();
        let second = evaluator.evaluate(&Table::new(7, 9, moved), &held(renamed), &seen).unwrap();
        let by_user = |e: &Evaluation<Valid>, key: &str| -> BTreeMap<u32, f64> {
            e.users().iter().map(|u| u.0).zip(e.per_user(key).unwrap().iter().copied()).collect()
        };
        for key in first.per_user_values().keys() {
            let renamed: BTreeMap<u32, f64> = by_user(&first, key)
                .into_iter()
                .map(|(user, value)| (order[user as usize], value))
                .collect();
            prop_assert_eq!(renamed, by_user(&second, key), "{}", key);
        }
        for (key, mean) in first.means() {
            prop_assert!((second.get(key).unwrap() - mean).abs() < 1e-12, "{}", key);
        }
    }
}

#[test]
fn broken_factors_are_an_error_that_names_the_first() {
    for (bad, place) in [(f32::NAN, 2), (f32::INFINITY, 1)] {
        let mut model = dot(5, 4, 6, 3);
        model.users.row_mut(1).copy_from_slice(&[0.0, 1.0, 1.0]);
        model.items.row_mut(place)[0] = bad;
        let users = [UserIdx(1)];
        let seen = pairs(4, 6, &[(1, place as u32)]);
        let err = rank_users(&model, &users, &seen, &RankOptions::new(3)).unwrap_err();
        let want = ScoreError::NotANumber { model: "dot".into(), user: 1, item: place };
        assert_eq!(err, EvalError::Score(want));
    }
}
