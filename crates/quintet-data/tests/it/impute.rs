//! Imputation: graphs worked by hand, and what holds for every graph.

use proptest::prelude::*;
use quintet_core::{Interactions, Matrix, Modality, ModalityFeatures, SeedStream};
use quintet_data::{Event, Events, ImputeConfig, Imputed, SplitConfig, impute, split};

fn features(rows: &[Option<[f32; 2]>]) -> ModalityFeatures {
    let values = rows.iter().flat_map(|row| row.unwrap_or_default()).collect();
    let matrix = Matrix::from_vec(rows.len(), 2, values).unwrap();
    let present = rows.iter().map(Option::is_some).collect();
    ModalityFeatures::new(Modality::Image, matrix, present).unwrap()
}

/// The path 0 - 1 - 2 - 3: degrees 1, 2, 2, 1, so `T_01 = T_23 = 1/√2` and `T_12 = 1/2`.
fn path() -> Interactions {
    Interactions::from_pairs(3, 4, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]).unwrap()
}

/// Its ends are observed, both with length 1.
fn ends() -> ModalityFeatures {
    features(&[Some([1.0, 0.0]), None, None, Some([0.0, 1.0])])
}

fn on_path(config: ImputeConfig) -> Imputed {
    let done = impute(&ends(), &path(), &config, None).unwrap();
    assert_eq!(done.features.matrix.row(0), [1.0, 0.0]);
    assert_eq!(done.features.matrix.row(3), [0.0, 1.0]);
    done
}

fn close(found: &[f32], want: [f64; 2]) {
    let near = found.iter().zip(want).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5);
    assert!(near, "{found:?}, expected {want:?}");
}

/// `(a, b)` with length 1.
fn unit(a: f64, b: f64) -> [f64; 2] {
    let length = (a * a + b * b).sqrt();
    [a / length, b / length]
}

#[test]
fn masked_leaves_everything_as_it_is() {
    let done = on_path(ImputeConfig::default());
    assert_eq!(done.features, ends());
    assert_eq!(done.imputed, [false; 4]);
    assert_eq!((done.report.missing, done.report.left, done.report.from_graph), (2, 2, 0));
}

#[test]
fn zeros_means_and_random_numbers_need_no_graph() {
    let zeros = on_path(ImputeConfig::Zeros {});
    assert_eq!(zeros.features.matrix.row(1), [0.0, 0.0]);
    assert_eq!(zeros.features.present, [true; 4]);
    assert_eq!(zeros.imputed, [false, true, true, false]);
    let mean = on_path(ImputeConfig::Mean {});
    assert_eq!(mean.features.matrix.row(2), [0.5, 0.5]);
    assert_eq!(mean.report.from_mean, 2);
    let random = |seed| on_path(ImputeConfig::Random { seed }).features.matrix;
    assert_eq!(random(1), random(1));
    assert_ne!(random(1), random(2));
    assert_ne!(random(1).row(1), random(1).row(2));
    // Columns that do not vary give their mean; others their spread: 2 for ±2.
    let mut rows = vec![None; 4000];
    (rows[0], rows[1]) = (Some([3.0, 2.0]), Some([3.0, -2.0]));
    let train = Interactions::from_pairs(1, 4000, []).unwrap();
    let many = impute(&features(&rows), &train, &ImputeConfig::Random { seed: 7 }, None).unwrap();
    let column: Vec<f64> = (2..4000).map(|i| f64::from(many.features.matrix.row(i)[1])).collect();
    assert!((2..4000).all(|i| many.features.matrix.row(i)[0] == 3.0));
    let variance = column.iter().map(|v| v * v).sum::<f64>() / column.len() as f64;
    assert!((variance - 4.0).abs() < 0.3, "{variance}");
}

#[test]
fn neighbour_mean_by_hand() {
    let done = on_path(ImputeConfig::NeighbourMean { neighbours: 5 });
    // Of the neighbours 0 and 2 of item 1 only 0 is observed.
    assert_eq!(done.features.matrix.row(1), [1.0, 0.0]);
    assert_eq!(done.features.matrix.row(2), [0.0, 1.0]);
    assert_eq!(done.report.from_graph, 2);
    // Item 1 between two observed ones: their mean, without any scaling.
    let observed = features(&[Some([2.0, 0.0]), None, Some([0.0, 4.0]), None]);
    let config = ImputeConfig::NeighbourMean { neighbours: 5 };
    let done = impute(&observed, &path(), &config, None).unwrap();
    assert_eq!(done.features.matrix.row(1), [1.0, 2.0]);
    assert_eq!(done.features.matrix.row(3), [0.0, 4.0]);
}

