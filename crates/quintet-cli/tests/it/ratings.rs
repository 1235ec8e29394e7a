//! Rating models of a run file, parameters of a model, and what lists are like.

use crate::support::{Tiny, names, quintet};

/// The run file's last table, and rating models after it.
const WITH_RATINGS: [&str; 2] = [
    "params = { dim = 4 }\n",
    "params = { dim = 4 }\n\n[[rating_models]]\nmodel = \"mean\"\n\n[[rating_models]]\n\
     model = \"svd\"\nlabel = \"funk\"\nparams = { dim = 4, epochs = 5 }\n",
];

#[test]
fn rating_models_have_a_table_and_a_file_of_their_own() {
    let tiny = Tiny::with(WITH_RATINGS[0], WITH_RATINGS[1]);
    let shown = tiny.verb("run", &[]).ok().stdout;
    names(&shown, &["Which rating somebody would give", "RMSE [95 %]", "mean", "funk"]);
    let text = fs_err::read_to_string(tiny.path("out/ratings.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&text).unwrap();
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let number = |key: &str| result[key].as_f64().unwrap();
        let rmse = &result["rmse"];
        let end = |key: &str| rmse[key].as_f64().unwrap();
        // Stars from 1 to 5: no sensible prediction is further off than 4.
        assert!(end("mean") > 0.0 && end("mean") < 4.0, "{result}");
        assert!(end("lower") <= end("mean") && end("mean") <= end("upper"), "{result}");
        assert!(number("mae") <= end("mean") && number("valid_rmse") > 0.0, "{result}");
        assert!(result["predictions"]["predictions"].as_u64().unwrap() > 0, "{result}");
    }
    assert_eq!(
        (results[1]["label"].as_str(), results[1]["model"].as_str()),
        (Some("funk"), Some("svd"))
    );
    assert_eq!(results[1]["config"]["dim"], 4);
    assert!(tiny.path("out/models/funk/model.safetensors").is_file());
    // The same again, by the verb for one stage.
    tiny.verb("evaluate", &["--json"]).ok();
    assert_eq!(fs_err::read_to_string(tiny.path("out/ratings.json")).unwrap(), text);
}

#[test]
fn a_rating_model_that_is_unknown_or_wrong_costs_no_work() {
    let unknown = WITH_RATINGS[1].replace("\"svd\"", "\"svdd\"");
    let error = Tiny::with(WITH_RATINGS[0], &unknown).verb("run", &[]).error();
    names(&error, &["unknown rating model \"svdd\"", "known: ", "svdpp"]);
    let wrong = WITH_RATINGS[1].replace("dim = 4, e", "dims = 4, e");
    let error = Tiny::with(WITH_RATINGS[0], &wrong).verb("run", &[]).error();
    names(&error, &["svd", "unknown field `dims`", "`dim`"]);
    let twice = WITH_RATINGS[1].replace("\"funk\"", "\"bpr\"");
    let error = Tiny::with(WITH_RATINGS[0], &twice).verb("run", &[]).error();
    names(&error, &["[[rating_models]] label \"bpr\" occurs twice"]);
}

#[test]
fn the_result_says_what_lists_are_like() {
    let tiny = Tiny::new();
    let result = tiny.verb("run", &["--json"]).ok().json();
    for model in result["models"].as_array().unwrap() {
        for key in
            ["gini@10", "coverage@10", "arp@10", "epc@10", "ild_text@10", "personalisation@10"]
        {
            let value = model["beyond"][key].as_f64();
            assert!(value.is_some_and(f64::is_finite), "{key} of {model}");
        }
        assert_eq!(model["beyond"]["coverage@10"], model["test"]["coverage@10"]);
    }
    let shown = tiny.verb("evaluate", &[]).ok().stdout;
    names(&shown, &["Beside being right, lists of 10:", "gini", "ild_text"]);
}

#[test]
fn the_parameters_of_a_model_are_listed_with_their_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let list = quintet(dir.path(), &["list", "bpr"]).ok().stdout;
    names(&list, &["bpr: ", "item_bias", "true", "batch_size", "1024"]);
    let svd = quintet(dir.path(), &["list", "svd", "--json"]).ok().json();
    assert_eq!(svd["parameters"]["dim"], 100);
    let error = quintet(dir.path(), &["list", "brp"]).error();
    names(&error, &["unknown model \"brp\"", "known: "]);
}
