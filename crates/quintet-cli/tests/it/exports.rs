//! A dataset in the forms of others, and back.

use crate::support::{Tiny, names};

#[test]
fn an_export_is_read_back_by_the_table_beside_it() {
    let tiny = Tiny::new();
    tiny.verb("ingest", &[]).ok();
    for format in ["csv", "parquet", "recbole", "mmrec"] {
        let done = tiny.call(&["export", "out", "--format", format, "--to", "there"]).ok();
        names(&done.stdout, &["12 users", "10 items", "72 events", "ingest.toml"]);
        let table = std::fs::read_to_string(tiny.path("there/ingest.toml")).unwrap();
        let rest = "[split]\nstrategy = \"random\"\n[[models]]\nmodel = \"popularity\"\n";
        tiny.write("back.toml", format!("name = \"back\"\n{table}\n{rest}").as_bytes());
        let back = ["ingest", "back.toml", "--data-root", "there", "--out", "back"];
        names(&tiny.call(&back).ok().stdout, &["12 users", "10 items", "72 events"]);
    }
}

#[test]
fn what_cannot_be_exported_is_named() {
    let tiny = Tiny::new();
    let to = ["--format", "csv", "--to", "data"];
    let export = |from: &str| tiny.call(&[&["export", from][..], &to[..]].concat());
    names(&export("nowhere").error(), &["nowhere"]);
    tiny.verb("ingest", &[]).ok();
    // The folder of the sources is no earlier export.
    names(&export("out").error(), &["data"]);
    assert!(tiny.path("data/clicks.csv").is_file());
    let unknown = tiny.call(&["export", "out", "--format", "xls", "--to", "x"]);
    names(&unknown.stderr, &["xls", "parquet"]);
}