#[test]
fn multi_hop_by_hand() {
    // One hop: (1/√2, 0), brought to length 1.
    let one = on_path(ImputeConfig::MultiHop { neighbours: 5, hops: 1 });
    close(one.features.matrix.row(1), [1.0, 0.0]);
    // Two hops: 1/√2 (1, 0) + 1/2 (0, 1/√2), in the direction of (2, 1).
    let two = on_path(ImputeConfig::MultiHop { neighbours: 5, hops: 2 });
    close(two.features.matrix.row(1), unit(2.0, 1.0));
    close(two.features.matrix.row(2), unit(1.0, 2.0));
    assert_eq!((two.report.from_graph, two.report.steps), (2, 2));
    // Lengths 3 and 1: imputed ones get 2.
    let longer = features(&[Some([3.0, 0.0]), None, None, Some([0.0, 1.0])]);
    let config = ImputeConfig::MultiHop { neighbours: 5, hops: 1 };
    let done = impute(&longer, &path(), &config, None).unwrap();
    close(done.features.matrix.row(1), [2.0, 0.0]);
    // Item 2 lies two steps from the only observed one: one hop does not reach it.
    let far = features(&[Some([1.0, 0.0]), None, None, None]);
    let done = impute(&far, &path(), &config, None).unwrap();
    assert_eq!((done.report.from_graph, done.report.from_mean), (1, 2));
    close(done.features.matrix.row(3), [1.0, 0.0]);
}

#[test]
fn page_rank_by_hand() {
    // The fixed point: p = c (1/√2 + q/2) and q = c p/2 with c = 0.85, in the direction of
    // (1, c/2).
    let page_rank = |max_iterations| ImputeConfig::PersonalisedPageRank {
        neighbours: 5,
        alpha: 0.15,
        tolerance: 1e-7,
        max_iterations,
    };
    let done = on_path(page_rank(100));
    close(done.features.matrix.row(1), unit(1.0, 0.425));
    close(done.features.matrix.row(2), unit(0.425, 1.0));
    assert!(done.report.converged && done.report.steps < 30, "{:?}", done.report);
    assert!(!on_path(page_rank(2)).report.converged);
}

#[test]
fn heat_by_hand() {
    // Up to e^-t: t T X_0 + t²/2 T² X_0 with (T²)_10 = 0 and (T²)_13 = 1/2 · 1/√2, in the
    // direction of (t/√2, t²/(4√2)), that is (1, t/4).
    for t in [0.5, 2.0, 100.0] {
        let done = on_path(ImputeConfig::Heat { neighbours: 5, hops: 2, t });
        close(done.features.matrix.row(1), unit(1.0, t / 4.0));
        close(done.features.matrix.row(2), unit(t / 4.0, 1.0));
    }
}

#[test]
fn items_without_interactions_ask_another_modality() {
    // Items 0 and 1 are taken together; 2, 3, 4 and 5 by nobody.
    let train = Interactions::from_pairs(1, 6, [(0, 0), (0, 1)]).unwrap();
    let image = features(&[Some([4.0, 0.0]), None, Some([0.0, 2.0]), Some([0.0, 6.0]), None, None]);
    // Item 4 looks like 2 and 3, item 5 has no text either.
    let mut text = features(&[
        Some([1.0, 0.0]),
        Some([0.0, 5.0]),
        Some([0.1, 3.0]),
        Some([0.0, 0.2]),
        Some([0.01, 1.0]),
        None,
    ]);
    text.modality = Modality::Text;
    let config = ImputeConfig::NeighbourMean { neighbours: 2 };
    let done = impute(&image, &train, &config, Some(&text)).unwrap();
    assert_eq!(done.features.matrix.row(1), [4.0, 0.0]);
    assert_eq!(done.features.matrix.row(4), [0.0, 4.0]);
    close(done.features.matrix.row(5), [4.0 / 3.0, 8.0 / 3.0]);
    let report = done.report;
    assert_eq!((report.from_graph, report.from_modality, report.from_mean), (1, 1, 1));
    let alone = impute(&image, &train, &config, None).unwrap();
    close(alone.features.matrix.row(4), [4.0 / 3.0, 8.0 / 3.0]);
    assert_eq!((alone.report.from_modality, alone.report.from_mean), (0, 2));
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let says = |f: &ModalityFeatures, train: &Interactions, config: ImputeConfig, text: &str| {
        let err = impute(f, train, &config, None).unwrap_err().to_string();
        assert!(err.contains(text), "{err}");
    };
    let (ends, path) = (ends(), path());
    says(&ends, &path, ImputeConfig::NeighbourMean { neighbours: 0 }, "neighbours is 0");
    says(&ends, &path, ImputeConfig::MultiHop { neighbours: 1, hops: 0 }, "hops is 0");
    let heat = |t| ImputeConfig::Heat { neighbours: 1, hops: 1, t };
    says(&ends, &path, heat(f64::NAN), "t is NaN");
    let rank = |alpha| ImputeConfig::PersonalisedPageRank {
        neighbours: 1,
        alpha,
        tolerance: 0.1,
        max_iterations: 1,
    };
    says(&ends, &path, rank(1.0), "alpha is 1");
    let few = Interactions::from_pairs(1, 3, []).unwrap();
    says(&ends, &few, ImputeConfig::Mean {}, "training interactions: expected 4, found 3");
    let nothing = features(&[None, None, None, None]);
    says(&nothing, &path, ImputeConfig::Mean {}, "at least one item with image features");
    assert!(impute(&nothing, &path, &ImputeConfig::Zeros {}, None).is_ok());
}

