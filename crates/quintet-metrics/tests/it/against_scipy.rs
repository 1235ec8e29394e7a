//! Agreement of the tests of differences with scipy; `tests/fixtures/scipy/generate.py` wrote the
//! cases.

use quintet_metrics::{
    WilcoxonConfig, WilcoxonMethod, ZeroDifferences, cohens_d_paired, holm, wilcoxon,
};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Cases {
    wilcoxon: Vec<WilcoxonCase>,
    holm: Vec<HolmCase>,
    effect: Vec<EffectCase>,
}

#[derive(Deserialize)]
struct WilcoxonCase {
    left: Vec<f64>,
    right: Vec<f64>,
    /// Zeros, method, continuity correction; statistic and p.
    expected: Vec<(ZeroDifferences, WilcoxonMethod, bool, f64, f64)>,
    /// p of the exact test, where nothing ties and nothing is zero.
    exact: Option<f64>,
}

#[derive(Deserialize)]
struct HolmCase {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct EffectCase {
    left: Vec<f64>,
    right: Vec<f64>,
    d: f64,
}

fn cases() -> Cases {
    let manifest = include_str!("../fixtures/scipy/manifest.toml");
    assert!(manifest.contains("tolerance = 1e-9\n"), "the manifest states another tolerance");
    serde_json::from_str(include_str!("../fixtures/scipy/cases.json")).unwrap()
}

#[track_caller]
fn close(got: f64, want: f64, what: impl Fn() -> String) {
    // Relative: small probabilities matter.
    assert!((got - want).abs() <= TOLERANCE * want.abs(), "{}: {got}, not {want}", what());
}

#[test]
fn wilcoxon_agrees_for_every_choice() {
    let cases = cases().wilcoxon;
    assert!(cases.len() >= 150, "{}", cases.len());
    let (mut exact, mut ties) = (0, 0);
    for (case, c) in cases.iter().enumerate() {
        for &(zeros, method, continuity, statistic, p) in &c.expected {
            let config = WilcoxonConfig { zeros, method, continuity };
            let got = wilcoxon(&c.left, &c.right, &config).unwrap();
            assert_eq!(got.statistic, statistic, "case {case}, {config:?}");
            close(got.p, p, || format!("case {case}, {config:?}, {got:?}"));
            assert_eq!(got.n + got.n_zero, c.left.len());
        }
        if let Some(p) = c.exact {
            let config = WilcoxonConfig { method: WilcoxonMethod::Exact, ..Default::default() };
            close(wilcoxon(&c.left, &c.right, &config).unwrap().p, p, || format!("case {case}"));
            exact += 1;
        } else {
            ties += 1;
        }
    }
    assert!(exact >= 50 && ties >= 50, "{exact} without ties, {ties} with");
}

#[test]
fn holm_and_d_agree_with_their_formulas() {
    let cases = cases();
    for (case, c) in cases.holm.iter().enumerate() {
        let got = holm(&c.p).unwrap();
        assert_eq!(got.len(), c.adjusted.len());
        for (got, want) in got.iter().zip(&c.adjusted) {
            close(*got, *want, || format!("holm, case {case}"));
        }
    }
    for (case, c) in cases.effect.iter().enumerate() {
        close(cohens_d_paired(&c.left, &c.right).unwrap(), c.d, || format!("d, case {case}"));
    }
}
