//! A table of hits worked by hand: 4 users, 3 places, 8 items.

use quintet_core::{Held, Valid};
use quintet_metrics::{EvalConfig, evaluate_lists};

use crate::common::{items, pairs};

/// ```text
/// user  list   relevant   hits   recall  precision  hit  ndcg                        map        mrr
/// 0     0 1 2  0 2        1 0 1  2/2     2/3        1    1.5 / (1 + 1/log2 3)        (1+2/3)/2  1
/// 1     3 4 5  5          0 0 1  1/1     1/3        1    (1/2) / 1                   1/3        1/3
/// 2     0 1 3  4 5 6 7    0 0 0  0/4     0          0    0                           0          0
/// 3     2 6    2 6 0 1    1 1 –  2/4     2/3        1    (1 + 1/log2 3) / (that + 1/2)  2/4     1
/// ```
/// Shown at all: items 0 1 2 3 4 5 6, so 7 of 8.
#[test]
fn four_users_at_three_places() {
    let truth =
        [(0, 0), (0, 2), (1, 5), (2, 4), (2, 5), (2, 6), (2, 7), (3, 2), (3, 6), (3, 0), (3, 1)];
    let held = Held::<Valid>::new(pairs(4, 8, &truth));
    let lists = [items(&[0, 1, 2]), items(&[3, 4, 5]), items(&[0, 1, 3]), items(&[2, 6])];
    let mut config = EvalConfig { cutoffs: vec![3], ..EvalConfig::default() };
    config.metrics.push("map_min".into());
    let got = evaluate_lists(&lists, &held, &config).unwrap();

    let second = 1.0 / 3f64.log2();
    let table: [(&str, [f64; 4]); 7] = [
        ("recall@3", [1.0, 1.0, 0.0, 0.5]),
        ("precision@3", [2.0 / 3.0, 1.0 / 3.0, 0.0, 2.0 / 3.0]),
        ("hit_rate@3", [1.0, 1.0, 0.0, 1.0]),
        ("ndcg@3", [1.5 / (1.0 + second), 0.5, 0.0, (1.0 + second) / (1.5 + second)]),
        ("map@3", [5.0 / 6.0, 1.0 / 3.0, 0.0, 0.5]),
        ("map_min@3", [5.0 / 6.0, 1.0 / 3.0, 0.0, 2.0 / 3.0]),
        ("mrr@3", [1.0, 1.0 / 3.0, 0.0, 1.0]),
    ];
    for (key, want) in table {
        for (user, (got, want)) in got.per_user(key).unwrap().iter().zip(want).enumerate() {
            assert!((got - want).abs() < 1e-15, "{key} of user {user}: {got} is not {want}");
        }
        let mean = want.iter().sum::<f64>() / 4.0;
        assert!((got.get(key).unwrap() - mean).abs() < 1e-15, "{key}");
    }
    assert_eq!(got.get("coverage@3"), Some(0.875));
    assert_eq!(got.per_user("coverage@3"), None);
    assert_eq!((got.n_users(), got.n_skipped(), got.means().len()), (4, 0, 8));
}
