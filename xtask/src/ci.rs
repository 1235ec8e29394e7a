//! `cargo xtask ci` and `cargo xtask test`: every check, cheapest first.
#![allow(clippy::print_stdout)] // a command-line tool talks to its user

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cargo_metadata::TargetKind;
use xshell::{Shell, cmd};

use crate::{repo::Repo, tidy};

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(&'static str),
}

/// One step: its name and what it runs.
type Step = (&'static str, fn(&Shell, &Repo) -> Result<Outcome>);

/// Cheapest first, so that the common mistakes are told within seconds.
const STEPS: &[Step] = &[
    ("format", format),
    ("tidy", |_, repo| tidy::run(repo).map(|()| Outcome::Passed)),
    ("clippy", clippy),
    ("test", |sh, _| cargo_test(sh)),
    ("examples", examples),
    ("doc", doc),
];

/// Runs every step and stops at the first that fails.
pub(crate) fn run(repo: &Repo) -> Result<()> {
    let sh = shell(repo)?;
    let start = Instant::now();
    let mut lines = Vec::new();
    for (name, step) in STEPS {
        println!("==> {name}");
        let begin = Instant::now();
        let outcome = step(&sh, repo);
        let took = seconds(begin.elapsed());
        let line = match &outcome {
            Ok(Outcome::Passed) => format!("{name:<10} {took:>8}  passed"),
            Ok(Outcome::Skipped(why)) => format!("{name:<10} {took:>8}  skipped: {why}"),
            Err(_) => format!("{name:<10} {took:>8}  FAILED"),
        };
        println!("<== {line}");
        lines.push(line);
        if outcome.is_err() {
            summary(&lines, start.elapsed());
        }
        outcome.with_context(|| format!("ci stopped at the step `{name}`"))?;
    }
    summary(&lines, start.elapsed());
    Ok(())
}

/// Runs all tests.
pub(crate) fn test(repo: &Repo) -> Result<()> {
    cargo_test(&shell(repo)?).map(drop)
}

/// A shell at the root.
pub(crate) fn shell(repo: &Repo) -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(&repo.root);
    Ok(sh)
}

fn summary(lines: &[String], total: Duration) {
    println!("\nci summary");
    for line in lines {
        println!("  {line}");
    }
    println!("  {:<10} {:>8}", "total", seconds(total));
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn format(sh: &Shell, _: &Repo) -> Result<Outcome> {
    if !installed(sh, "fmt") {
        return Ok(Outcome::Skipped("rustfmt is not installed"));
    }
    cmd!(sh, "cargo fmt --all --check").run()?;
    Ok(Outcome::Passed)
}

fn clippy(sh: &Shell, _: &Repo) -> Result<Outcome> {
    if !installed(sh, "clippy") {
        return Ok(Outcome::Skipped("clippy is not installed"));
    }
    // `--all-targets` also compiles the benches, which no other step does.
    cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings").run()?;
    Ok(Outcome::Passed)
}

fn cargo_test(sh: &Shell) -> Result<Outcome> {
    // Plain `cargo test`, so that documentation tests run too.
    cmd!(sh, "cargo test --workspace").run()?;
    Ok(Outcome::Passed)
}

fn examples(sh: &Shell, repo: &Repo) -> Result<Outcome> {
    let names = example_names(repo)?;
    if names.is_empty() {
        return Ok(Outcome::Skipped("there are no examples"));
    }
    for name in names {
        // Without `-p`: selecting one package would change the features of Burn and build it
        // again.
        cmd!(sh, "cargo run --quiet --example {name}").run()?;
    }
    Ok(Outcome::Passed)
}

fn doc(sh: &Shell, _: &Repo) -> Result<Outcome> {
    let _deny = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    cmd!(sh, "cargo doc --workspace --no-deps").run()?;
    Ok(Outcome::Passed)
}

/// The example programs of the workspace, by name.
fn example_names(repo: &Repo) -> Result<Vec<String>> {
    let metadata = repo.metadata()?;
    let mut names: Vec<String> = metadata
        .packages
        .iter()
        .flat_map(|p| &p.targets)
        .filter(|t| t.kind.contains(&TargetKind::Example))
        .map(|t| t.name.clone())
        .collect();
    names.sort();
    Ok(names)
}

/// Whether `cargo NAME` is there: a minimal toolchain has neither rustfmt nor clippy.
fn installed(sh: &Shell, name: &str) -> bool {
    cmd!(sh, "cargo {name} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheap_steps_come_first_and_the_examples_after_the_tests() {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["format", "tidy", "clippy", "test", "examples", "doc"]);
    }

    #[test]
    fn a_cargo_command_that_does_not_exist_counts_as_not_installed() {
        assert!(!installed(&Shell::new().unwrap(), "no-such-command"));
    }
}
