//! Running the program on small folders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a call of the program left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// The run must have ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The one object on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The run must have failed with one line; gives it without `error: `.
    #[track_caller]
    pub(crate) fn error(self) -> String {
        assert!(!matches!(self.code, None | Some(0)), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        let line = self.stderr.trim_end();
        line.strip_prefix("error: ").unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// Runs the program in a folder.
pub(crate) fn quintet(dir: &Path, args: &[&str]) -> Done {
    let output = command(dir, args).output().unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The program with its arguments, not yet running.
pub(crate) fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quintet"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command
}

/// The error of a call must name all of these.
#[track_caller]
pub(crate) fn names(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// A run file over twelve users and ten items, in the folder `data`.
pub(crate) const RUN_FILE: &str = r#"name = "tiny"
seed = 3

[ingest]
name = "tiny world"
tables.interactions = [
  { path = "clicks.csv", columns = { value = "stars", timestamp = "time" } },
]
tables.items = { path = "items.csv", columns = { title = "title", text = ["title"] } }

[split]
strategy = "random"
valid = 0.2
test = 0.2

[train]
epochs = 2
patience = 2

[[encode]]
modality = "text"
encoder = "tfidf-svd"
params = { dim = 3 }

[[models]]
model = "popularity"

[[models]]
model = "bpr"
params = { dim = 4 }
"#;

/// The header and 72 rows: every user has six of the ten items.
pub(crate) fn clicks() -> String {
    let mut csv = String::from("user,item,stars,time\n");
    for user in 0..12 {
        for k in 0..6 {
            let item = (user * 5 + k * 3) % 10;
            csv.push_str(&format!("u{user},i{item},{},{}\n", 1 + k % 5, 1_000 + user * 10 + k));
        }
    }
    csv
}

/// Ten items whose titles share words.
pub(crate) fn items() -> String {
    let mut csv = String::from("id,title\n");
    let words = ["river", "stone", "cloud", "forest", "harbour"];
    for item in 0..10 {
        csv.push_str(&format!("i{item},{} {}\n", words[item % 5], words[(item / 2 + 1) % 5]));
    }
    csv
}

/// A folder with `run.toml`, `data/clicks.csv` and `data/items.csv`.
pub(crate) struct Tiny {
    dir: TempDir,
}

impl Tiny {
    pub(crate) fn new() -> Self {
        let tiny = Self { dir: tempfile::tempdir().unwrap() };
        tiny.write("run.toml", RUN_FILE.as_bytes());
        tiny.write("data/clicks.csv", clicks().as_bytes());
        tiny.write("data/items.csv", items().as_bytes());
        tiny
    }

    /// With one place of the run file changed.
    pub(crate) fn with(from: &str, to: &str) -> Self {
        assert_eq!(RUN_FILE.matches(from).count(), 1, "{from:?}");
        let tiny = Self::new();
        tiny.write("run.toml", RUN_FILE.replace(from, to).as_bytes());
        tiny
    }

    /// With other clicks.
    pub(crate) fn with_clicks(csv: &str) -> Self {
        let tiny = Self::new();
        tiny.write("data/clicks.csv", csv.as_bytes());
        tiny
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }

    /// Any call.
    pub(crate) fn call(&self, args: &[&str]) -> Done {
        quintet(self.dir.path(), args)
    }

    /// A verb on the run file, with its output in `out`.
    pub(crate) fn verb(&self, verb: &str, more: &[&str]) -> Done {
        let mut args = vec![verb, "run.toml", "--data-root", "data", "--out", "out"];
        args.extend(more);
        self.call(&args)
    }

    /// A verb of two words on the run file, with its output in `out`.
    pub(crate) fn verb_of(&self, verb: &[&str]) -> Done {
        let mut args = verb.to_vec();
        args.extend(["run.toml", "--data-root", "data", "--out", "out"]);
        self.call(&args)
    }

    /// The ingest's part of the report; its books must balance.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        let text = fs_err::read_to_string(self.path("out/dataset/report.json")).unwrap();
        let mut report: Value = serde_json::from_str(&text).unwrap();
        // What later stages add.
        for key in ["shape", "split"] {
            report.as_object_mut().unwrap().remove(key);
        }
        for file in report["files"].as_array().unwrap() {
            let n = |key: &str| file[key].as_u64().unwrap();
            assert_eq!(n("rows_in"), n("rows_kept") + n("rows_reported"), "{file}");
        }
        for media in report["media"].as_array().unwrap() {
            let n = |key: &str| media[key].as_u64().unwrap();
            let items = report["items"].as_u64().unwrap();
            assert_eq!(n("ok") + n("missing") + n("error"), items, "{media}");
            assert_eq!(
                n("found"),
                n("ok") + n("error") + n("unmatched") + n("duplicate"),
                "{media}"
            );
        }
        report
    }
}
