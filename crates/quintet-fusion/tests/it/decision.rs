//! Decision fusion beside ranx and scikit-learn, and what holds for every registered combination.

use quintet_core::{Matrix, ModelState, SeedStream};
use quintet_fusion::decision::{
    Ballot, DecisionFusion, ItemFacts, Lesson, LinearFit, Normalise, Platt, ScoreRow, Stack,
    StackParams, decisions, fit_logistic, fit_ridge,
};
use serde::Deserialize;
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Fixture {
    lists: Vec<Lists>,
    fits: Vec<Fits>,
}

#[derive(Deserialize)]
struct Lists {
    rows: Vec<ScoreRow>,
    min_max: Vec<Vec<Option<f64>>>,
    z_score: Vec<Vec<Option<f64>>>,
    rank: Vec<Vec<Option<f64>>>,
    rrf: Vec<Option<f64>>,
    comb_sum: Vec<Option<f64>>,
    comb_mnz: Vec<Option<f64>>,
    borda: Option<Vec<Option<f64>>>,
    condorcet_order: Option<Vec<usize>>,
}

#[derive(Deserialize)]
struct Fits {
    x: Vec<f32>,
    cols: usize,
    y: Vec<f64>,
    labels: Vec<bool>,
    l2: f64,
    ridge: Vec<f64>,
    logistic: Vec<f64>,
    logistic_errors: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/decision/cases.json")).unwrap()
}

fn built(name: &str, params: &Value, n_models: usize) -> Box<dyn DecisionFusion> {
    (decisions().unwrap().get(name).unwrap().build)(params, n_models).unwrap()
}

fn facts(n_items: usize) -> ItemFacts {
    ItemFacts {
        counts: (0..n_items as u32).map(|i| i % 5).collect(),
        modalities: (0..n_items).map(|i| vec![i % 2 == 0, i % 3 > 0]).collect(),
    }
}

fn ballot<'a>(rows: &'a [ScoreRow], facts: &'a ItemFacts) -> Ballot<'a> {
    Ballot { rows, user: 0, user_count: 3, facts }
}

fn fused(name: &str, params: &Value, rows: &[ScoreRow]) -> Vec<f64> {
    let facts = ItemFacts::default();
    built(name, params, rows.len()).fuse(&ballot(rows, &facts)).unwrap()
}

/// The order of the items: by score, equal scores by position.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}

fn close(what: &str, expected: &[f64], found: &[f64]) {
    assert_eq!(expected.len(), found.len(), "{what}: length");
    for (at, (e, f)) in expected.iter().zip(found).enumerate() {
        assert!((e - f).abs() <= TOLERANCE * e.abs().max(1.0), "{what}: {at} is {f}, not {e}");
    }
}

#[test]
fn lists_are_fused_as_by_ranx() {
    let fixture = fixture();
    assert_eq!(fixture.lists.len(), 4);
    for case in fixture.lists {
        let rows = &case.rows;
        for (scale, expected) in [
            (Normalise::MinMax, &case.min_max),
            (Normalise::ZScore, &case.z_score),
            (Normalise::Rank, &case.rank),
        ] {
            for (row, expected) in rows.iter().zip(expected) {
                let found = scale.apply(row).unwrap();
                let absent = |r: &[Option<f64>]| r.iter().map(Option::is_none).collect::<Vec<_>>();
                // One score alone is 1 here and 0 there.
                if row.iter().flatten().count() > 1 || scale == Normalise::Rank {
                    assert_eq!(absent(expected), absent(&found), "{scale:?}");
                    let numbers =
                        |r: &[Option<f64>]| r.iter().flatten().copied().collect::<Vec<_>>();
                    close(&format!("{scale:?}"), &numbers(expected), &numbers(&found));
                }
            }
        }
        // An item in no list has no score there and 0 here.
        let zeros = |r: &[Option<f64>]| r.iter().map(|s| s.unwrap_or(0.0)).collect::<Vec<f64>>();
        close("rrf", &zeros(&case.rrf), &fused("rrf", &Value::Null, rows));
        assert!(rows.iter().all(|r| r.iter().flatten().count() > 1), "a list of one item");
        let ones = json!({ "weights": [1, 1, 1] });
        close("weighted", &zeros(&case.comb_sum), &fused("weighted", &ones, rows));
        close("combmnz", &zeros(&case.comb_mnz), &fused("combmnz", &Value::Null, rows));
        if let (Some(borda), Some(expected)) = (case.borda, case.condorcet_order) {
            close("borda", &zeros(&borda), &fused("borda", &Value::Null, rows));
            assert_eq!(order(&fused("condorcet", &Value::Null, rows)), expected);
        }
    }
}

