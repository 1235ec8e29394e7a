//! Documents: the paths and crates they name exist.

use anyhow::Result;

use super::Problem;
use crate::repo::Repo;

/// Crates that the documents may announce before they exist.
const PLANNED: &[&str] = &["quintet-place", "quintet-serve", "quintet-cluster"];

/// First parts of a path in the repository.
const TOP: &[&str] = &["crates", "examples", "benches", "docs", "xtask", ".ci", ".cargo"];

/// Checks the documents at the root and under `docs/`.
pub(super) fn check(repo: &Repo) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in repo.files.iter().filter(|f| f.ends_with(".md")) {
        let folder = match path.rsplit_once('/') {
            None => "",
            Some((folder, _)) if folder == "docs" || folder.starts_with("docs/") => folder,
            Some(_) => continue,
        };
        problems.extend(check_document(path, folder, &repo.read(path)?, |p| repo.has(p)));
    }
    Ok(problems)
}

/// Checks one document that lies in `folder`; `has` knows the files and folders.
fn check_document(
    path: &str,
    folder: &str,
    text: &str,
    has: impl Fn(&str) -> bool,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut in_block = false;
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        let mut miss = |what: &str| {
            let message = format!("`{what}` is named here and does not exist");
            problems.push(Problem::new("dead-path", path, i + 1, message));
        };
        for code in line.split('`').skip(1).step_by(2) {
            let known = is_path(code) && !has(code);
            if known || (is_crate(code) && !PLANNED.contains(&code) && !has_crate(code, &has)) {
                miss(code);
            }
        }
        for target in links(line) {
            let target = target.split('#').next().unwrap_or_default();
            let outside = target.contains(':') || target.is_empty();
            if !outside && !resolve(folder, target).is_some_and(|t| t.is_empty() || has(&t)) {
                miss(target);
            }
        }
    }
    problems
}

/// Whether inline code is a path in the repository: a plain one, without placeholders.
fn is_path(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let Some((top, _)) = code.split_once('/') else {
        return false;
    };
    TOP.contains(&top) && code.chars().all(plain)
}

/// Whether inline code is the name of a crate of Quintet.
fn is_crate(code: &str) -> bool {
    let rest = code.strip_prefix("quintet-").unwrap_or_default();
    !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase())
}

fn has_crate(name: &str, has: &impl Fn(&str) -> bool) -> bool {
    let package = name.trim_start_matches("quintet-");
    has(&format!("crates/{name}")) || matches!(package, "examples" | "benches")
}

/// The targets of Markdown links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// A link from `folder` as a path from the root; none when it leaves the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(folder: &str, text: &str) -> Vec<usize> {
        let has = |p: &str| {
            ["crates/quintet-core", "crates/quintet-core/src/ids.rs", "docs/a.md", "README.md"]
                .contains(&p.trim_end_matches('/'))
        };
        check_document("x.md", folder, text, has).into_iter().map(|p| p.line).collect()
    }

    #[test]
    fn named_paths_and_crates_exist() {
        let good = "`crates/quintet-core/src/ids.rs`, `crates/quintet-core/`, `quintet-core`,\n\
                    `quintet-serve`, `crates/quintet-NAME/src/<name>.rs`, `src/none.rs`, `a/b`\n";
        assert!(told("", good).is_empty());
        assert_eq!(told("", "ok\n`crates/quintet-gone/` and `quintet-gone`\n"), [2, 2]);
        assert!(told("", "```\n`crates/none`\n```\n").is_empty());
    }

    #[test]
    fn links_lead_somewhere() {
        assert!(told("", "[a](docs/a.md#part) [b](https://x.org/y) [c](#here)\n").is_empty());
        assert!(told("docs", "[a](a.md) [r](../README.md)\n").is_empty());
        assert_eq!(told("docs", "[r](README.md)\n[o](../../out.md)\n"), [1, 2]);
    }
}
