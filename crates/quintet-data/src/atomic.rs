//! Files and directories that appear whole or not at all.
//!
//! Everything is written under a temporary name beside its place, flushed to the disk and then
//! renamed. After a crash the old content or the new one is there, never half of it; a leftover
//! has a name that starts with a dot and ends in `.tmp` or `.old`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;

use crate::DataError;

/// Writes a file so that a reader sees the old bytes or the new ones, never a part.
///
/// Missing parent directories are made. A link is followed: the file behind it is replaced.
///
/// # Errors
/// A path without a file name, or whatever the file system refuses; the message has the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let target = resolve(path)?;
    let temp = beside(&target, "tmp")?;
    let written = write_synced(&temp, bytes).and_then(|()| Ok(fs::rename(&temp, &target)?));
    if written.is_err() {
        // The first error is the one to report; a leftover file does no harm.
        let _ = fs::remove_file(&temp);
    }
    written?;
    sync_parent(&target)
}

/// Replaces a directory by what `fill` writes into an empty one beside it.
///
/// An existing directory is replaced when it is empty or holds a file named `marker`; any other
/// is refused, so that a wrong path never costs somebody's files. Missing parents are made. When
/// `fill` fails, what it wrote is removed and the old directory stays.
///
/// A full directory cannot be swapped in one step: between two renames the old one stands beside
/// its place under a name ending in `.old`, and a crash just there leaves it under that name.
///
/// # Errors
/// [`DataError::Occupied`] for a directory that must not be replaced,
/// [`DataError::Content`] when the path is a file, whatever the file system refuses, and the
/// errors of `fill`.
pub fn replace_dir_atomic<E: From<DataError>>(
    dir: &Path,
    marker: &str,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let draft = DirDraft::begin(dir, marker)?;
    fill(draft.path())?;
    Ok(draft.commit()?)
}

/// A directory that is written beside its place; dropped before [`DirDraft::commit`], it goes.
#[derive(Debug)]
pub(crate) struct DirDraft {
    target: PathBuf,
    marker: String,
    temp: PathBuf,
    placed: bool,
}

impl DirDraft {
    /// An empty directory for what shall stand at `dir`; see [`replace_dir_atomic`].
    ///
    /// # Errors
    /// As [`replace_dir_atomic`].
    pub(crate) fn begin(dir: &Path, marker: &str) -> Result<Self, DataError> {
        let target = resolve(dir)?;
        check_replaceable(&target, marker)?;
        let temp = beside(&target, "tmp")?;
        fs::create_dir(&temp)?;
        Ok(Self { target, marker: marker.to_owned(), temp, placed: false })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.temp
    }

    /// Flushes everything to the disk and puts it in place.
    ///
    /// # Errors
    /// As [`replace_dir_atomic`]; what stands at the place is looked at once more, because much
    /// time may have gone by.
    pub(crate) fn commit(mut self) -> Result<(), DataError> {
        check_replaceable(&self.target, &self.marker)?;
        put_in_place(&self.temp, &self.target)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for DirDraft {
    fn drop(&mut self) {
        if !self.placed {
            // Another error is on its way already; a leftover directory does no harm.
            let _ = fs::remove_dir_all(&self.temp);
        }
    }
}

/// Follows links of what exists; makes the parent of what does not.
fn resolve(path: &Path) -> Result<PathBuf, DataError> {
    if path.exists() {
        return Ok(fs::canonicalize(path)?);
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    Ok(path.to_owned())
}

/// A fresh hidden name in the same directory, so that a rename stays on one file system.
fn beside(target: &Path, suffix: &str) -> Result<PathBuf, DataError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().ok_or_else(|| DataError::Content {
        path: target.to_owned(),
        expected: "a path that ends in a name".into(),
        found: "none".into(),
    })?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{number}.{suffix}", std::process::id()));
    Ok(target.with_file_name(hidden))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

fn check_replaceable(dir: &Path, marker: &str) -> Result<(), DataError> {
    if !dir.exists() {
        return Ok(());
    }
    if !dir.is_dir() {
        return Err(DataError::Content {
            path: dir.to_owned(),
            expected: "a directory".into(),
            found: "a file".into(),
        });
    }
    if dir.join(marker).is_file() || fs::read_dir(dir)?.next().is_none() {
        return Ok(());
    }
    Err(DataError::Occupied { path: dir.to_owned(), marker: marker.to_owned() })
}

fn put_in_place(temp: &Path, target: &Path) -> Result<(), DataError> {
    sync_tree(temp)?;
    if !target.exists() {
        fs::rename(temp, target)?;
        return sync_parent(target);
    }
    let old = beside(target, "old")?;
    fs::rename(target, &old)?;
    if let Err(error) = fs::rename(temp, target) {
        // Put the old one back; if that fails too, the first error still tells what happened.
        let _ = fs::rename(&old, target);
        return Err(error.into());
    }
    sync_parent(target)?;
    Ok(fs::remove_dir_all(&old)?)
}

/// Flushes every file below `dir`, then the directories.
fn sync_tree(dir: &Path) -> Result<(), DataError> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            fs::OpenOptions::new().write(true).open(&path)?.sync_all()?;
        }
    }
    sync_dir(dir)
}

fn sync_parent(path: &Path) -> Result<(), DataError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> Result<(), DataError> {
    Ok(fs::File::open(dir)?.sync_all()?)
}

/// Directories cannot be opened for flushing on every system; renames are still in order.
#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> Result<(), DataError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/file.bin");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["file.bin"]);
    }

    #[test]
    fn a_directory_is_replaced_whole() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("out");
        let fill = |name: &'static str| {
            move |d: &Path| -> Result<(), DataError> {
                fs::write(d.join("mark"), name)?;
                Ok(fs::write(d.join(name), "x")?)
            }
        };
        replace_dir_atomic(&dir, "mark", fill("first")).unwrap();
        replace_dir_atomic(&dir, "mark", fill("second")).unwrap();
        assert_eq!(names(&dir), ["mark", "second"]);
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn a_failed_fill_leaves_the_old_directory_and_no_rubbish() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("out");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("mark"), "old").unwrap();
        let failed: Result<(), DataError> = replace_dir_atomic(&dir, "mark", |d| {
            fs::write(d.join("mark"), "new")?;
            Err(std::io::Error::other("disk full").into())
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(fs::read_to_string(dir.join("mark")).unwrap(), "old");
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn somebody_elses_directory_is_refused_and_an_empty_one_taken() {
        let root = tempfile::tempdir().unwrap();
        let fill = |d: &Path| -> Result<(), DataError> { Ok(fs::write(d.join("mark"), "")?) };
        fs::write(root.path().join("thesis.tex"), "years").unwrap();
        let refused = replace_dir_atomic(root.path(), "mark", fill).unwrap_err();
        assert!(matches!(refused, DataError::Occupied { .. }), "{refused}");
        assert_eq!(names(root.path()), ["thesis.tex"]);
        let file = replace_dir_atomic(&root.path().join("thesis.tex"), "mark", fill).unwrap_err();
        assert!(file.to_string().contains("expected a directory"), "{file}");
        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        replace_dir_atomic(&empty, "mark", fill).unwrap();
        assert_eq!(names(&empty), ["mark"]);
    }
}
