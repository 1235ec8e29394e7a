//! Properties of whole evaluations over random tables, truths and masks.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quintet_core::{Held, Interactions, Recommender, Test, UserIdx, Valid};
use quintet_metrics::{
    EvalConfig, EvalError, Evaluation, Evaluator, RankOptions, evaluate, rank_users, registry,
};

use crate::common::Table;

const USERS: usize = 13;
const ITEMS: usize = 17;

/// Scores with many ties, seen pairs and held-out pairs that do not overlap.
#[derive(Debug, Clone)]
struct World {
    scores: Vec<f32>,
    seen: Vec<(u32, u32)>,
    truth: Vec<(u32, u32)>,
}

impl World {
    fn model(&self) -> Table {
        Table::new(USERS, ITEMS, self.scores.clone())
    }

    fn seen(&self) -> Interactions {
        Interactions::from_pairs(USERS, ITEMS, self.seen.iter().copied()).unwrap()
    }

    fn truth(&self) -> Interactions {
        Interactions::from_pairs(USERS, ITEMS, self.truth.iter().copied()).unwrap()
    }
}

fn world() -> impl Strategy<Value = World> {
    let cell = (0..USERS as u32, 0..ITEMS as u32);
    let scores = proptest::collection::vec(-3i8..4, USERS * ITEMS);
    let cells = proptest::collection::btree_set((cell, any::<bool>()), 1..90);
    (scores, cells).prop_map(|(scores, cells)| {
        let held: BTreeSet<_> = cells.iter().filter(|(_, h)| *h).map(|(c, _)| *c).collect();
        let seen: BTreeSet<_> = cells.iter().filter(|(_, h)| !*h).map(|(c, _)| *c).collect();
        World {
            scores: scores.iter().map(|s| f32::from(*s)).collect(),
            truth: held.difference(&seen).copied().collect(),
            seen: seen.into_iter().collect(),
        }
    })
}

fn config() -> EvalConfig {
    let mut config = EvalConfig { cutoffs: vec![1, 3, 5, 50], ..EvalConfig::default() };
    let more = ["map_min", "ndcg_full", "rbp.80", "err", "auc", "r_precision"];
    config.metrics.extend(more.map(String::from));
    config
}

