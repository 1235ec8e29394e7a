//! Typos in the run file: one line that names the file, the place and what is allowed.

use crate::support::{Tiny, names};

/// Changes one place of the run file; `run` must end with a line that names all of the parts.
/// Nothing may have been done by then.
#[track_caller]
fn refused(from: &str, to: &str, parts: &[&str]) {
    let tiny = Tiny::with(from, to);
    let error = tiny.verb("run", &[]).error();
    names(&error, parts);
    let models = tiny.path("out/models");
    assert!(!models.exists(), "found only after the training: {error}");
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    refused("seed = 3", "sede = 3", &["run.toml, line 2: ", "`sede`", "`seed`"]);
    refused("epochs = 2", "epoch = 2", &["run.toml, line 17: ", "`epoch`", "`epochs`"]);
    refused("valid = 0.2", "vaild = 0.2", &["run.toml, line ", "`vaild`", "`valid`"]);
    refused("[train]", "[training]", &["run.toml, line 16: ", "`training`", "`train`"]);
    refused("encoder = ", "encode = ", &["run.toml, line 22: ", "`encode`", "`encoder`"]);
    refused(
        "value = \"stars\"",
        "stars = \"stars\"",
        &["run.toml, line 7: ", "`stars`", "`value`"],
    );
    refused("[[encode]]", "[[enocde]]", &["run.toml, line 20: ", "`enocde`", "`encode`"]);
}

#[test]
fn a_value_of_another_type_is_named_with_its_line() {
    refused("epochs = 2", "epochs = \"two\"", &["run.toml, line 17: ", "\"two\"", "epochs"]);
    refused("seed = 3", "seed = -3", &["run.toml, line 2: ", "-3", "seed"]);
    refused("valid = 0.2", "valid = \"some\"", &["run.toml, line ", "\"some\"", "valid"]);
    refused("epochs = 2", "epochs = ", &["run.toml, line 17: "]);
    refused("[split]", "[split", &["run.toml, line 11: "]);
}

#[test]
fn a_missing_table_is_named() {
    refused("strategy = \"random\"", "", &["run.toml, line 11: ", "strategy"]);
    refused("modality = \"text\"\n", "", &["run.toml, line 20: ", "`modality`"]);
    refused("name = \"tiny\"\n", "", &["run.toml, line 1: ", "`name`"]);
}

#[test]
fn an_unknown_choice_lists_the_known_ones() {
    refused(
        "strategy = \"random\"",
        "strategy = \"radnom\"",
        &["run.toml, line ", "`radnom`", "`random`", "`temporal`"],
    );
    refused(
        "modality = \"text\"",
        "modality = \"smell\"",
        &["run.toml, line 21: ", "smell", "text", "video"],
    );
    refused("\"tfidf-svd\"", "\"tf-idf\"", &["encoder", "\"tf-idf\"", "tfidf-svd", "log-mel"]);
    refused("\"tfidf-svd\"", "\"log-mel\"", &["encoder", "\"log-mel\"", "audio", "text"]);
    refused("model = \"bpr\"", "model = \"brp\"", &["model", "\"brp\"", "bpr", "popularity"]);
}

#[test]
fn an_unknown_metric_is_found_before_any_training() {
    let evaluate = |line: &str| format!("[evaluate]\n{line}\n\n[train]");
    refused("[train]", &evaluate("metrics = [\"ndgc\"]"), &["metric", "\"ndgc\"", "ndcg"]);
    refused("[train]", &evaluate("primary = \"ndcg@7\""), &["\"ndcg@7\"", "ndcg@10"]);
    refused("[train]", &evaluate("cutoffs = [0]"), &["cutoffs", "0"]);
    refused("[train]", &evaluate("resamples = 0"), &["resamples", "0"]);
    refused("epochs = 2", "metric = \"ndgc@10\"", &["metric", "ndgc", "ndcg"]);
    refused("epochs = 2", "metric = \"ndcg\"", &["[train] metric", "ndcg@10", "\"ndcg\""]);
    refused("epochs = 2", "epochs = 0", &["[train] epochs", "at least 1", "found 0"]);
}

#[test]
fn a_parameter_is_checked_before_any_training() {
    refused("dim = 4", "dims = 4", &["model bpr", "`dims`", "`dim`"]);
    refused("dim = 4", "dim = \"four\"", &["model bpr", "\"four\""]);
    refused("dim = 3", "dims = 3", &["encoder tfidf-svd", "`dims`", "`dim`"]);
    refused("valid = 0.2", "valid = 1.5", &["valid", "1.5"]);
    refused("test = 0.2", "test = 0.9", &["valid + test", "1.1"]);
}

#[test]
fn a_parameter_out_of_range_is_named() {
    for (from, parts) in [
        ("dim = 4", ["model bpr", "dim", "at least 1", "0"]),
        ("dim = 3", ["encoder tfidf-svd", "dim", "at least 1", "0"]),
    ] {
        let error = Tiny::with(from, "dim = 0").verb("run", &[]).error();
        names(&error, &parts);
    }
}

#[test]
fn labels_are_checked() {
    let second = "model = \"popularity\"\nlabel = \"a\"\n\n[[models]]\nmodel = \"popularity\"";
    let twice = format!("{second}\nlabel = \"a\"");
    refused("model = \"popularity\"", &twice, &["run.toml", "\"a\"", "twice"]);
    let same = "model = \"bpr\"\n\n[[models]]\nmodel = \"bpr\"";
    refused("model = \"bpr\"", same, &["run.toml", "\"bpr\"", "twice"]);
    let upwards = "model = \"bpr\"\nlabel = \"../bpr\"";
    refused("model = \"bpr\"", upwards, &["run.toml", "\"../bpr\"", "letters"]);
    refused(
        "[train]",
        "[evaluate]\nreference = \"lightgcn\"\n\n[train]",
        &["[evaluate] reference", "\"lightgcn\"", "popularity, bpr"],
    );
    refused(
        "[train]",
        "[recommend]\nlabel = \"lightgcn\"\n\n[train]",
        &["[recommend] label", "\"lightgcn\"", "popularity, bpr"],
    );
    let encode = "[[encode]]\nmodality = \"text\"\nencoder = \"tfidf-svd\"\n\n[train]";
    refused("[train]", encode, &["run.toml", "text", "twice"]);
}

#[test]
fn no_path_leads_out_of_the_data_root() {
    refused(
        "path = \"items.csv\"",
        "path = \"../items.csv\"",
        &["../items.csv", "inside the data root"],
    );
    refused(
        "path = \"clicks.csv\"",
        "path = \"/data/clicks.csv\"",
        &["/data/clicks.csv", "inside the data root"],
    );
}

#[test]
fn an_encoder_without_its_weights_says_which_files_it_wants() {
    let encoder = "encoder = \"tfidf-svd\"\nparams = { dim = 3 }";
    refused(encoder, "encoder = \"bert\"", &["bert", "`weights`", "tokenizer.json"]);
    let nowhere = "encoder = \"bert\"\nparams = { weights = \"nowhere\" }";
    refused(encoder, nowhere, &["nowhere", "model.safetensors"]);
}
