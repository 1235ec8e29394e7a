//! Files of decoders' own test suites: odd, corrupt, hostile.

use std::path::{Path, PathBuf};

use crate::support::{DIM, encode_one, shared};

fn files_below(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, endings, found);
        } else if path
            .extension()
            .is_some_and(|e| endings.iter().any(|k| e.eq_ignore_ascii_case(k)))
        {
            found.push(path);
        }
    }
}

#[test]
fn hostile_files_give_an_error_or_a_vector() {
    let Some(root) = shared("data/hostile-media") else { return };
    let mut files = Vec::new();
    files_below(&root, &["gif", "webp", "mp4", "mkv", "webm", "avi"], &mut files);
    assert!(!files.is_empty(), "no animation below {}", root.display());
    let mut vectors = 0;
    for path in &files {
        let name = path.display();
        match encode_one(path) {
            Ok(v) => {
                assert!(v.len() == DIM && v.iter().all(|x| x.is_finite()), "{name}");
                vectors += 1;
            }
            Err(e) => {
                println!("{e}");
                assert_ne!(e.code(), "unreadable", "{e}");
            }
        }
    }
    println!("{vectors} vectors of {} files", files.len());
    assert!(vectors > 0, "some of them are good");
}
