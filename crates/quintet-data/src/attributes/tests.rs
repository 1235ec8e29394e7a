//! Tests of attributes from end to end, with values worked by hand.

use proptest::prelude::*;

use super::*;
use crate::DataError;

fn item(id: usize, cells: &[(&str, &str)]) -> Item {
    let attributes = cells.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Item { id: format!("i{id}"), attributes, ..Item::default() }
}

fn items(name: &str, cells: &[&str]) -> Vec<Item> {
    cells.iter().enumerate().map(|(id, cell)| item(id, &[(name, cell)])).collect()
}

fn numeric(scale: NumericScale) -> AttributeConfig {
    AttributeConfig { columns: vec![AttributeColumn::Numeric { name: "x".into(), scale }] }
}

fn words(
    separator: Option<&str>,
    min_count: usize,
    max_size: usize,
    encoding: CategoricalEncoding,
) -> AttributeConfig {
    let (name, separator) = ("x".to_owned(), separator.map(str::to_owned));
    let column = AttributeColumn::Categorical { name, separator, min_count, max_size, encoding };
    AttributeConfig { columns: vec![column] }
}

fn near(found: &[f32], want: &[f32]) {
    assert_eq!(found.len(), want.len());
    assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {want:?}");
}

#[test]
fn numbers_are_scaled_by_the_fitting_rows_alone() {
    // The last two rows are not fitted on.
    let items = items("x", &["1", " 3 ", "5", "9", "1"]);
    let encode = |scale| {
        let encoder = AttributeEncoder::fit(&numeric(scale), &items[..3]).unwrap();
        encoder.encode(&items)
    };
    near(encode(NumericScale::None).numeric.as_slice(), &[1.0, 3.0, 5.0, 9.0, 1.0]);
    near(encode(NumericScale::MinMax).numeric.as_slice(), &[0.0, 0.5, 1.0, 2.0, 0.0]);
    // Mean 3, variance 8/3, so that a step of 2 is sqrt(1.5).
    let step = 1.5f32.sqrt();
    let z = encode(NumericScale::ZScore);
    near(z.numeric.as_slice(), &[-step, 0.0, step, 3.0 * step, -step]);
    assert_eq!((z.report.columns[0].out_of_range, z.report.columns[0].present), (1, 5));
    // e^0 - 1, e^2 - 1 and e^4 - 1 have the logarithms 0, 2, 4.
    let grown: Vec<String> = [0.0f64, 2.0, 4.0].iter().map(|x| x.exp_m1().to_string()).collect();
    let cells: Vec<&str> = grown.iter().map(String::as_str).collect();
    let grown = super::tests::items("x", &cells);
    let encoder = AttributeEncoder::fit(&numeric(NumericScale::Log1pZScore), &grown).unwrap();
    near(encoder.encode(&grown).numeric.as_slice(), &[-step, 0.0, step]);
}

#[test]
fn what_is_no_number_is_named_and_counts_as_missing() {
    let mut items = items("x", &["2", "4", "many", "NaN", "1e40", "-1", " "]);
    items.push(item(7, &[]));
    let config = numeric(NumericScale::Log1pZScore);
    let encoder = AttributeEncoder::fit(&config, &items[..3]).unwrap();
    let FittedColumn::Numeric(fitted) = &encoder.columns()[0] else { panic!("not numeric") };
    assert_eq!((fitted.values, fitted.bad), (2, 1));
    let encoded = encoder.encode(&items);
    let report = &encoded.report;
    assert!(report.adds_up());
    let column = &report.columns[0];
    assert_eq!((column.present, column.missing, column.bad), (2, 2, 4));
    let bad: Vec<_> = report.bad_cells.iter().map(|b| (b.id.as_str(), b.found.as_str())).collect();
    let want = [("i2", "\"many\""), ("i3", "\"NaN\""), ("i4", "\"1e40\""), ("i5", "\"-1\"")];
    assert_eq!(bad, want);
    assert_eq!(report.bad_cells[3].expected, "a number above -1, as its logarithm is taken");
    assert_eq!(encoded.numeric_present[0], [true, true, false, false, false, false, false, false]);
    assert!(encoded.numeric.as_slice()[2..].iter().all(|x| *x == 0.0));
    assert!(
        report.summary()[0].contains("4 bad; first: \"i2\": expected a number, found \"many\"")
    );
}

#[test]
fn constants_become_zero_and_are_reported() {
    // The sum of three 0.1 is rounded; their spread would not be 0.
    let items = items("x", &["0.1", "0.1", "0.1", "7"]);
    for scale in [NumericScale::MinMax, NumericScale::ZScore, NumericScale::Log1pZScore] {
        for n_fitted in [0, 1, 3] {
            let encoder = AttributeEncoder::fit(&numeric(scale), &items[..n_fitted]).unwrap();
            let encoded = encoder.encode(&items);
            assert_eq!(encoded.numeric.as_slice(), [0.0; 4], "{scale:?}");
            assert!(encoded.report.columns[0].constant);
            assert_eq!(encoded.numeric_present[0], [true; 4]);
        }
    }
    let encoder = AttributeEncoder::fit(&numeric(NumericScale::None), &items[..3]).unwrap();
    assert_eq!(encoder.encode(&items).numeric.row(3), [7.0]);
}

