//! Paths of the configuration, kept inside the data root.

use std::path::{Component, Path, PathBuf};

use crate::IngestError;

/// The data root, with links resolved once.
pub(crate) struct Root(PathBuf);

impl Root {
    /// Resolves the root itself.
    pub(crate) fn new(root: &Path) -> Result<Self, IngestError> {
        fs_err::canonicalize(root).map(Self).map_err(IngestError::io("data root"))
    }

    /// The absolute path of `relative`, which must exist and lie inside the root, also after
    /// links are followed.
    pub(crate) fn resolve(&self, relative: &str) -> Result<PathBuf, IngestError> {
        let outside = |found| IngestError::OutsideRoot { path: relative.to_owned(), found };
        for part in Path::new(relative).components() {
            match part {
                Component::Normal(_) | Component::CurDir => {}
                Component::ParentDir => return Err(outside("`..`")),
                _ => return Err(outside("an absolute path")),
            }
        }
        let path =
            std::fs::canonicalize(self.0.join(relative)).map_err(IngestError::io(relative))?;
        if !self.holds(&path) {
            return Err(outside("a link that leads out of it"));
        }
        Ok(path)
    }

    /// Whether an absolute path, links resolved, lies inside the root.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.0)
    }
}

/// `folder/name` as the user would write it.
pub(crate) fn join(folder: &str, name: &str) -> String {
    let folder = folder.trim_end_matches('/');
    match folder {
        "" | "." => name.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_root() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("in")).unwrap();
        let root = Root::new(&dir.path().join("in")).unwrap();
        for (path, found) in [("../x", "`..`"), ("a/../../x", "`..`"), ("/etc", "an absolute path")]
        {
            let err = root.resolve(path).unwrap_err().to_string();
            assert!(err.contains(found) && err.contains(path), "{err}");
        }
        let err = root.resolve("none.csv").unwrap_err().to_string();
        assert!(err.starts_with("none.csv: "), "{err}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_cannot_leave_the_root() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("in")).unwrap();
        fs_err::write(dir.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("in/link")).unwrap();
        let root = Root::new(&dir.path().join("in")).unwrap();
        let err = root.resolve("link").unwrap_err().to_string();
        assert!(err.contains("a link that leads out of it"), "{err}");
    }

    #[test]
    fn a_folder_and_a_name_are_joined_as_a_person_would() {
        assert_eq!(join(".", "u.data"), "u.data");
        assert_eq!(join("ml/", "u.data"), "ml/u.data");
    }
}
