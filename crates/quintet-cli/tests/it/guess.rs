//! Proposals for a table or a folder.

use crate::support::{Tiny, names};

#[test]
fn a_table_is_proposed_as_what_its_columns_look_like() {
    let tiny = Tiny::new();
    let mut csv = "user,item,stars,time\n".to_owned();
    for n in 0..72 {
        let (user, item, time) = (n / 6, (n * 3) % 10, 1_600_000_000 + n);
        csv.push_str(&format!("u{user},i{item},{},{time}\n", 1 + n % 5));
    }
    tiny.write("data/clicks.csv", csv.as_bytes());
    let done = tiny.call(&["ingest", "data/clicks.csv", "--guess"]).ok();
    names(&done.stdout, &["column", "user", "timestamp", "first rows", "[ingest", "clicks.csv"]);
    let json = tiny.call(&["ingest", "data/clicks.csv", "--guess", "--json"]).ok().json();
    let roles: Vec<&str> =
        json["columns"].as_array().unwrap().iter().map(|c| c["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "item", "value", "timestamp"]);
    assert_eq!(json["preview"].as_array().unwrap().len(), 5);
    // What is proposed can be run.
    let toml = json["toml"].as_str().unwrap().to_owned();
    let rest = "[split]\nstrategy = \"random\"\n[[models]]\nmodel = \"popularity\"\n";
    tiny.write("guessed.toml", format!("name = \"guessed\"\n{toml}\n{rest}").as_bytes());
    let run = ["run", "guessed.toml", "--data-root", "data", "--out", "out"];
    names(&tiny.call(&run).ok().stdout, &["72 events", "popularity"]);
}

#[test]
fn what_cannot_be_proposed_is_one_line() {
    let tiny = Tiny::new();
    names(&tiny.call(&["ingest", "nowhere.csv", "--guess"]).error(), &["nowhere.csv"]);
    let out = tiny.call(&["ingest", "data/clicks.csv", "--guess", "--out", "x"]).error();
    names(&out, &["--guess writes nothing", "--out"]);
}
