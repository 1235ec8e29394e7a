//! Agreement with formulas written apart in Python on 200 random worlds;
//! `tests/fixtures/beyond/generate.py` wrote them.

use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Matrix, Modality, ModalityFeatures, SparseFeatures, UserIdx,
};
use quintet_metrics::beyond::{BeyondAccuracy, ListContext, TailRule, UserLists};
use quintet_metrics::fairness::{Groups, group_gaps, popularity_lift};
use quintet_metrics::{MetricKind, RankedLists, registry};
use serde::Deserialize;

use crate::common::items;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Cases {
    names: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    world: World,
    /// One number a name; none where the metric is not defined.
    expected: Vec<Option<f64>>,
    /// Of the share of long-tail items: gap, ratio, spread, mean of the groups.
    gaps: Option<[f64; 4]>,
    lift: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct World {
    n_items: usize,
    k: usize,
    candidates: Vec<u8>,
    history: Vec<Vec<u32>>,
    truth: Vec<Vec<u32>>,
    users: Vec<u32>,
    lists: Vec<Vec<u32>>,
    features: Vec<Vec<f32>>,
    present: Vec<u8>,
    categories: Vec<Vec<u32>>,
    tail: (String, f64),
    user_groups: Vec<u32>,
}

impl World {
    fn interactions(&self, rows: &[Vec<u32>]) -> Interactions {
        let cells = (0..).zip(rows).flat_map(|(u, row)| row.iter().map(move |i| (u, *i)));
        Interactions::from_pairs(rows.len(), self.n_items, cells).unwrap()
    }

    fn features(&self) -> FeatureSet {
        let data = self.features.concat();
        let matrix = Matrix::from_vec(self.n_items, 2, data).unwrap();
        let present = self.present.iter().map(|p| *p == 1).collect();
        let mut set = FeatureSet::new(self.n_items);
        set.push(ModalityFeatures::new(Modality::Image, matrix, present).unwrap()).unwrap();
        set
    }

    fn categories(&self) -> SparseFeatures {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let rows = (0..).zip(&self.categories);
        let cells = rows.flat_map(|(i, row)| row.iter().map(move |c| (i, *c, 1.0)));
        SparseFeatures::new(self.n_items, names, cells).unwrap()
    }

    fn tail(&self) -> TailRule {
        match self.tail.0.as_str() {
            "head_items" => TailRule::HeadItems(self.tail.1),
            _ => TailRule::HeadInteractions(self.tail.1),
        }
    }
}

fn same(got: Option<f64>, want: Option<f64>) -> bool {
    match (got, want) {
        (Some(got), Some(want)) => (got - want).abs() <= TOLERANCE * want.abs().max(1.0),
        (got, want) => got.is_none() && want.is_none(),
    }
}

#[test]
fn every_metric_of_every_world_agrees() {
    let manifest = include_str!("../fixtures/beyond/manifest.toml");
    assert!(manifest.contains("tolerance = 1e-9\n"), "the manifest states another tolerance");
    let Cases { names, cases } =
        serde_json::from_str(include_str!("../fixtures/beyond/cases.json")).unwrap();
    assert_eq!((cases.len(), names.len()), (200, 38));
    let mut defined = vec![0; names.len()];
    for (number, case) in cases.iter().enumerate() {
        let world = &case.world;
        let (history, truth) =
            (world.interactions(&world.history), world.interactions(&world.truth));
        let (features, categories) = (world.features(), world.categories());
        let candidates: Vec<bool> = world.candidates.iter().map(|c| *c == 1).collect();
        let context = ListContext::new(&history)
            .with_truth(&truth)
            .with_candidates(&candidates)
            .with_features(&features)
            .with_categories(&categories)
            .with_tail(world.tail());
        let users: Vec<UserIdx> = world.users.iter().copied().map(UserIdx).collect();
        let lists: Vec<Vec<ItemIdx>> = world.lists.iter().map(|list| items(list)).collect();
        let measure = BeyondAccuracy::new(context).unwrap();
        let got = measure.measure(&users, &lists, world.k).unwrap();

        for (place, (name, want)) in names.iter().zip(&case.expected).enumerate() {
            let value = got.get(&format!("{name}@{}", world.k));
            assert!(same(value, *want), "{name}, world {number}: {value:?}, not {want:?}");
            defined[place] += usize::from(want.is_some());
        }
        let known = case.expected.iter().flatten().count();
        assert_eq!(got.means().len(), known, "world {number}: {:?}", got.means().keys());

        let names = ["a", "b"].map(String::from).to_vec();
        let labels: Vec<Option<u32>> = world.user_groups.iter().copied().map(Some).collect();
        let groups = Groups::from_labels(names, &labels).unwrap();
        let gaps = group_gaps(got.per_user(&format!("aplt@{}", world.k)).unwrap(), &groups).ok();
        let gaps = gaps.map(|g| [Some(g.gap), g.ratio, Some(g.spread), Some(g.mean_of_groups)]);
        for at in 0..4 {
            let (got, want) = (gaps.and_then(|g| g[at]), case.gaps.map(|g| g[at]));
            assert!(same(got, want), "gap {at}, world {number}: {got:?}, not {want:?}");
        }
        let size = (history.n_users(), history.n_items());
        let lists = UserLists::new(&users, &lists, world.k, size).unwrap();
        for (got, want) in popularity_lift(&lists, &groups, &history).iter().zip(&case.lift) {
            assert!(same(*got, *want), "lift, world {number}: {got:?}, not {want:?}");
        }
    }
    // Every formula is met often, not only where it is trivially absent.
    for (name, n) in names.iter().zip(defined) {
        assert!(n >= 40, "{name} is defined in {n} worlds only");
    }
}

/// The registry's metrics of all lists are those of the report.
#[test]
fn the_registry_says_the_same() {
    let lists = [items(&[0, 3, 1]), items(&[0]), vec![], items(&[2, 0])];
    let users: Vec<UserIdx> = (0..4).map(UserIdx).collect();
    let history = Interactions::from_pairs(4, 6, [(0, 5)]).unwrap();
    let measure = BeyondAccuracy::new(ListContext::new(&history)).unwrap();
    let report = measure.measure(&users, &lists, 2).unwrap();
    let registry = registry().unwrap();
    let value = |name: &str| {
        let MetricKind::Whole(f) = registry.get(name).unwrap().kind else {
            panic!("{name} is a metric of all lists")
        };
        f(&RankedLists::new(&lists, 6, 6, 2))
    };
    for name in ["coverage", "user_coverage", "entropy", "personalisation"] {
        assert_eq!(report.get(&format!("{name}@2")), Some(value(name)), "{name}");
    }
    let gini = report.get("gini@2").unwrap();
    assert!((1.0 - gini - value("gini_complement")).abs() < 1e-15);
}
