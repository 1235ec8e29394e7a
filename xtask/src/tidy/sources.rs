//! Source files: size, header, length of functions, ignored tests; paths of one machine.

use anyhow::Result;

use super::Problem;
use crate::repo::Repo;

/// Lines of a file, tests included.
const MAX_FILE: usize = 800;

/// Lines of a function, from `fn` to its closing brace.
const MAX_FUNCTION: usize = 80;

/// Starts of paths that exist on one machine only, and whether prose may name them. Split, so
/// that this file does not find itself.
const MACHINE_PATHS: &[(&str, bool)] = &[
    (concat!("/", "work/"), false),
    (concat!("/", "root/"), false),
    (concat!("/", "home/"), false),
    (concat!("/", "Users/"), false),
    (concat!("/", "tmp/"), true),
];

/// Checks every source file, and every text for paths of one machine.
pub(super) fn check(repo: &Repo) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in &repo.files {
        if path.contains("/fixtures/") || path == "Cargo.lock" {
            continue;
        }
        let bytes = std::fs::read(repo.root.join(path))?;
        // What is not UTF-8, or holds a zero byte, is no text.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        if text.contains('\0') {
            continue;
        }
        problems.extend(check_paths(path, &text));
        if path.ends_with(".rs") {
            problems.extend(check_source(path, &text));
        }
    }
    Ok(problems)
}

fn check_source(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > MAX_FILE {
        let message = format!("{} lines, the limit is {MAX_FILE}", lines.len());
        problems.push(Problem::new("file-length", path, 0, message));
    }
    let first = lines.first().copied().unwrap_or_default();
    if !(first.starts_with("//!") || first.starts_with("#![doc")) {
        let message = format!("expected `//!` on the first line, found {first:?}");
        problems.push(Problem::new("header", path, 1, message));
    }
    for (i, line) in lines.iter().enumerate() {
        if line.trim_start().starts_with("#[ignore") {
            let message = "an ignored test guards nothing: make it run, or skip with a reason";
            problems.push(Problem::new("ignored-test", path, i + 1, message));
        }
    }
    // Tests are tables of cases as often as not; their length harms nobody.
    if !path.contains("/tests/") {
        for (line, length) in functions(&lines) {
            if length > MAX_FUNCTION {
                let message = format!("a function of {length} lines, the limit is {MAX_FUNCTION}");
                problems.push(Problem::new("function-length", path, line, message));
            }
        }
    }
    problems
}

/// The functions outside test modules: first line (from 1) and number of lines.
///
/// Reads layout, not syntax: rustfmt closes a body with a brace at the indentation of its `fn`.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim() == "#[cfg(test)]" {
            at = end_of_block(lines, at + 1).map_or(at, |end| end) + 1;
            continue;
        }
        if is_function(lines[at])
            && let Some(end) = end_of_block(lines, at)
        {
            found.push((at + 1, end - at + 1));
        }
        at += 1;
    }
    found
}

/// Whether a function starts here.
fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.find(|word| {
        let before = word.starts_with("pub") || word.starts_with("extern") || *word == "\"C\"";
        !(before || matches!(*word, "const" | "async" | "unsafe" | "in"))
    }) == Some("fn")
}

/// The line of the brace that closes the block whose head starts at `start`; none for a head
/// without a block.
fn end_of_block(lines: &[&str], start: usize) -> Option<usize> {
    let head = lines.get(start)?;
    let indent = head.len() - head.trim_start().len();
    if head.ends_with(';') || (head.ends_with('}') && head.contains('{')) {
        return None;
    }
    for (i, line) in lines.iter().enumerate().skip(start + 1) {
        let own = line.len() - line.trim_start().len();
        if line.trim().is_empty() || own != indent {
            continue;
        }
        if line.trim() == "}" {
            return Some(i);
        }
        // `) -> X;` and `-> X;` end a declaration in a trait.
        if line.ends_with(';') {
            return None;
        }
    }
    None
}

/// Paths that start at the root of one machine.
fn check_paths(path: &str, text: &str) -> Vec<Problem> {
    let prose = path.ends_with(".md");
    let mut problems = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for (needle, in_prose) in MACHINE_PATHS {
            if !(prose && *in_prose) && names_path(line, needle) {
                let message = format!("`{needle}…` is a path of one machine");
                problems.push(Problem::new("machine-path", path, i + 1, message));
            }
        }
    }
    problems
}

/// Whether `line` has `needle` as the start of a path, not in the middle of one.
fn names_path(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~}/".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        check_source(path, text).into_iter().map(|p| (p.rule, p.line)).collect()
    }

    #[test]
    fn a_file_has_a_header_and_no_more_than_800_lines() {
        assert!(rules("a.rs", "//! Yes.\n").is_empty());
        assert!(rules("a.rs", "#![doc = include_str!(\"../README.md\")]\n").is_empty());
        assert_eq!(rules("a.rs", "use x;\n"), [("header", 1)]);
        assert_eq!(rules("a.rs", ""), [("header", 1)]);
        assert!(rules("a.rs", &format!("//!\n{}", "\n".repeat(799))).is_empty());
        assert_eq!(rules("a.rs", &format!("//!\n{}", "\n".repeat(800))), [("file-length", 0)]);
    }

    #[test]
    fn a_test_is_not_ignored() {
        let text = "//!\n    #[ignore = \"slow\"]\n";
        assert_eq!(rules("a.rs", text), [("ignored-test", 2)]);
        assert!(rules("a.rs", "//!\n// no #[ignore] here\n").is_empty());
    }

    #[test]
    fn a_function_has_no_more_than_80_lines_outside_tests() {
        let body = |n: usize| format!("fn long() {{\n{}}}\n", "    x();\n".repeat(n));
        assert!(rules("a.rs", &format!("//!\n{}", body(78))).is_empty());
        assert_eq!(rules("a.rs", &format!("//!\n{}", body(79))), [("function-length", 2)]);
        assert!(rules("a/tests/it/main.rs", &format!("//!\n{}", body(79))).is_empty());
        let test = format!("//!\n#[cfg(test)]\nmod tests {{\n    {}}}\n", body(79));
        assert!(rules("a.rs", &test).is_empty());
    }

    #[test]
    fn functions_are_found_by_their_layout() {
        let text = "\
trait T {
    fn declared(&self, a: A)
    -> B;
    fn short(&self) {}
    pub(crate) async fn spread(
        a: A,
    ) -> B {
        {
        }
    }
}
#[cfg(test)]
use x;
const fn last() {
    1
}
#[cfg(test)]
mod tests {
    fn hidden() {
    }
}
";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(functions(&lines), [(5, 6), (14, 3)]);
        assert!(!is_function("let f: fn(A) -> B = g;") && !is_function("// fn is a word"));
    }

    #[test]
    fn paths_of_one_machine_are_found_and_others_are_not() {
        let home = concat!("\"/", "root/x\"");
        assert_eq!(check_paths("a.rs", home).len(), 1);
        assert_eq!(check_paths("a.md", home).len(), 1);
        assert!(check_paths("a.rs", concat!("a/", "root/x ../", "tmp/ $X/", "work/")).is_empty());
        let tmp = concat!("`/", "tmp/x`");
        assert!(check_paths("a.md", tmp).is_empty());
        assert_eq!(check_paths("a.rs", tmp).len(), 1);
    }
}
