//! `cargo xtask tidy`: what a compiler cannot see, checked in a second.
//!
//! Every rule is a function from text (or a small value) to problems, tested on samples; this
//! file runs them over the repository and applies the allow-list.
#![allow(clippy::print_stdout)] // a command-line tool talks to its user

mod docs;
mod layers;
mod manifests;
mod sources;

use std::fmt;

use anyhow::{Result, bail};

use crate::repo::Repo;

/// A breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    /// The rule, as the allow-list names it.
    rule: &'static str,
    /// The file.
    path: String,
    /// The line, from 1; 0 for the whole file.
    line: usize,
    /// What was expected and what was found.
    message: String,
}

impl Problem {
    fn new(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { rule, path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {} [{}]", self.path, self.message, self.rule),
            line => write!(f, "{}:{line}: {} [{}]", self.path, self.message, self.rule),
        }
    }
}

/// An exception to a rule for one file.
struct Allow {
    rule: &'static str,
    path: &'static str,
    /// Why; printed when the exception is no longer needed.
    reason: &'static str,
}

/// The exceptions. One that excuses nothing is itself a problem, so the list only shrinks.
const ALLOWED: &[Allow] = &[];

/// Checks the repository and prints what is wrong.
pub(crate) fn run(repo: &Repo) -> Result<()> {
    let problems = check(repo)?;
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => {
            println!("tidy: {} files, no problem", repo.files.len());
            Ok(())
        }
        n => bail!("tidy: problems: {n}"),
    }
}

/// Every problem that the allow-list does not excuse, sorted by file.
fn check(repo: &Repo) -> Result<Vec<Problem>> {
    let mut found = layers::check(repo)?;
    found.extend(manifests::check(repo)?);
    found.extend(sources::check(repo)?);
    found.extend(docs::check(repo)?);
    let mut problems = excuse(found, ALLOWED);
    problems.sort_by(|a, b| (&a.path, a.line, a.rule).cmp(&(&b.path, b.line, b.rule)));
    Ok(problems)
}

/// Takes out what `allowed` names and adds a problem for each of its lines that names nothing.
fn excuse(found: Vec<Problem>, allowed: &[Allow]) -> Vec<Problem> {
    let names = |a: &Allow, p: &Problem| a.rule == p.rule && a.path == p.path;
    let unused = allowed.iter().filter(|a| !found.iter().any(|p| names(a, p))).map(|a| {
        let text = format!("excused ({}), but the rule `{}` is kept; remove it", a.reason, a.rule);
        Problem::new("allow-list", a.path, 0, text)
    });
    let unused: Vec<Problem> = unused.collect();
    let mut left: Vec<Problem> =
        found.into_iter().filter(|p| !allowed.iter().any(|a| names(a, p))).collect();
    left.extend(unused);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let problems = check(&Repo::open().unwrap()).unwrap();
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert!(lines.is_empty(), "{} problems:\n{}", lines.len(), lines.join("\n"));
    }

    #[test]
    fn the_allow_list_excuses_one_rule_of_one_file_and_must_be_needed() {
        let found = vec![Problem::new("a", "x", 1, "m"), Problem::new("b", "x", 0, "m")];
        let allow = |rule, path| Allow { rule, path, reason: "why" };
        let left = excuse(found.clone(), &[allow("a", "x")]);
        assert_eq!(left, found[1..]);
        let left = excuse(found, &[allow("a", "y")]);
        assert_eq!(left.len(), 3);
        assert_eq!(
            left[2].to_string(),
            "y: excused (why), but the rule `a` is kept; remove it [allow-list]"
        );
    }
}
