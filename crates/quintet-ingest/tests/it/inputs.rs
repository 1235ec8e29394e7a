//! What is made of an ingested dataset: attributes as input and sessions, on real data.

use quintet_data::{
    AttributeConfig, AttributeEncoder, InferredKind, SessionConfig, ShapeConfig, sessions, shape,
};

#[cfg(not(feature = "sql"))]
use crate::support::{fail, folder};
use crate::support::{run, shared};

#[test]
fn attributes_of_the_real_100k_become_input() {
    let Some(path) = shared("ml-100k-mm") else { return };
    let done = run(&path, "movielens = { folder = \".\" }");
    let d = &done.dataset;
    let (config, found) = AttributeConfig::infer(&d.users);
    let kinds: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    println!("users: {found:#?}");
    assert!(kinds.contains(&("age", InferredKind::Numeric)), "{kinds:?}");
    assert!(kinds.contains(&("occupation", InferredKind::Categorical)), "{kinds:?}");
    let encoder = AttributeEncoder::fit(&config, &d.users).unwrap();
    let encoded = encoder.encode(&d.users);
    assert!(encoded.report.adds_up());
    // Every user has an age and one of 21 occupations.
    let occupation = encoded.categorical.iter().find(|c| c.name == "occupation").unwrap();
    assert_eq!(occupation.n_slots, 22);
    assert!((0..943).all(|row| occupation.positions(row).len() == 1));
    assert!(encoded.dense().1.iter().all(|present| *present));

    let (config, found) = AttributeConfig::infer(&d.items);
    println!("items: {found:#?}");
    let encoder = AttributeEncoder::fit(&config, &d.items).unwrap();
    let encoded = encoder.encode(&d.items);
    println!("{:#?}", encoded.report.summary());
    assert!(encoded.report.adds_up());
}

#[test]
fn sessions_of_the_real_latest_small() {
    let Some(path) = shared("ml-latest-small") else { return };
    let done = run(path.parent().unwrap(), "movielens = { folder = \"ml-latest-small\" }");
    let d = &done.dataset;
    let config = SessionConfig { min_length: 2, ..SessionConfig::default() };
    let made = sessions(&d.events, d.users.len(), &config).unwrap();
    let report = made.report();
    println!("{:#?}", report.summary());
    assert!(report.adds_up() && report.min_length >= 2);
    assert_eq!(report.rows_in, 100_836);
    let latest = ShapeConfig { max_per_user: Some(50), binary: true, ..ShapeConfig::default() };
    let shaped = shape(d, &latest).unwrap();
    println!("{:?}", shaped.report);
    assert!(shaped.report.adds_up() && shaped.report.over_max_per_user > 0);
    assert!(shaped.events.users().chunk_by(|a, b| a == b).all(|of| of.len() <= 50));
}

#[cfg(not(feature = "sql"))]
#[test]
fn a_build_without_the_engine_names_the_feature() {
    let dir = folder(&[("a.csv", "user,item\na,1\n")]);
    let text = "[sql.tables]\na = { path = 'a.csv' }\n\
                [[sql.interactions]]\nquery = 'SELECT * FROM a'";
    let error = fail(dir.path(), text).to_string();
    assert!(error.contains("feature `sql`"), "{error}");
}
