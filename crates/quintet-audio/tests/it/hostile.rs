//! Files of decoders' own test suites: odd, corrupt, hostile.

use std::path::{Path, PathBuf};

use crate::support::{encode_one, shared};

fn wav_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            wav_files(&path, found);
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav")) {
            found.push(path);
        }
    }
}

#[test]
fn hostile_files_give_an_error_or_a_vector() {
    let Some(root) = shared("data/hostile-media/audio") else {
        return;
    };
    let mut files = Vec::new();
    wav_files(&root, &mut files);
    assert!(!files.is_empty(), "no WAV file below {}", root.display());
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        match encode_one(path) {
            Ok(v) => assert!(v.len() == 198 && v.iter().all(|x| x.is_finite()), "{name}"),
            Err(e) => println!("{e}"),
        }
    }
    // The good files of the collection are read.
    for good in
        ["pcmwaveformat-16bit-44100Hz-mono.wav", "waveformatextensible-24bit-192kHz-mono.wav"]
    {
        let path = files.iter().find(|p| p.ends_with(good));
        assert!(path.is_none_or(|p| encode_one(p).is_ok()), "{good}");
    }
}
