//! Manifests: versions in one place, shared lints, a README a crate; licences; fixtures.

use anyhow::Result;
use toml::{Table, Value};

use super::Problem;
use crate::repo::Repo;

/// Files that the root must hold.
const ROOT_FILES: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Checks every manifest but the root's, and what must lie beside it.
pub(super) fn check(repo: &Repo) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in ROOT_FILES.iter().filter(|p| !repo.has(p)) {
        problems.push(Problem::new("root-files", path, 0, "missing at the root"));
    }
    for path in repo.files.iter().filter(|f| f.ends_with("/Cargo.toml")) {
        problems.extend(check_manifest(path, &repo.read(path)?));
        let readme = path.replace("Cargo.toml", "README.md");
        if path.starts_with("crates/") && !repo.has(&readme) {
            problems.push(Problem::new("readme", &readme, 0, "every crate has a README.md"));
        }
    }
    problems.extend(check_fixtures(&repo.files));
    Ok(problems)
}

fn check_manifest(path: &str, text: &str) -> Vec<Problem> {
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(e) => return vec![Problem::new("manifest", path, 0, e.to_string())],
    };
    let mut problems = Vec::new();
    let lints = table.get("lints").and_then(|l| l.get("workspace"));
    if lints != Some(&Value::Boolean(true)) {
        let text = "expected `lints.workspace = true`";
        problems.push(Problem::new("manifest", path, 0, text));
    }
    for (kind, dependencies) in dependency_tables(&table) {
        for (name, value) in dependencies {
            if let Some(found) = own_version(value) {
                let text = format!(
                    "`{name}` in [{kind}]: expected `{{ workspace = true }}` or a path, found \
                     {found}; versions live in the root manifest"
                );
                problems.push(Problem::new("versions", path, 0, text));
            }
        }
    }
    problems
}

/// Every table of dependencies with its name, those for one platform too.
fn dependency_tables(manifest: &Table) -> Vec<(String, &Table)> {
    let mut places = vec![(String::new(), manifest)];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        let platforms = targets.iter().filter_map(|(name, value)| Some((name, value.as_table()?)));
        places.extend(platforms.map(|(name, table)| (format!("target.{name}."), table)));
    }
    let mut found = Vec::new();
    for (prefix, table) in places {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(Value::Table(dependencies)) = table.get(kind) {
                found.push((format!("{prefix}{kind}"), dependencies));
            }
        }
    }
    found
}

/// What a dependency says instead of `workspace = true` or a bare path.
fn own_version(value: &Value) -> Option<String> {
    let Value::Table(table) = value else {
        return Some(value.to_string());
    };
    let inherited = table.get("workspace") == Some(&Value::Boolean(true));
    let own = ["version", "git", "registry"].into_iter().find(|key| table.contains_key(*key));
    match own {
        Some(key) => Some(format!("`{key}`")),
        None if inherited || table.contains_key("path") => None,
        None => Some(value.to_string()),
    }
}

/// Every `tests/fixtures/CASE/` says in a `manifest.toml` where it comes from.
fn check_fixtures(files: &[String]) -> Vec<Problem> {
    const MARK: &str = "/tests/fixtures/";
    let mut problems = Vec::new();
    let mut last = String::new();
    for file in files {
        let Some((before, after)) = file.split_once(MARK) else {
            continue;
        };
        let Some((case, _)) = after.split_once('/') else {
            let text = "expected fixtures in a folder a case, `tests/fixtures/CASE/`";
            problems.push(Problem::new("fixtures", file, 0, text));
            continue;
        };
        let manifest = format!("{before}{MARK}{case}/manifest.toml");
        if manifest != last && files.binary_search(&manifest).is_err() {
            let text = "missing: a fixture says who wrote it, from what, with which seed";
            problems.push(Problem::new("fixtures", &manifest, 0, text));
        }
        last = manifest;
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manifest: &str) -> Vec<String> {
        check_manifest("m", manifest).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn versions_live_in_the_root() {
        let good = "lints.workspace = true\n[dependencies]\nrand = { workspace = true }\n\
                    core = { path = \"../core\", optional = true }\n";
        assert!(told(good).is_empty());
        for bad in ["rand = \"1\"", "rand = { version = \"1\" }", "rand = { git = \"x\" }"] {
            let dev = format!("{good}[dev-dependencies]\n{bad}\n");
            assert_eq!(told(&dev).len(), 1, "{bad}");
            let unix = format!("{good}[target.'cfg(unix)'.dependencies]\n{bad}\n");
            assert_eq!(told(&unix).len(), 1, "{bad}");
        }
        let both = good.replace("path = ", "version = \"1\", path = ");
        assert!(told(&both)[0].contains("`core` in [dependencies]"), "{:?}", told(&both));
    }

    #[test]
    fn lints_are_shared() {
        assert_eq!(told("[package]\nname = \"x\"\n"), ["expected `lints.workspace = true`"]);
        assert_eq!(told("[lints]\nworkspace = false\n").len(), 1);
    }

    #[test]
    fn a_fixture_says_where_it_comes_from() {
        let files = |names: &[&str]| -> Vec<String> {
            names.iter().map(|n| format!("crates/a/tests/fixtures/{n}")).collect()
        };
        assert!(check_fixtures(&files(&["x/data.json", "x/manifest.toml"])).is_empty());
        let problems = check_fixtures(&files(&["loose.json", "x/a.json", "x/b.json"]));
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(
            paths,
            ["crates/a/tests/fixtures/loose.json", "crates/a/tests/fixtures/x/manifest.toml"]
        );
    }
}