#[test]
fn fits_are_those_of_scikit_learn() {
    for case in fixture().fits {
        let x = Matrix::from_vec(case.x.len() / case.cols, case.cols, case.x).unwrap();
        let numbers = |fit: &LinearFit| {
            fit.coefficients.iter().copied().chain([fit.intercept]).collect::<Vec<f64>>()
        };
        close("ridge", &case.ridge, &numbers(&fit_ridge(&x, &case.y, case.l2).unwrap()));
        let logistic = fit_logistic(&x, &case.labels, case.l2).unwrap();
        close("logistic", &case.logistic, &numbers(&logistic));
        close("errors", &case.logistic_errors, &logistic.standard_errors);
    }
}

#[test]
fn calibration_turns_scores_into_shares() {
    // Scores ±1; three of four are wanted above, one of four below: the log odds are ±ln 3.
    let scores = [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0];
    let wanted = [true, true, true, false, true, false, false, false];
    let platt = Platt::fit(&scores, &wanted, 0.0).unwrap();
    close("a, b", &[3f64.ln(), 0.0], &[platt.a, platt.b]);
    close("shares", &[0.75, 0.25], &[platt.probability(1.0), platt.probability(-1.0)]);
}

#[test]
fn votes_by_hand() {
    // Orders: 0 1 2, 1 0, 3 0; nobody has 4.
    let some = |pairs: [(usize, f32); 3]| {
        let mut row = vec![None; 5];
        pairs.iter().filter(|(_, s)| *s > 0.0).for_each(|(i, s)| row[*i] = Some(*s));
        row
    };
    let rows = [
        some([(0, 9.0), (1, 8.0), (2, 7.0)]),
        some([(1, 2.0), (0, 1.0), (0, 0.0)]),
        some([(3, 2.0), (0, 1.0), (0, 0.0)]),
    ];
    // L = 3: 0 has 3 + 2 + 2, 1 has 2 + 3, 2 has 1, 3 has 3.
    assert_eq!(fused("borda", &Value::Null, &rows), [7.0, 5.0, 1.0, 3.0, 0.0]);
    // 0 beats 1 in the first and third list, 2 in all, 3 in two: 3 + item 4. 1 beats 2 twice and
    // 3 twice. 3 beats 2 once, loses once: even.
    assert_eq!(fused("condorcet", &Value::Null, &rows), [4.0, 3.0, 1.5, 1.5, 0.0]);
    // 0 and 1 have two votes; then 3 with 1/61 before 2 with 1/63.
    let found = fused("majority", &Value::Null, &rows);
    assert_eq!(order(&found), [0, 1, 3, 2, 4]);
    let found = fused("majority", &json!({ "min_votes": 3 }), &rows);
    assert_eq!(order(&found), [0, 1, 3, 2, 4]);
    // By depth 1 alone, 3 has one vote and so have 0 and 1; nobody else.
    let found = fused("majority", &json!({ "min_votes": 1, "depth": 1, "kappa": 0 }), &rows);
    assert_eq!(order(&found), [0, 1, 3, 2, 4]);
    let weights = json!({ "kappa": 0, "weights": [0, 0, 2] });
    close("weights", &[1.0, 0.0, 0.0, 2.0, 0.0], &fused("rrf", &weights, &rows));
}

/// 30 users, 12 items; the first model knows what was held out, the second draws.
fn lessons() -> Vec<Lesson> {
    use rand::RngExt;
    let mut rng = SeedStream::new(3).rng("lessons", 0);
    let lesson = |user: usize| {
        let held = vec![user % 5, 5 + user % 7];
        let mut good: ScoreRow = (0..12).map(|_| Some(rng.random_range(0.0..1.0))).collect();
        held.iter().for_each(|&i| good[i] = Some(rng.random_range(0.7..2.0)));
        let drawn = (0..12).map(|i| (i != 11).then(|| rng.random_range(0.0..1.0))).collect();
        Lesson { user, user_count: 4 + user % 3, rows: vec![good, drawn], held }
    };
    (0..30).map(lesson).collect()
}

#[test]
fn what_is_learned_trusts_the_better_model_and_comes_back() {
    let (lessons, facts) = (lessons(), facts(12));
    for (name, params) in [
        ("stack", json!({})),
        ("stack", json!({ "learner": "ridge" })),
        ("weighted", json!({ "learn": "search" })),
        ("weighted", json!({ "learn": "per_user" })),
    ] {
        let title = format!("{name} {params}");
        let mut fusion = built(name, &params, 2);
        let test = Ballot { rows: &lessons[0].rows, user: 0, user_count: 4, facts: &facts };
        assert!(fusion.learns() && fusion.fuse(&test).is_err(), "{title} fuses unlearned");
        assert!(fusion.learn(&[], &facts, SeedStream::new(1)).is_err(), "{title} learns nothing");
        fusion.learn(&lessons, &facts, SeedStream::new(1)).unwrap();
        let scores = fusion.fuse(&test).unwrap();
        let first = order(&scores)[0];
        assert!(lessons[0].held.contains(&first), "{title} puts {first} first");
        let addends = fusion.addends(&test, first).unwrap();
        assert!(addends[0] > addends[1], "{title}: {addends:?}");
        let mut state = ModelState::new("x");
        fusion.save("f.", &mut state);
        let mut loaded = built(name, &params, 2);
        loaded.load("f.", &state).unwrap();
        assert_eq!(loaded.fuse(&test).unwrap(), scores, "{title} after loading");
        assert!(built(name, &params, 2).load("g.", &state).is_err(), "{title} loads nothing");
    }
}

