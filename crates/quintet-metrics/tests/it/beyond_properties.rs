//! Properties of the metrics that are no ranking metric of one user: bounds and invariances.

use proptest::collection::vec;
use proptest::prelude::*;
use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Matrix, Modality, ModalityFeatures, SparseFeatures, UserIdx,
};
use quintet_metrics::beyond::{BeyondAccuracy, BeyondReport, ListContext};
use quintet_metrics::classification::{
    Average, Binning, Confusion, Reliability, average_precision, brier, log_loss, roc_auc,
};
use quintet_metrics::fairness::{jensen_shannon, kullback_leibler, total_variation};
use quintet_metrics::rating::RatingScores;
use quintet_metrics::{WilcoxonConfig, WilcoxonMethod, holm, wilcoxon};

const USERS: usize = 6;
const ITEMS: usize = 9;
const K: usize = 4;

/// Whole numbers, so that relabelling changes no rounding of the features.
#[derive(Debug, Clone)]
struct World {
    history: Vec<bool>,
    truth: Vec<bool>,
    lists: Vec<Vec<u32>>,
    features: Vec<i8>,
    present: Vec<bool>,
    categories: Vec<bool>,
}

fn world() -> impl Strategy<Value = World> {
    let cells = || vec(proptest::bool::weighted(0.3), USERS * ITEMS);
    let order = || Just((0..ITEMS as u32).collect::<Vec<_>>()).prop_shuffle();
    let list = (order(), 0..ITEMS).prop_map(|(order, n)| order[..n].to_vec());
    (
        cells(),
        cells(),
        vec(list, USERS),
        vec(-2i8..=2, 2 * ITEMS),
        vec(proptest::bool::weighted(0.8), ITEMS),
        vec(any::<bool>(), 3 * ITEMS),
    )
        .prop_map(|(history, truth, lists, features, present, categories)| World {
            history,
            truth,
            lists,
            features,
            present,
            categories,
        })
}

fn interactions(cells: &[bool]) -> Interactions {
    let pairs = cells.iter().enumerate().filter(|(_, c)| **c);
    let pairs = pairs.map(|(at, _)| ((at / ITEMS) as u32, (at % ITEMS) as u32));
    Interactions::from_pairs(USERS, ITEMS, pairs).unwrap()
}

fn measure(world: &World, users: &[usize]) -> BeyondReport {
    let (history, truth) = (interactions(&world.history), interactions(&world.truth));
    let data = world.features.iter().map(|v| f32::from(*v)).collect();
    let matrix = Matrix::from_vec(ITEMS, 2, data).unwrap();
    let mut features = FeatureSet::new(ITEMS);
    let image = ModalityFeatures::new(Modality::Image, matrix, world.present.clone()).unwrap();
    features.push(image).unwrap();
    let cells = world.categories.iter().enumerate().filter(|(_, c)| **c);
    let cells = cells.map(|(at, _)| ((at / 3) as u32, (at % 3) as u32, 1.0));
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let categories = SparseFeatures::new(ITEMS, names, cells).unwrap();
    let context = ListContext::new(&history)
        .with_truth(&truth)
        .with_features(&features)
        .with_categories(&categories);
    let lists: Vec<Vec<ItemIdx>> =
        users.iter().map(|u| world.lists[*u].iter().copied().map(ItemIdx).collect()).collect();
    let users: Vec<UserIdx> = users.iter().copied().map(UserIdx::new).collect();
    BeyondAccuracy::new(context).unwrap().measure(&users, &lists, K).unwrap()
}

/// The largest value that a metric can take.
fn upper(key: &str) -> f64 {
    let log2 = |n: usize| (n as f64).log2();
    match key.split('@').next().unwrap() {
        "arp" => USERS as f64,
        "aclt" => K as f64,
        "miuf" => log2(USERS),
        "self_information" => log2(USERS * ITEMS),
        "shannon_entropy" => (ITEMS as f64).ln(),
        "ild_image" => 2.0,
        name if name.starts_with("calibration_kl") => 100f64.ln(),
        // Of n rates that are not negative, the spread is at most √(n - 1) means.
        name if name.starts_with("rsp") || name.starts_with("reo") => 2f64.sqrt(),
        _ => 1.0,
    }
}

