//! The repository: where it is and which files belong to it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand};

/// The working tree.
pub(crate) struct Repo {
    /// Its root.
    pub(crate) root: PathBuf,
    /// Its files, relative to the root, with `/`, sorted: what git tracks or would track.
    pub(crate) files: Vec<String>,
}

impl Repo {
    /// The repository this package lies in.
    pub(crate) fn open() -> Result<Self> {
        // Cargo sets the variable for `cargo run` and `cargo test`; the built-in path is for a
        // binary that someone starts by hand.
        let here = env::var("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let root = Path::new(&here).parent().context("xtask lies at the root of a file system")?;
        Self::at(root)
    }

    /// The repository at `root`; without git, every file below it counts.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        let mut files = match git_files(root) {
            Some(files) => files,
            None => {
                let mut files = Vec::new();
                walk(root, "", &mut files)?;
                files
            }
        };
        files.sort();
        files.dedup();
        Ok(Self { root: root.to_owned(), files })
    }

    /// The text of one file.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.root.join(path)).with_context(|| format!("{path}: cannot be read"))
    }

    /// Whether `path` is a file of the repository, or a folder that holds one.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.iter().any(|f| {
            f.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The packages of the workspace, as Cargo reads their manifests. Nothing is resolved, so
    /// neither network nor lock file is touched.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        MetadataCommand::new()
            .manifest_path(self.root.join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("cargo metadata failed")
    }
}

/// Tracked files and untracked ones that are not ignored; `None` where git cannot tell.
fn git_files(root: &Path) -> Option<Vec<String>> {
    // A folder inside some other repository is not ours to ask git about.
    if !root.join(".git").exists() {
        return None;
    }
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    if !out.status.success() {
        return None;
    }
    let names = String::from_utf8_lossy(&out.stdout);
    // A file that was deleted but not yet committed is still listed.
    let there = names.split('\0').filter(|f| !f.is_empty() && root.join(f).is_file());
    Some(there.map(str::to_owned).collect())
}

/// Every file below `root/folder`, without git's own folder and build output.
fn walk(root: &Path, folder: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && name != ".git" && name != "target" {
            // Cargo marks its target folders with this file.
            if !entry.path().join("CACHEDIR.TAG").exists() {
                walk(root, &path, files)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_the_folder_is_walked_and_build_output_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a/x.rs", "target/y.rs", "out/CACHEDIR.TAG", "out/z.rs", "b.md"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let repo = Repo::at(dir.path()).unwrap();
        assert_eq!(repo.files, ["a/x.rs", "b.md"]);
        assert!(repo.has("a/x.rs") && repo.has("a") && repo.has("a/"));
        assert!(!repo.has("a/x") && !repo.has("b"));
    }
}
