//! Weights that others trained: kept by name, found by name, refused with a reason.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Done, RUN_FILE, Tiny, names};

/// A tiny BERT with its tokenizer.
fn tiny_bert() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    crates.join("quintet-text/tests/fixtures/transformers_tiny/bert").canonicalize().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `quintet weights …` with the store in the folder `w`.
fn weights(tiny: &Tiny, args: &[&str]) -> Done {
    tiny.call(&[&["weights", "--weights", "w"], args].concat())
}

/// The run file with a text encoder that wants weights.
fn with_bert(named: &str) -> Tiny {
    let tiny = Tiny::new();
    let params = format!("encoder = \"bert\"\nparams = {{ weights = \"{named}\" }}");
    let config = RUN_FILE.replace("encoder = \"tfidf-svd\"\nparams = { dim = 3 }", &params);
    assert_ne!(config, RUN_FILE);
    tiny.write("run.toml", config.as_bytes());
    tiny
}

fn copy_bert(to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs_err::copy(tiny_bert().join(name), to.join(name)).unwrap();
    }
}

#[test]
fn weights_are_added_listed_and_removed() {
    let tiny = Tiny::new();
    let from = tiny_bert();
    let added = weights(&tiny, &["add", "mini", text(&from)]).ok().stdout;
    names(&added, &["mini: 4 files", "blake3", "text encoder bert reads it", "weights = \"mini\""]);
    let list = weights(&tiny, &["list", "--json"]).ok().json();
    let (entry, encoders) = (&list["weights"][0], list["encoders"].as_array().unwrap());
    assert_eq!((entry["name"].as_str(), entry["single"].as_bool()), (Some("mini"), Some(false)));
    for file in entry["files"].as_array().unwrap() {
        let bytes = fs_err::read(from.join(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(file["bytes"].as_u64(), Some(bytes.len() as u64));
        let copy = tiny.path("w/mini").join(file["path"].as_str().unwrap());
        assert_eq!(fs_err::read(copy).unwrap(), bytes);
    }
    let bert = encoders.iter().find(|e| e["encoder"] == "bert").unwrap();
    names(bert["wants"].as_str().unwrap(), &["config.json", "tokenizer.json", "model.safetensors"]);
    let hash = entry["blake3"].as_str().unwrap();
    let listed = weights(&tiny, &["list"]).ok().stdout;
    names(&listed, &["mini", hash, "bert", "tokenizer.json"]);

    // With its hash it is taken under another name, with another hash not.
    weights(&tiny, &["add", "same", text(&from), "--blake3", hash]).ok();
    let other = "ab".repeat(32);
    let error = weights(&tiny, &["add", "other", text(&from), "--blake3", &other]).error();
    names(&error, &["bert: expected blake3 abab", hash]);
    assert!(!tiny.path("w/other").exists());

    names(&weights(&tiny, &["remove", "mini"]).ok().stdout, &["mini is gone", hash]);
    names(&weights(&tiny, &["remove", "mini"]).error(), &["mini", "found same only"]);
    assert!(!tiny.path("w/mini").exists() && tiny.path("w/same").is_dir());
}

#[test]
fn addresses_and_places_of_the_folder() {
    let tiny = Tiny::new();
    let address = format!("file://{}/model.safetensors", tiny_bert().display());
    let added = weights(&tiny, &["add", "one", &address, "--json"]).ok().json();
    assert_eq!(added["added"]["single"], true);
    assert_eq!(added["encoders"][0]["dim"], Value::Null);
    names(added["encoders"][0]["error"].as_str().unwrap(), &["model.safetensors"]);
    if !cfg!(feature = "download") {
        let error = weights(&tiny, &["add", "x", "https://h.example/x/model.safetensors"]).error();
        let command = "`quintet weights add x FILE`";
        names(&error, &["fetches nothing", "https://h.example/x/model.safetensors", command]);
        let error = weights(&tiny, &["add", "x", "https://huggingface.co/org/name"]).error();
        names(&error, &["org/name/resolve/main/tokenizer.json", "`quintet weights add x FOLDER`"]);
    }
    let dir = tiny.path("");
    let list = |variable: &str| {
        let mut command = crate::support::command(&dir, &["weights", "list", "--json"]);
        command.env_remove("QUINTET_WEIGHTS").env_remove("XDG_DATA_HOME").env("HOME", "home");
        let output = command.env(variable, "here").output().unwrap();
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        list["dir"].as_str().unwrap().replace('\\', "/")
    };
    assert_eq!(list("QUINTET_WEIGHTS"), "here");
    if cfg!(target_os = "linux") {
        assert_eq!(list("XDG_DATA_HOME"), "here/quintet/weights");
        assert_eq!(list("UNUSED"), "home/.local/share/quintet/weights");
    }
}

#[test]
fn a_pickle_is_refused_with_the_way_out() {
    let tiny = Tiny::new();
    for name in ["p.pt", "p.pth", "folder/pytorch_model.bin"] {
        tiny.write(name, b"PK\x03\x04");
        let source = name.split('/').next().unwrap();
        let error = weights(&tiny, &["add", "p", source]).error();
        names(&error, &[name, "pickle", "safetensors.torch", "weights_only=True"]);
    }
    names(&weights(&tiny, &["add", "p", "nothing"]).error(), &["nothing"]);
    names(&weights(&tiny, &["add", "a/b", "p.pt"]).error(), &["\"a/b\"", "letters, digits"]);
    assert!(!tiny.path("w").exists());
}

#[test]
fn a_run_finds_weights_below_its_folders_and_in_the_store() {
    let tiny = with_bert("mini");
    let verb = |verb: &str| tiny.verb(verb, &["--weights", "w", "--json"]);
    let error = verb("ingest").error();
    names(&error, &["./mini", "data/mini", "w/mini", "tokenizer.json", "weights add mini PATH"]);
    weights(&tiny, &["add", "mini", text(&tiny_bert())]).ok();
    verb("ingest").ok();
    let encoded = verb("encode").ok().json();
    let line = &encoded["modalities"][0];
    assert_eq!((line["encoder"].as_str(), line["encoded"].as_u64()), (Some("bert"), Some(10)));
    verb("train").ok();

    // The same weights elsewhere are the same features.
    weights(&tiny, &["remove", "mini"]).ok();
    copy_bert(&tiny.path("data/mini"));
    // What the fixture has beside the three files counts as well.
    fs_err::copy(tiny_bert().join("expected.json"), tiny.path("data/mini/expected.json")).unwrap();
    let reused = |place: &str| {
        let line = verb("encode").ok().json()["modalities"][0]["reused"].as_bool().unwrap();
        assert!(tiny.path(place).is_dir());
        line
    };
    assert!(reused("data/mini"));
    fs_err::rename(tiny.path("data/mini"), tiny.path("mini")).unwrap();
    assert!(reused("mini"));
    // Another tokenizer makes others.
    let path = tiny.path("mini/tokenizer.json");
    let changed = fs_err::read_to_string(&path).unwrap() + "\n";
    fs_err::write(&path, changed).unwrap();
    assert!(!reused("mini"));
}

/// A server of one folder, for as many calls as come; gives its address.
#[cfg(feature = "download")]
fn serve(folder: PathBuf) -> String {
    use std::io::{BufRead, BufReader, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> =
                lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let path = head[0].split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match fs_err::read(folder.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    address
}

#[test]
#[cfg(feature = "download")]
fn weights_are_fetched_from_an_address() {
    let tiny = Tiny::new();
    let address = serve(tiny_bert());
    let added = weights(&tiny, &["add", "mini", &format!("{address}/")]).ok();
    names(&added.stdout, &["mini: 3 files", "text encoder bert reads it"]);
    let file = format!("{address}/model.safetensors");
    let hash = blake3_of(&tiny, &["add", "one", &file, "--json"]);
    weights(&tiny, &["add", "again", &file, "--blake3", &hash]).ok();
    let other = "0".repeat(64);
    let error = weights(&tiny, &["add", "bad", &file, "--blake3", &other]);
    assert_eq!(error.code, Some(1));
    names(&error.stderr, &["model.safetensors", &other, &hash]);
    let error = weights(&tiny, &["add", "none", &format!("{address}/none")]).error();
    names(&error, &["none/model.safetensors", "404"]);
    // Nothing half-fetched is left.
    let left: Vec<_> = fs_err::read_dir(tiny.path("w")).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[cfg(feature = "download")]
fn blake3_of(tiny: &Tiny, args: &[&str]) -> String {
    let added = weights(tiny, args).ok().json();
    assert_eq!(added["added"]["single"], true);
    added["added"]["blake3"].as_str().unwrap().to_owned()
}