#[test]
fn a_stack_reports_its_coefficients() {
    let mut stack = Stack::new(StackParams::default(), 2).unwrap();
    assert!(stack.coefficients().is_empty());
    stack.learn(&lessons(), &facts(12), SeedStream::new(1)).unwrap();
    let found = stack.coefficients();
    let names: Vec<&str> = found.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["model 0 score", "model 0 rank", "model 0 absent"]);
    assert_eq!(names[6..], ["ln item count", "ln user count", "modality 0", "modality 1"]);
    assert!(found.iter().all(|(_, value, error)| value.is_finite() && *error > 0.0));
    // The score of the good model is worth more than three of its standard errors.
    assert!(found[0].1 > 3.0 * found[0].2, "{found:?}");
}

#[test]
fn every_combination_is_finite_ordered_and_refuses_what_it_cannot_read() {
    let (lessons, facts) = (lessons(), facts(12));
    for entry in decisions().unwrap().iter() {
        let name = entry.name;
        let mut fusion = (entry.build)(&Value::Null, 2).unwrap();
        assert_eq!(fusion.name(), name);
        fusion.learn(&lessons, &facts, SeedStream::new(1)).unwrap();
        // Item 4 is in no list, item 3 best in both.
        let mut rows = vec![vec![Some(1.0); 12], vec![Some(2.0); 12]];
        for row in &mut rows {
            (row[3], row[4]) = (Some(5.0), None);
        }
        let scores = fusion.fuse(&ballot(&rows, &facts)).unwrap();
        assert!(scores.iter().all(|s| s.is_finite()), "{name}: {scores:?}");
        if name != "stack" {
            assert_eq!(order(&scores)[0], 3, "{name}: {scores:?}");
        }
        assert!(scores.iter().all(|s| *s >= scores[4]), "{name}: {scores:?}");
        let addends = fusion.addends(&ballot(&rows, &facts), 3).unwrap();
        assert!(addends.len() == 2 && addends.iter().all(|a| a.is_finite()), "{name}");
        let nothing = vec![vec![None; 12]; 2];
        let scores = fusion.fuse(&ballot(&nothing, &facts)).unwrap();
        assert!(scores.iter().all(|s| *s == scores[0]), "{name}: empty lists give {scores:?}");

        let text = |rows: &[ScoreRow]| fusion.fuse(&ballot(rows, &facts)).unwrap_err().to_string();
        assert!(text(&rows[..1]).contains("2 models were expected, found 1"), "{name}");
        rows[1][7] = Some(f32::NAN);
        assert!(text(&rows).contains("model 1 gives item 7 the score NaN"), "{name}");
        rows[1].pop();
        assert!(text(&rows).contains("row 1 has 11 items"), "{name}");
        let unknown = (entry.build)(&json!({ "no_such": 1 }), 2).err().unwrap().to_string();
        assert!(unknown.contains("no_such") && unknown.contains(name), "{unknown}");
        assert!((entry.build)(&Value::Null, 0).is_err(), "{name} of no model");
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    for (name, params) in [
        ("rrf", json!({ "kappa": -1 })),
        ("rrf", json!({ "weights": [1] })),
        ("rrf", json!({ "depth": 0 })),
        ("borda", json!({ "weights": [0, 0] })),
        ("condorcet", json!({ "depth": 0 })),
        ("majority", json!({ "min_votes": 3 })),
        ("majority", json!({ "min_votes": 0 })),
        ("weighted", json!({ "weights": [1, -1] })),
        ("weighted", json!({ "weights": [1, 1], "learn": "search" })),
        ("weighted", json!({ "step": 0.3 })),
        ("weighted", json!({ "strength": 0 })),
        ("combmnz", json!({ "normalise": "z_score" })),
        ("combmnz", json!({ "learn": "search" })),
        ("stack", json!({ "l2": 0 })),
        ("stack", json!({ "negatives": 0 })),
    ] {
        let entry = *decisions().unwrap().get(name).unwrap();
        let error = (entry.build)(&params, 2).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains(name)), "{name} takes {params}");
    }
}
