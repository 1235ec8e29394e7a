//! `quintet weights`: weights that others trained, kept by name for all runs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use quintet::Registries;
use quintet::core::SeedStream;
use quintet::pipeline::{StoredWeights, WeightStore};
use quintet::tensor::{Device, DeviceChoice, EncoderEntry, open_device};
use serde_json::{Value, json};

use super::download::{self, Source};
use crate::args::{WeightsAddArgs, WeightsArgs, WeightsCommand};
use crate::print;

/// The variable that names the folder where no option does.
const VARIABLE: &str = "QUINTET_WEIGHTS";

/// The store that an option, the environment or the system's habits name.
pub(crate) fn store(option: Option<&Path>) -> WeightStore {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))
    };
    let usual = || data.map(|data| data.join("quintet")).unwrap_or_default().join("weights");
    let dir = option.map(Path::to_owned).or_else(|| set(VARIABLE));
    WeightStore::new(dir.unwrap_or_else(usual))
}

/// Does what the verb after `weights` says.
pub(crate) fn run(args: &WeightsArgs, store: &WeightStore) -> anyhow::Result<()> {
    match &args.command {
        WeightsCommand::Add(add) => self::add(add, store),
        WeightsCommand::List { json } => list(*json, store),
        WeightsCommand::Remove { name } => {
            let gone = store.remove(name)?;
            print::line(&format!("{name} is gone: {}", describe(&gone)));
            Ok(())
        }
    }
}

fn add(args: &WeightsAddArgs, store: &WeightStore) -> anyhow::Result<()> {
    let source = Source::of(&args.source, &args.name, store)?;
    let hash = args.blake3.as_deref();
    let added = store.add(&args.name, source.path(), &args.source, hash);
    let added = match source {
        Source::Local(_) => added?,
        Source::Fetched { folder, .. } => {
            // What was fetched is copied by now, or of no use.
            let removed = fs_err::remove_dir_all(folder);
            let added = added?;
            removed?;
            added
        }
    };
    let readers = readers(&store.path(&args.name)?)?;
    if args.json {
        let readers: Vec<Value> = readers
            .iter()
            .map(|(entry, reads)| {
                json!({"modality": entry.modality, "encoder": entry.name,
                       "dim": reads.as_ref().ok(), "error": reads.as_ref().err()})
            })
            .collect();
        return print::json(&json!({"added": added, "dir": store.dir(), "encoders": readers}));
    }
    print::line(&format!("{}: {}", added.name, describe(&added)));
    print::line(&format!("It is in {}.", store.dir().display()));
    if !added.left_out.is_empty() {
        print::line(&format!("Left out, as no encoder reads it: {}.", added.left_out.join(", ")));
    }
    for (entry, reads) in &readers {
        let (modality, name) = (entry.modality, entry.name);
        match reads {
            Ok(dim) => print::line(&format!(
                "{modality} encoder {name} reads it: vectors of {dim} numbers, \
                 `params = {{ weights = \"{}\" }}` in a run file",
                added.name
            )),
            Err(reason) => {
                print::line(&format!("{modality} encoder {name} does not read it: {reason}"));
            }
        }
    }
    Ok(())
}

/// `3 files, 90868376 bytes, blake3 …`.
fn describe(weights: &StoredWeights) -> String {
    let n = weights.files.len();
    let files = if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
    format!("{files}, {} bytes, blake3 {}", weights.bytes(), weights.blake3)
}

/// Every encoder that wants weights, with the width of its vectors with these or why it has none.
fn readers(path: &Path) -> anyhow::Result<Vec<(EncoderEntry, Result<usize, String>)>> {
    let device = open_device(DeviceChoice::Auto)?.device;
    let known = Registries::new()?;
    let wanting = known.encoders.iter().filter(|e| e.weights.is_some());
    Ok(wanting.map(|entry| (entry.clone(), reads(entry, path, &device))).collect())
}

fn reads(entry: &EncoderEntry, path: &Path, device: &Device) -> Result<usize, String> {
    let spec = (entry.build)(&json!({ "weights": path }));
    let encoder = spec.and_then(|spec| spec.fit(&[], SeedStream::new(0), device));
    encoder.map(|e| e.info().dim).map_err(|e| e.to_string())
}

fn list(as_json: bool, store: &WeightStore) -> anyhow::Result<()> {
    let entries = store.list().with_context(|| format!("{}", store.dir().display()))?;
    let known = Registries::new()?;
    let wanting: Vec<(&EncoderEntry, &str)> =
        known.encoders.iter().filter_map(|e| Some((e, e.weights?))).collect();
    if as_json {
        let encoders: Vec<Value> = wanting
            .iter()
            .map(|(e, files)| json!({"modality": e.modality, "encoder": e.name, "wants": files}))
            .collect();
        let all = json!({"dir": store.dir(), "weights": entries, "encoders": encoders});
        return print::json(&all);
    }
    print::line(&format!("Weights in {}:", store.dir().display()));
    let row = |w: &StoredWeights| {
        let (files, bytes) = (w.files.len().to_string(), w.bytes().to_string());
        vec![w.name.clone(), w.blake3.clone(), files, bytes]
    };
    print::table(&["name", "blake3", "files", "bytes"], entries.iter().map(row).collect(), 2);
    print::line("Encoders that want weights:");
    let row = |(e, files): &(&EncoderEntry, &str)| {
        vec![e.modality.to_string(), e.name.to_owned(), (*files).to_owned()]
    };
    let header = ["modality", "encoder", "`weights` names"];
    print::table(&header, wanting.iter().map(row).collect(), 99);
    print::line(&format!("`quintet weights add NAME PATH` adds some; {}", download::HINT));
    Ok(())
}