#[test]
fn configurations_have_defaults_and_no_unknown_keys() {
    let config: ImputeConfig =
        toml::from_str("strategy = \"personalised_page_rank\"\nalpha = 0.2").unwrap();
    let want = ImputeConfig::PersonalisedPageRank {
        neighbours: 20,
        alpha: 0.2,
        tolerance: 1e-4,
        max_iterations: 100,
    };
    assert_eq!(config, want);
    assert!(toml::from_str::<ImputeConfig>("strategy = \"masked\"\nhops = 2").is_err());
    assert!(toml::from_str::<ImputeConfig>("strategy = \"mean_hop\"").is_err());
}

#[test]
fn held_out_events_have_no_influence() {
    let event = |user: u32, item: u32, day: i64| Event {
        user: quintet_core::UserIdx(user),
        item: quintet_core::ItemIdx(item),
        event: "click",
        value: 1.0,
        timestamp: Some(day),
        part: None,
    };
    // Users 0 and 1 differ in their last two events alone, which leave-one-out holds out.
    let world = |late: [u32; 4]| -> Events {
        let early = [event(0, 0, 1), event(0, 1, 2), event(1, 1, 1), event(1, 2, 2)];
        let held = [event(0, late[0], 3), event(0, late[1], 4)];
        let more = [event(1, late[2], 3), event(1, late[3], 4)];
        early.into_iter().chain(held).chain(more).collect()
    };
    let run = |events: &Events, all: bool| {
        let parts = split(events, 2, 6, &SplitConfig::LeaveOneOut {}, SeedStream::new(1)).unwrap();
        let train = if all { &parts.seen_for_test } else { &parts.train };
        let observed = features(&[
            Some([1.0, 0.0]),
            None,
            Some([0.0, 1.0]),
            Some([1.0, 1.0]),
            None,
            Some([-1.0, 1.0]),
        ]);
        let config = ImputeConfig::MultiHop { neighbours: 4, hops: 3 };
        impute(&observed, train, &config, None).unwrap()
    };
    // Item 4 is taken by the one user or by the other.
    let (one, two) = (world([4, 3, 5, 3]), world([5, 3, 4, 3]));
    assert_eq!(run(&one, false), run(&two, false));
    // With the validation events the two worlds do differ: the test can fail.
    assert_ne!(run(&one, true), run(&two, true));
}

/// Every strategy.
fn strategies() -> impl Strategy<Value = ImputeConfig> {
    (0usize..8, 1usize..6, 1usize..5, 0.05f64..0.95).prop_map(|(kind, neighbours, hops, a)| {
        match kind {
            0 => ImputeConfig::Masked {},
            1 => ImputeConfig::Zeros {},
            2 => ImputeConfig::Random { seed: 3 },
            3 => ImputeConfig::Mean {},
            4 => ImputeConfig::NeighbourMean { neighbours },
            5 => ImputeConfig::MultiHop { neighbours, hops },
            6 => ImputeConfig::PersonalisedPageRank {
                neighbours,
                alpha: a,
                tolerance: 1e-4,
                max_iterations: 50,
            },
            _ => ImputeConfig::Heat { neighbours, hops, t: 10.0 * a },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn observed_rows_stay_gaps_are_finite_and_threads_do_not_matter(
        pairs in proptest::collection::btree_set((0u32..10, 0u32..14), 0..60),
        rows in proptest::collection::vec(
            proptest::option::of([-1e3f32..1e3, -1e-3f32..1e-3]), 14),
        text in proptest::collection::vec(proptest::option::of([-1f32..1.0, -1f32..1.0]), 14),
        config in strategies(),
        with_text in any::<bool>(),
    ) {
        prop_assume!(rows.iter().any(Option::is_some));
        let train = Interactions::from_pairs(10, 14, pairs).unwrap();
        let (before, text) = (features(&rows), features(&text));
        let other = with_text.then_some(&text);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| impute(&before, &train, &config, other).unwrap())
        };
        let done = run(1);
        prop_assert_eq!(&run(3), &done);
        let masked = config == ImputeConfig::Masked {};
        for item in 0..14 {
            let row = done.features.matrix.row(item);
            prop_assert!(row.iter().all(|v| v.is_finite()));
            if before.present[item] {
                prop_assert_eq!(row, before.matrix.row(item));
            }
            prop_assert_eq!(done.imputed[item], !before.present[item] && !masked);
            prop_assert_eq!(done.features.present[item], before.present[item] || !masked);
        }
        let r = &done.report;
        let parts = r.left + r.constant + r.from_graph + r.from_modality + r.from_mean;
        prop_assert_eq!((r.missing, r.observed + r.missing), (parts, 14));
    }
}