fn run(world: &World) -> Result<Evaluation<Valid>, EvalError> {
    evaluate(&world.model(), &Held::new(world.truth()), &world.seen(), &config())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn values_are_bounded_and_users_are_counted(world in world()) {
        prop_assume!(!world.truth.is_empty());
        let got = run(&world).unwrap();
        let with_truth: BTreeSet<u32> = world.truth.iter().map(|(u, _)| *u).collect();
        let users: Vec<u32> = got.users().iter().map(|u| u.0).collect();
        prop_assert_eq!(users, with_truth.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(got.n_users() + got.n_skipped(), USERS);
        for (key, mean) in got.means() {
            prop_assert!((0.0..=1.0).contains(mean), "{} {}", key, mean);
        }
        for (key, values) in got.per_user_values() {
            prop_assert_eq!(values.len(), got.n_users());
            prop_assert!(values.iter().all(|v| (0.0..=1.0).contains(v)), "{}", key);
        }
    }

    #[test]
    fn longer_lists_never_lose_what_is_over_a_fixed_number(world in world()) {
        prop_assume!(!world.truth.is_empty());
        let got = run(&world).unwrap();
        for metric in ["recall", "hit_rate", "mrr", "map", "ndcg_full", "rbp.80", "err"] {
            for (short, long) in [(1, 3), (3, 5), (5, 50)] {
                let short = got.per_user(&format!("{metric}@{short}")).unwrap();
                let long = got.per_user(&format!("{metric}@{long}")).unwrap();
                prop_assert!(short.iter().zip(long).all(|(s, l)| s <= l), "{}", metric);
            }
        }
        prop_assert!(got.get("coverage@1") <= got.get("coverage@5"));
        // Beyond the catalogue every unseen item is ranked, so every held-out item is found.
        prop_assert_eq!(got.get("recall@50"), Some(1.0));
    }

    #[test]
    fn blocks_and_threads_change_nothing(world in world(), block in 1usize..20) {
        prop_assume!(!world.truth.is_empty());
        let whole = serde_json::to_string(&run(&world).unwrap()).unwrap();
        let registry = registry().unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let evaluator = Evaluator::new(&config(), &registry).unwrap().with_block_users(block);
            let held = Held::<Valid>::new(world.truth());
            let got = pool.install(|| evaluator.evaluate(&world.model(), &held, &world.seen()));
            prop_assert_eq!(&serde_json::to_string(&got.unwrap()).unwrap(), &whole);
        }
    }

    #[test]
    fn lists_are_the_sorted_unmasked_candidates(
        world in world(), mask in proptest::collection::vec(any::<bool>(), ITEMS), k in 0usize..20
    ) {
        let (model, seen) = (world.model(), world.seen());
        let users: Vec<UserIdx> = (0..USERS).map(UserIdx::new).collect();
        let options = RankOptions { candidates: Some(&mask), ..RankOptions::new(k) };
        let lists = rank_users(&model, &users, &seen, &options).unwrap();
        for (user, list) in users.iter().zip(&lists) {
            let row = &world.scores[user.index() * ITEMS..(user.index() + 1) * ITEMS];
            let masked: BTreeSet<u32> = seen.items(*user).iter().map(|i| i.0).collect();
            let mut want: Vec<u32> =
                (0..ITEMS as u32).filter(|i| mask[*i as usize] && !masked.contains(i)).collect();
            // A stable sort leaves equal scores in the order of items.
            want.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]));
            want.truncate(k);
            let got: Vec<u32> = list.iter().map(|s| s.item.0).collect();
            prop_assert_eq!(got, want);
        }
    }

    /// With distinct scores the names of the items do not matter.
    #[test]
    fn relabelling_items_changes_nothing(
        mut world in world(), order in Just((0..ITEMS as u32).collect::<Vec<_>>()).prop_shuffle()
    ) {
        prop_assume!(!world.truth.is_empty());
        for (cell, score) in world.scores.iter_mut().enumerate() {
            *score += (cell % ITEMS) as f32 / 100.0;
        }
        let rename = |cells: &[(u32, u32)]| -> Vec<(u32, u32)> {
            cells.iter().map(|(u, i)| (*u, order[*i as usize])).collect()
        };
        let mut renamed = World {
            scores: vec![0.0; USERS * ITEMS],
            seen: rename(&world.seen),
            truth: rename(&world.truth),
        };
        for user in 0..USERS {
            for (item, place) in order.iter().enumerate().take(ITEMS) {
                renamed.scores[user * ITEMS + *place as usize] =
                    world.scores[user * ITEMS + item];
            }
        }
        prop_assert!(run(&world).unwrap() == run(&renamed).unwrap());
    }

    /// A model that scores held-out items highest reaches the best that each metric allows.
    #[test]
    fn the_oracle_is_perfect_and_its_opposite_finds_nothing_first(world in world()) {
        prop_assume!(!world.truth.is_empty());
        let truth = world.truth();
        let oracle: Vec<f32> = (0..USERS * ITEMS)
            .map(|cell| {
                let item = quintet_core::ItemIdx::new(cell % ITEMS);
                f32::from(u8::from(truth.contains(UserIdx::new(cell / ITEMS), item)))
            })
            .collect();
        let got = run(&World { scores: oracle.clone(), ..world.clone() }).unwrap();
        for key in ["hit_rate@1", "ndcg@1", "ndcg@5", "ndcg@50", "map_min@5", "map@50", "mrr@3"] {
            prop_assert_eq!(got.get(key), Some(1.0), "{}", key);
        }
        let worst = World { scores: oracle.iter().map(|s| -s).collect(), ..world.clone() };
        let got = run(&worst).unwrap();
        let seen = world.seen();
        for (position, user) in got.users().iter().enumerate() {
            let misses = ITEMS - seen.items(*user).len() - truth.items(*user).len();
            for k in [1, 3, 5] {
                if misses >= k {
                    prop_assert_eq!(got.per_user(&format!("ndcg@{k}")).unwrap()[position], 0.0);
                }
            }
        }
    }

    /// Evaluating a model and evaluating its lists is the same thing.
    #[test]
    fn lists_and_model_agree(
        world in world(), mask in proptest::collection::vec(any::<bool>(), ITEMS)
    ) {
        let (model, held) = (world.model(), Held::<Test>::new(world.truth()));
        prop_assume!(world.truth.iter().any(|(_, i)| mask[*i as usize]));
        let users: Vec<UserIdx> = (0..model.n_users()).map(UserIdx::new).collect();
        let all = rank_users(&model, &users, &world.seen(), &RankOptions::new(ITEMS)).unwrap();
        let lists: Vec<Vec<_>> =
            all.into_iter().map(|list| list.into_iter().map(|s| s.item).collect()).collect();
        let registry = registry().unwrap();
        let mut config = config();
        config.metrics.retain(|metric| metric != "auc");
        let evaluator = Evaluator::new(&config, &registry).unwrap().with_candidates(&mask);
        let by_lists = evaluator.evaluate_lists(&lists, &held).unwrap();
        prop_assert!(by_lists == evaluator.evaluate(&model, &held, &world.seen()).unwrap());
    }
}
