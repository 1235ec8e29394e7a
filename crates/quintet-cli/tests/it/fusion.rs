//! `quintet fusion`: from a run file to a table and a recommendation.

use crate::foreign_features::{TABLES, tiny};
use crate::support::{Tiny, names};

fn args<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["fusion", verb, "run.toml", "--data-root", "data", "--out", "out"];
    args.extend(["--model", "vbpr"]);
    args.extend(more);
    args
}

#[test]
fn a_comparison_names_its_rows_and_what_to_take() {
    let shop = tiny(TABLES);
    let table = shop.call(&args("compare", &["--layers", "concat,gated", "--json"])).ok().json();
    let rows = table["rows"].as_array().unwrap();
    let mut labels: Vec<&str> = rows.iter().map(|r| r["label"].as_str().unwrap()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["concat", "gated", "image alone", "text alone"]);
    assert!(rows.iter().all(|r| r["test"].is_null()), "the test part was opened: {table}");
    let choice = table["choice"]["label"].as_str().unwrap().to_owned();
    let printed = shop.call(&args("compare", &["--layers", "concat,gated", "--test"])).ok().stdout;
    names(
        &printed,
        &["minus concat", "minus best single", "test users", &format!("take {choice}")],
    );
}

/// What was fitted lies in the run's folder: the same call makes nothing again.
#[test]
fn a_comparison_goes_on_where_it_was() {
    let shop = tiny(TABLES);
    let first = shop.call(&args("compare", &["--layers", "concat"])).ok();
    assert!(!first.stdout.contains("known from before"), "{first:?}");
    let more = ["--layers", "concat,gated", "--markdown"];
    let second = shop.call(&args("compare", &more)).ok().stdout;
    names(&second, &["3 fits were known from before, 1 were made now", "| fusion | numbers |"]);
    let third = shop.call(&args("compare", &["--budget", "0"])).ok().stdout;
    names(&third, &["4 fits were known", "not reached within the budget: attention"]);
    let more = ["--layers", "gated", "--shares", "0,1"];
    shop.call(&args("removal", &more)).ok();
    let again = shop.call(&args("removal", &more)).ok().stdout;
    names(&again, &["1 fits were known from before, 0 were made now"]);
}

#[test]
fn a_curve_has_a_column_a_share() {
    let shop = tiny(TABLES);
    let more = ["--layers", "gated", "--shares", "0,0.5"];
    let printed = shop.call(&args("removal", &more)).ok().stdout;
    names(&printed, &["0 %", "50 %", "masked", "zeros", "neighbour_mean", "ridge"]);
}

/// The plain shop has one modality, of which nothing can be fused.
#[test]
fn mistakes_are_named() {
    let one = Tiny::new().verb_of(&["fusion", "compare"]).error();
    names(&one, &["two modalities or more", "has 1"]);
    let typo = tiny(TABLES).call(&args("removal", &["--layers", "concta"])).error();
    names(&typo, &["\"concta\"", "concat", "weighted"]);
}