#[test]
fn values_have_positions_and_unseen_ones_are_unknown() {
    let items = items("x", &["Drama, Comedy", "Comedy", "Action,, Comedy ,Comedy", "War", ", ,"]);
    let config = words(Some(", "), 1, 9, CategoricalEncoding::MultiHot);
    let encoder = AttributeEncoder::fit(&config, &items[..3]).unwrap();
    let FittedColumn::Categorical(fitted) = &encoder.columns()[0] else { panic!("not words") };
    assert_eq!(fitted.values, ["Action", "Comedy", "Drama"]);
    assert_eq!((fitted.value(2), fitted.value(0), fitted.value(4)), (Some("Comedy"), None, None));
    let encoded = encoder.encode(&items);
    let column = &encoded.categorical[0];
    let rows: Vec<&[u32]> = (0..5).map(|r| column.positions(r)).collect();
    assert_eq!(rows, [&[2, 3][..], &[2], &[1, 2], &[0], &[]]);
    assert_eq!(column.to_matrix().row(2), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(column.to_matrix().row(3), [1.0, 0.0, 0.0, 0.0]);
    let r = &encoded.report.columns[0];
    assert_eq!((r.present, r.missing, r.unknown_values, r.unknown_rows), (4, 1, 1, 1));
    assert!(encoded.report.adds_up());
}

#[test]
fn rare_values_and_those_beyond_the_size_are_unknown() {
    // a: 3 rows, b and c: 2 rows each, d: 1 row.
    let items = items("x", &["a", "c", "b", "a", "b", "a", "d", "c"]);
    let fit = |min_count, max_size| {
        let config = words(None, min_count, max_size, CategoricalEncoding::Index);
        let encoder = AttributeEncoder::fit(&config, &items).unwrap();
        match &encoder.columns()[0] {
            FittedColumn::Categorical(c) => (c.values.join(""), c.rare, c.cut),
            FittedColumn::Numeric(_) => panic!("not words"),
        }
    };
    assert_eq!(fit(2, 9), ("abc".to_owned(), 1, 0));
    assert_eq!(fit(1, 2), ("ab".to_owned(), 0, 2));
}

#[test]
fn dense_input_is_numbers_then_hot_columns() {
    let rows = [
        item(0, &[("year", "1"), ("lang", "en"), ("tag", "t")]),
        item(1, &[("year", "3"), ("lang", "de"), ("tag", "u")]),
        item(2, &[("tag", "t")]),
    ];
    let scale = NumericScale::MinMax;
    let tag = AttributeColumn::Categorical {
        name: "tag".into(),
        separator: None,
        min_count: 1,
        max_size: 5,
        encoding: CategoricalEncoding::Index,
    };
    let columns = vec![
        AttributeColumn::categorical("lang", None),
        tag,
        AttributeColumn::Numeric { name: "year".into(), scale },
    ];
    let encoder = AttributeEncoder::fit(&AttributeConfig { columns }, &rows).unwrap();
    let encoded = encoder.encode(&rows);
    let (dense, present) = encoded.dense();
    assert_eq!(dense.row(0), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(dense.row(1), [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(dense.row(2), [0.0; 4]);
    assert_eq!(present, [true, true, false]);
    assert_eq!(encoded.categorical[1].positions(1), [2]);
}

#[test]
fn an_encoder_comes_back_from_disk_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attributes.json");
    let rows = [item(0, &[("x", "0.1"), ("g", "a|b")]), item(1, &[("x", "0.7"), ("g", "b")])];
    let mut config = numeric(NumericScale::ZScore);
    config.columns.push(AttributeColumn::categorical("g", Some("|")));
    let encoder = AttributeEncoder::fit(&config, &rows).unwrap();
    encoder.write(&path).unwrap();
    assert_eq!(AttributeEncoder::read(&path).unwrap(), encoder);

    let json = fs_err::read_to_string(&path).unwrap();
    for (from, to, why) in [
        ("\"format\": 1", "\"format\": 2", "expected attribute format 1, found 2"),
        ("\"divisor\"", "\"diviser\"", "diviser"),
        ("\"a\",", "\"z\",", "expected ascending values"),
    ] {
        assert!(json.contains(from), "{json}");
        fs_err::write(&path, json.replace(from, to)).unwrap();
        let err: DataError = AttributeEncoder::read(&path).unwrap_err();
        assert!(err.to_string().contains(why), "{err}");
    }
}

#[test]
fn kinds_are_proposed_with_reasons() {
    // 20 rows: `year` has one cell that is no number (95 %), `code` two (90 %).
    let rows: Vec<Item> = (0..20)
        .map(|n| {
            let year = if n == 0 { "?".to_owned() } else { (1980 + n).to_string() };
            let code = if n < 2 { "x".to_owned() } else { n.to_string() };
            let genre = ["Drama", "Comedy|Drama", "War|Comedy"][n % 3];
            let about = format!("A story, the {n}th, of its kind {n}");
            item(
                n,
                &[
                    ("year", &year),
                    ("code", &code),
                    ("genre", genre),
                    ("about", &about),
                    ("lang", if n % 2 == 0 { "en" } else { "de" }),
                    ("blank", " "),
                ],
            )
        })
        .collect();
    let (config, found) = AttributeConfig::infer(&rows);
    let kinds: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    use InferredKind::{Categorical, Empty, Numeric, Text};
    assert_eq!(
        kinds,
        [
            ("about", Text),
            ("blank", Empty),
            ("code", Text),
            ("genre", Categorical),
            ("lang", Categorical),
            ("year", Numeric),
        ]
    );
    assert_eq!(found[5].reason, "19 of 20 cells are numbers");
    // Drama, Comedy and War are no fewer than the three whole cells, so that the cell is a value.
    assert_eq!(found[3].reason, "3 different values in 20 cells");
    assert_eq!(config.columns.len(), 3);
    assert!(config.validate().is_ok());

    let cells: Vec<String> =
        (0..64).map(|n| format!("a{};b{};c{}", n % 4, n / 4 % 4, n / 16)).collect();
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    let (config, found) = AttributeConfig::infer(&items("x", &cells));
    assert_eq!(found[0].reason, "12 different values between \";\" in 64 cells");
    assert_eq!(config.columns, [AttributeColumn::categorical("x", Some(";"))]);
}

proptest! {
    #[test]
    fn scaling_is_affine_and_has_a_way_back(
        numbers in proptest::collection::vec(-1e6f64..1e6, 2..30), extra in -1e6f64..1e6,
        log in any::<bool>(), min_max in any::<bool>()
    ) {
        let (scale, numbers, extra) = match (log, min_max) {
            (true, _) => {
                let made = numbers.iter().map(|x| x.abs()).collect();
                (NumericScale::Log1pZScore, made, extra.abs())
            }
            (_, true) => (NumericScale::MinMax, numbers, extra),
            _ => (NumericScale::ZScore, numbers, extra),
        };
        let cells: Vec<String> = numbers.iter().map(f64::to_string).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let items = items("x", &cells);
        let encoder = AttributeEncoder::fit(&numeric(scale), &items).unwrap();
        let FittedColumn::Numeric(fitted) = &encoder.columns()[0] else { panic!("not numeric") };
        prop_assume!(!fitted.constant && fitted.divisor > 1e-3);
        let back = fitted.invert(fitted.apply(extra)).unwrap();
        prop_assert!((back - extra).abs() <= 1e-6 * extra.abs().max(1.0), "{back} {extra}");
        let curve = |x: f64| if log { x.ln_1p() } else { x };
        let (a, b) = (numbers[0], numbers[1]);
        let slope = (fitted.apply(a) - fitted.apply(b)) * fitted.divisor;
        prop_assert!((slope - (curve(a) - curve(b))).abs() < 1e-6 * (1.0 + a.abs() + b.abs()));
        let encoded = encoder.encode(&items);
        prop_assert_eq!(encoded.report.columns[0].out_of_range, 0);
        let values = encoded.numeric.as_slice();
        if scale == NumericScale::MinMax {
            prop_assert!(values.iter().all(|x| (0.0..=1.0).contains(x)));
        } else {
            let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len() as f64;
            prop_assert!(mean.abs() < 1e-4, "{mean}");
        }
    }

    #[test]
    fn fitting_rows_are_never_unknown(
        rows in proptest::collection::vec(proptest::collection::vec("[a-f]{1,2}", 0..4), 0..20)
    ) {
        let cells: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let items = items("x", &cells);
        let config = words(Some("|"), 1, 1000, CategoricalEncoding::MultiHot);
        let encoder = AttributeEncoder::fit(&config, &items).unwrap();
        let FittedColumn::Categorical(fitted) = &encoder.columns()[0] else { panic!("no words") };
        let encoded = encoder.encode(&items);
        prop_assert_eq!(encoded.report.columns[0].unknown_values, 0);
        prop_assert!(encoded.report.adds_up());
        for (at, row) in rows.iter().enumerate() {
            let found: Vec<_> =
                encoded.categorical[0].positions(at).iter().map(|p| fitted.value(*p)).collect();
            let mut want: Vec<_> = row.iter().map(|v| Some(v.as_str())).collect();
            want.sort_unstable();
            want.dedup();
            prop_assert_eq!(found, want);
        }
    }
}