fn close(a: &BeyondReport, b: &BeyondReport) -> Result<(), TestCaseError> {
    prop_assert!(a.means().keys().eq(b.means().keys()));
    for (key, value) in a.means() {
        let other = b.get(key).unwrap();
        prop_assert!((value - other).abs() < 1e-12, "{}: {} or {}", key, value, other);
    }
    Ok(())
}

proptest! {
    #[test]
    fn values_are_finite_and_within_bounds(world in world()) {
        let got = measure(&world, &[0, 1, 2, 3, 4, 5]);
        for (key, value) in got.means() {
            prop_assert!((0.0..=upper(key) + 1e-12).contains(value), "{}: {}", key, value);
        }
        for (key, values) in got.per_user_values() {
            prop_assert_eq!(values.mean(), got.get(key), "{}", key);
            for value in values.values() {
                prop_assert!((0.0..=upper(key) + 1e-12).contains(value), "{}: {}", key, value);
            }
        }
        let serendipity = got.get("serendipity@4").unwrap_or(0.0);
        prop_assert!(serendipity <= got.get("unexpectedness@4").unwrap_or(0.0));
    }

    #[test]
    fn the_order_of_users_does_not_matter(
        world in world(), order in Just(vec![0usize, 1, 2, 3, 4, 5]).prop_shuffle()
    ) {
        close(&measure(&world, &[0, 1, 2, 3, 4, 5]), &measure(&world, &order))?;
    }

    #[test]
    fn ranks_beyond_k_do_not_matter_and_threads_neither(world in world()) {
        let mut cut = world.clone();
        cut.lists.iter_mut().for_each(|list| list.truncate(K));
        let users = [0, 1, 2, 3, 4, 5];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = pool.install(|| measure(&cut, &users));
        prop_assert!(alone == measure(&world, &users));
    }

    /// Metrics without a rank in their formula do not see the order of a list.
    #[test]
    fn the_order_of_a_list_matters_only_where_ranks_do(world in world()) {
        let mut turned = world.clone();
        turned.lists.iter_mut().for_each(|list| {
            list.truncate(K);
            list.reverse();
        });
        let users = [0, 1, 2, 3, 4, 5];
        let (a, b) = (measure(&world, &users), measure(&turned, &users));
        for (key, value) in a.means() {
            if !key.contains("ranked") && !key.starts_with("exposure") {
                let other = b.get(key).unwrap();
                prop_assert!((value - other).abs() < 1e-12, "{}: {} or {}", key, value, other);
            }
        }
    }

    /// What lies in the rows of absent items is never read, and scale is no content.
    #[test]
    fn diversity_reads_directions_of_present_items_only(world in world()) {
        let mut other = world.clone();
        for (item, present) in world.present.iter().enumerate() {
            for v in &mut other.features[2 * item..2 * item + 2] {
                *v = if *present { *v * 2 } else { 77 };
            }
        }
        let users = [0, 1, 2, 3, 4, 5];
        let key = "ild_image@4";
        let (a, b) = (measure(&world, &users), measure(&other, &users));
        prop_assert_eq!(a.per_user(key), b.per_user(key));
    }

    /// Areas depend on the order of scores alone, and turning both sides around changes nothing.
    #[test]
    fn areas_see_the_order_of_scores_only(
        pairs in vec((any::<bool>(), -8i8..8), 2..40)
    ) {
        let truth: Vec<bool> = pairs.iter().map(|(t, _)| *t).collect();
        prop_assume!(truth.contains(&true) && truth.contains(&false));
        let score = |f: fn(f64) -> f64| -> Vec<f64> {
            pairs.iter().map(|(_, s)| f(f64::from(*s))).collect()
        };
        let (plain, grown) = (score(|s| s), score(|s| (s / 3.0).exp()));
        let auc = roc_auc(&truth, &plain).unwrap();
        prop_assert_eq!(auc, roc_auc(&truth, &grown).unwrap());
        prop_assert_eq!(
            average_precision(&truth, &plain).unwrap(), average_precision(&truth, &grown).unwrap()
        );
        let opposite: Vec<bool> = truth.iter().map(|t| !t).collect();
        prop_assert!((auc - roc_auc(&opposite, &score(|s| -s)).unwrap()).abs() < 1e-15);
        prop_assert!((auc + roc_auc(&truth, &score(|s| -s)).unwrap() - 1.0).abs() < 1e-15);
        // All pairs, one by one.
        let mut wins = (0.0, 0.0);
        for (positive, _) in truth.iter().enumerate().filter(|(_, t)| **t) {
            for (negative, _) in truth.iter().enumerate().filter(|(_, t)| !**t) {
                let (p, n) = (plain[positive], plain[negative]);
                let win = if p > n { 1.0 } else if p == n { 0.5 } else { 0.0 };
                wins = (wins.0 + win, wins.1 + 1.0);
            }
        }
        prop_assert!((auc - wins.0 / wins.1).abs() < 1e-12);
    }

    #[test]
    fn probabilities_have_bounded_errors(
        pairs in vec((any::<bool>(), 0u8..=20), 1..40), n_bins in 1usize..8
    ) {
        let truth: Vec<bool> = pairs.iter().map(|(t, _)| *t).collect();
        let p: Vec<f64> = pairs.iter().map(|(_, p)| f64::from(*p) / 20.0).collect();
        prop_assert!(log_loss(&truth, &p).unwrap() >= 0.0);
        prop_assert!((0.0..=1.0).contains(&brier(&truth, &p).unwrap()));
        for binning in [Binning::EqualWidth(n_bins), Binning::EqualMass(n_bins)] {
            let table = Reliability::new(&truth, &p, binning).unwrap();
            prop_assert_eq!(table.bins().iter().map(|bin| bin.n).sum::<usize>(), truth.len());
            prop_assert!(table.ece() <= table.mce() + 1e-12 && table.mce() <= 1.0);
            for bin in table.bins().iter().filter(|bin| bin.n > 0) {
                let mean = bin.predicted.unwrap();
                prop_assert!(bin.lower - 1e-12 <= mean && mean <= bin.upper + 1e-12, "{:?}", bin);
            }
        }
    }

    #[test]
    fn relabelled_classes_have_the_same_averages(
        pairs in vec((0usize..4, 0usize..4), 1..40), order in Just(vec![0usize, 1, 2, 3]).prop_shuffle()
    ) {
        let (truth, predicted): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        let rename = |classes: &[usize]| classes.iter().map(|c| order[*c]).collect::<Vec<_>>();
        let plain = Confusion::new(&truth, &predicted, 4).unwrap();
        let renamed = Confusion::new(&rename(&truth), &rename(&predicted), 4).unwrap();
        for average in [Average::Micro, Average::Macro, Average::Weighted] {
            let (a, b) = (plain.average(average), renamed.average(average));
            prop_assert!((a.f1 - b.f1).abs() < 1e-12 && (0.0..=1.0).contains(&a.f1));
            prop_assert!((a.precision - b.precision).abs() < 1e-12);
            prop_assert!((a.recall - b.recall).abs() < 1e-12);
        }
        // The weighted recall is the accuracy.
        prop_assert!((plain.average(Average::Weighted).recall - plain.accuracy()).abs() < 1e-12);
    }

    #[test]
    fn rating_errors_scale_and_are_ordered(
        pairs in vec((1u8..=5, 1u8..=5), 1..30), factor in 1u8..9
    ) {
        let part = |f: fn(&(u8, u8)) -> u8, by: f64| -> Vec<f64> {
            pairs.iter().map(|pair| f64::from(f(pair)) * by).collect()
        };
        let by = f64::from(factor);
        let a = RatingScores::new(&part(|p| p.0, 1.0), &part(|p| p.1, 1.0)).unwrap();
        let b = RatingScores::new(&part(|p| p.0, by), &part(|p| p.1, by)).unwrap();
        prop_assert!(a.mae <= a.rmse + 1e-12 && a.r2.is_none_or(|r2| r2 <= 1.0));
        prop_assert!((b.rmse - by * a.rmse).abs() < 1e-9 && (b.mae - by * a.mae).abs() < 1e-9);
        prop_assert!((b.r2.unwrap_or(0.0) - a.r2.unwrap_or(0.0)).abs() < 1e-9);
    }

    #[test]
    fn divergences_are_bounded_and_zero_for_equals(
        weights in vec((0u8..9, 0u8..9), 1..8)
    ) {
        let total = |f: fn(&(u8, u8)) -> u8| weights.iter().map(|w| f64::from(f(w))).sum::<f64>();
        let (a, b) = (total(|w| w.0), total(|w| w.1));
        prop_assume!(a > 0.0 && b > 0.0);
        let p: Vec<f64> = weights.iter().map(|w| f64::from(w.0) / a).collect();
        let q: Vec<f64> = weights.iter().map(|w| f64::from(w.1) / b).collect();
        let (tv, js) = (total_variation(&p, &q), jensen_shannon(&p, &q));
        prop_assert!((0.0..=1.0 + 1e-12).contains(&tv) && (0.0..=1.0).contains(&js));
        prop_assert!((js - jensen_shannon(&q, &p)).abs() < 1e-12);
        // Lin's bound.
        prop_assert!(js <= tv + 1e-12);
        prop_assert!(kullback_leibler(&p, &q) >= 0.0 && kullback_leibler(&p, &p) == 0.0);
        prop_assert_eq!((total_variation(&p, &p), jensen_shannon(&p, &p)), (0.0, 0.0));
    }

    /// All sign patterns, one by one, ties and zeros included.
    #[test]
    fn the_exact_test_counts_sign_patterns(differences in vec(-4i8..=4, 1..11)) {
        let d: Vec<f64> = differences.iter().map(|d| f64::from(*d)).collect();
        let config = WilcoxonConfig { method: WilcoxonMethod::Exact, ..Default::default() };
        let got = wilcoxon(&d, &vec![0.0; d.len()], &config).unwrap();
        let sizes: Vec<f64> = d.iter().filter(|d| **d != 0.0).map(|d| d.abs()).collect();
        let ranks: Vec<f64> = sizes
            .iter()
            .map(|s| {
                let below = sizes.iter().filter(|o| *o < s).count() as f64;
                let equal = sizes.iter().filter(|o| *o == s).count() as f64;
                below + (equal + 1.0) / 2.0
            })
            .collect();
        let (mut low, mut high) = (0.0f64, 0.0f64);
        for pattern in 0..1u32 << ranks.len() {
            let sum: f64 =
                ranks.iter().enumerate().filter(|(i, _)| pattern >> i & 1 == 1).map(|(_, r)| r).sum();
            low += f64::from(u8::from(sum <= got.w_plus));
            high += f64::from(u8::from(sum >= got.w_plus));
        }
        let want = (2.0 * low.min(high) / f64::from(1u32 << ranks.len())).min(1.0);
        prop_assert!((got.p - want).abs() < 1e-12, "{} or {}", got.p, want);
    }

    #[test]
    fn corrected_probabilities_keep_their_order(p in vec(0.0f64..=1.0, 0..12)) {
        let adjusted = holm(&p).unwrap();
        for (i, (a, p_i)) in adjusted.iter().zip(&p).enumerate() {
            prop_assert!(*a >= *p_i && *a <= (p.len() as f64 * p_i).min(1.0));
            for (b, p_j) in adjusted[..i].iter().zip(&p) {
                prop_assert!((p_i < p_j && a <= b) || (p_i >= p_j && a >= b));
            }
        }
    }
}
