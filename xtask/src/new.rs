//! `cargo xtask new KIND NAME`: one new file, one registration, one failing contract test.
//!
//! The new file comes from `templates/`; the crate's `lib.rs` gets its `mod` line and one line
//! in `register`. Both texts are made before either is written, so a refusal changes nothing.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::repo::Repo;

/// The modalities that have an encoder crate: name, variant of `Modality`.
const MODALITIES: &[(&str, &str)] =
    &[("text", "Text"), ("image", "Image"), ("audio", "Audio"), ("video", "Video")];

/// Words that cannot name a file or a type here: keywords, and what the templates import.
const TAKEN: &[&str] = &[
    "as",
    "async",
    "await",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
    "yield",
    "lib",
    "main",
    "error",
    "device",
    "encoder",
    "fit",
    "fusion",
    "layer",
    "matrix",
    "metric",
    "option",
    "recommender",
    "result",
    "string",
    "tensor",
    "value",
    "vec",
    "views",
    "weight",
];

/// How the function that registers a crate's entries starts; arguments or generics follow.
const HEAD: &str = "pub fn register";

/// What can be scaffolded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Encoder,
    Fusion,
    Model,
    Metric,
}

impl Kind {
    fn parse(kind: &str) -> Result<Self> {
        Ok(match kind {
            "encoder" => Kind::Encoder,
            "fusion" => Kind::Fusion,
            "model" => Kind::Model,
            "metric" => Kind::Metric,
            _ => bail!("unknown kind {kind:?}; known: encoder, fusion, model, metric"),
        })
    }

    /// How the crates of this kind name what they register.
    fn entry(self) -> &'static str {
        match self {
            Kind::Encoder | Kind::Model => "entry()",
            Kind::Fusion | Kind::Metric => "ENTRY",
        }
    }

    fn template(self) -> &'static str {
        match self {
            Kind::Encoder => include_str!("../templates/encoder.rs.in"),
            Kind::Fusion => include_str!("../templates/fusion.rs.in"),
            Kind::Model => include_str!("../templates/model.rs.in"),
            Kind::Metric => include_str!("../templates/metric.rs.in"),
        }
    }
}

/// A name in the three forms it takes.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    /// The registry key, as given.
    key: String,
    /// The module and file.
    snake: String,
    /// The type.
    pascal: String,
}

/// Scaffolds and says what was done.
pub(crate) fn run(repo: &Repo, kind: &str, name: &str, modality: Option<&str>) -> Result<String> {
    let kind = Kind::parse(kind)?;
    let mut name = parse_name(name)?;
    if kind == Kind::Metric {
        // Results are keyed `name@k`: one word.
        name.key.clone_from(&name.snake);
    }
    let (package, variant) = package(kind, modality)?;
    let path = format!("crates/{package}/src/{}.rs", name.snake);
    let lib_path = format!("crates/{package}/src/lib.rs");
    let file = repo.root.join(&path);
    ensure!(!file.exists(), "{path}: is there already; nothing was changed");
    let lib_text = repo.read(&lib_path)?;
    let lib = register(&lib_text, &name.snake, kind.entry())
        .with_context(|| format!("{lib_path}: cannot be extended; nothing was changed"))?;
    let text = fill(kind.template(), &name, &path, variant);

    let mut new = fs::File::create_new(&file).with_context(|| format!("{path}: cannot be made"))?;
    let written = new
        .write_all(text.as_bytes())
        .and_then(|()| fs::write(repo.root.join(&lib_path), lib))
        .with_context(|| format!("{lib_path}: cannot be written; {path} was removed again"));
    if written.is_err() {
        fs::remove_file(&file)?;
        // The old text goes back, should the write have stopped in the middle.
        fs::write(repo.root.join(&lib_path), lib_text).ok();
    }
    written?;
    layout(&file)?;
    Ok(format!(
        "{path}: written, registered as {:?} in {lib_path}\n\
         next: `cargo test --workspace --test it` fails and names what to write; CONTRIBUTING.md has the \
         recipe",
        name.key
    ))
}

/// The crate that gets the file, and the variant of `Modality` for an encoder.
fn package(kind: Kind, modality: Option<&str>) -> Result<(String, &'static str)> {
    if kind != Kind::Encoder {
        ensure!(modality.is_none(), "--modality is for encoders only");
    }
    Ok(match kind {
        Kind::Encoder => {
            let asked = modality.unwrap_or("image");
            let found = MODALITIES.iter().find(|(name, _)| *name == asked);
            let known: Vec<&str> = MODALITIES.iter().map(|(name, _)| *name).collect();
            let (name, variant) = found.with_context(|| {
                format!("unknown modality {asked:?}; known: {}", known.join(", "))
            })?;
            (format!("quintet-{name}"), variant)
        }
        Kind::Fusion => ("quintet-fusion".into(), ""),
        Kind::Model => ("quintet-models".into(), ""),
        Kind::Metric => ("quintet-metrics".into(), ""),
    })
}

/// Checks a name: lower-case words of letters and digits, joined by `-` or `_`.
fn parse_name(name: &str) -> Result<Name> {
    let words: Vec<&str> = name.split(['-', '_']).collect();
    let word =
        |w: &&str| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    ensure!(
        words.iter().all(word) && name.starts_with(|c: char| c.is_ascii_lowercase()),
        "{name:?} is no name: expected lower-case words joined by - or _, such as `late-mean`"
    );
    ensure!(name.len() <= 40, "{name:?} is no name: {} letters, at most 40", name.len());
    let snake = words.join("_");
    ensure!(!TAKEN.contains(&snake.as_str()), "{name:?} is no name: the word is taken");
    let pascal = words.iter().map(|w| w[..1].to_uppercase() + &w[1..]).collect();
    Ok(Name { key: name.to_owned(), snake, pascal })
}

/// The template with the name filled in.
fn fill(template: &str, name: &Name, path: &str, modality: &str) -> String {
    template
        .replace("@key@", &name.key)
        .replace("@Type@", &name.pascal)
        .replace("@path@", path)
        .replace("@Modality@", modality)
}

/// A `lib.rs` with `mod SNAKE;` among its modules and `SNAKE::ENTRY` registered last.
///
/// Relies on layout: the modules stand in a block at the margin, and `register` ends with
/// `Ok(())` or with a call that gives the result.
fn register(lib: &str, snake: &str, entry: &str) -> Result<String> {
    let mut lines: Vec<String> = lib.lines().map(str::to_owned).collect();
    let start = lines
        .iter()
        .position(|l| l.strip_prefix(HEAD).is_some_and(|rest| rest.starts_with(['(', '<'])))
        .with_context(|| format!("found no `{HEAD}(` at the start of a line"))?;
    add_entry(&mut lines, start, &format!("{snake}::{entry}"))?;
    let mut out = add_module(&lines[..start], snake)?;
    out.extend_from_slice(&lines[start..]);
    Ok(out.join("\n") + "\n")
}

/// Registers `entry` at the end of the function that starts at line `start`.
fn add_entry(lines: &mut Vec<String>, start: usize, entry: &str) -> Result<()> {
    let head = lines[start..].concat();
    let argument = head.split_once('(').and_then(|(_, rest)| rest.split_once(':'));
    let argument = argument.map_or("", |(name, _)| name).trim();
    let add = format!("{argument}.add({entry})");
    let end = lines[start..]
        .iter()
        .position(|l| l == "}")
        .map(|n| start + n)
        .context("found no end of `register`")?;
    let last = end - 1;
    let (indent, code) = lines[last].split_at(lines[last].len() - lines[last].trim_start().len());
    if code == "Ok(())" {
        let line = format!("{indent}{add}?;");
        lines.insert(last, line);
    } else if code.ends_with(')') {
        // The last call gives the result: it becomes a statement and the new one the result.
        let line = format!("{indent}{add}");
        lines[last].push_str("?;");
        lines.insert(end, line);
    } else {
        bail!("`register` ends with neither `Ok(())` nor a call that gives the result");
    }
    Ok(())
}

/// `head` with `mod SNAKE;` in the last block of modules, where rustfmt would put it.
fn add_module(head: &[String], snake: &str) -> Result<Vec<String>> {
    let names: Vec<Option<&str>> = head.iter().map(|l| module(l)).collect();
    ensure!(!names.contains(&Some(snake)), "the module `{snake}` is there already");
    let last = names
        .iter()
        .rposition(Option::is_some)
        .context("found no `mod NAME;` before `register`")?;
    // Attributes and doc comments belong to the module below them.
    let attached = |line: &str| line.starts_with("#[") || line.starts_with("///");
    let in_block = |i: usize| names[i].is_some() || attached(&head[i]);
    let first = (0..last).rev().find(|&i| !in_block(i)).map_or(0, |i| i + 1);
    let later = (first..=last).find(|&i| names[i].is_some_and(|name| name > snake));
    let mut place = later.unwrap_or(last + 1);
    while later.is_some() && place > first && attached(&head[place - 1]) {
        place -= 1;
    }
    let mut head = head.to_vec();
    head.insert(place, format!("mod {snake};"));
    Ok(head)
}

/// The name in `mod NAME;`, `pub mod NAME;` or `pub(crate) mod NAME;` at the margin.
fn module(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
    line.strip_prefix("mod ")?.strip_suffix(';')
}

/// Formats the new file where rustfmt is installed: line breaks depend on the name's length.
fn layout(file: &std::path::Path) -> Result<()> {
    let sh = Shell::new()?;
    if cmd!(sh, "rustfmt --version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        cmd!(sh, "rustfmt --edition 2024 {file}").quiet().run()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
