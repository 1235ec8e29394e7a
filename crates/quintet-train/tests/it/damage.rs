//! Checkpoints that rotted on the disk.

use std::path::{Path, PathBuf};

use quintet_train::{Checkpoint, CheckpointStore, Stopper, TrainError};

use crate::support::{Data, Heard, fails, fit, fit_heard, model, settings, timeless};

const FILES: [&str; 4] = ["trainer.safetensors", "best.safetensors", "loop.json", "MANIFEST.json"];

/// Damages a file in one of three ways.
fn damage(path: &Path, way: &str) {
    let mut bytes = fs_err::read(path).unwrap();
    match way {
        "flip" => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        "cut" => bytes.truncate(bytes.len() / 2),
        "empty" => bytes.clear(),
        _ => return fs_err::remove_file(path).unwrap(),
    }
    fs_err::write(path, bytes).unwrap();
}

/// The folders of the checkpoints, oldest first.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(dir.join("checkpoints")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    folders.sort();
    folders
}

fn copy_tree(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_only_its_epochs() {
    let data = Data::world();
    let fit_it = model("bpr", None);
    let whole = fit(fit_it.as_ref(), &data, &settings(6, 0), None).unwrap();
    let origin = tempfile::tempdir().unwrap();
    let there = quintet_train::RunPlace::new(origin.path(), "run").unwrap();
    fit(fit_it.as_ref(), &data, &settings(4, 2), Some(&there)).unwrap();
    for file in FILES {
        for way in ["flip", "cut", "empty", "delete"] {
            let dir = tempfile::tempdir().unwrap();
            copy_tree(origin.path(), dir.path());
            let newest = folders(dir.path()).pop().unwrap();
            damage(&newest.join(file), way);
            let place = quintet_train::RunPlace::new(dir.path(), "run").unwrap();
            let mut heard = Heard::default();
            let fitted =
                fit_heard(fit_it.as_ref(), &data, &settings(6, 2), Some(&place), &mut heard)
                    .unwrap_or_else(|e| panic!("{file}, {way}: {e}"));
            assert_eq!(heard.notes.len(), 2, "{file}, {way}: {:?}", heard.notes);
            assert!(heard.notes[0].contains("damaged checkpoint"), "{:?}", heard.notes);
            assert!(heard.notes[0].contains("ckpt-000004"), "{file}, {way}: {:?}", heard.notes);
            // A flip in the manifest may show as a file that does not match it.
            if (file, way) != ("MANIFEST.json", "flip") {
                assert!(heard.notes[0].contains(file), "{file}, {way}: {:?}", heard.notes);
            }
            assert!(heard.notes[1].contains("resumed after epoch 2"), "{:?}", heard.notes);
            assert_eq!(heard.epochs, [3, 4, 5, 6], "{file}, {way}");
            assert_eq!(fitted.model.state(), whole.model.state(), "{file}, {way}");
            assert_eq!(timeless(&fitted.log), timeless(&whole.log), "{file}, {way}");
            assert!(newest.is_dir(), "{file}, {way}: written again");
            assert!(newest.with_file_name("damaged-ckpt-000004").is_dir(), "{file}, {way}");
        }
    }
}

#[test]
fn when_all_are_damaged_the_error_names_each() {
    let data = Data::world();
    let fit_it = model("bpr", None);
    let dir = tempfile::tempdir().unwrap();
    let place = quintet_train::RunPlace::new(dir.path(), "run").unwrap();
    fit(fit_it.as_ref(), &data, &settings(4, 2), Some(&place)).unwrap();
    for (folder, file) in folders(dir.path()).iter().zip(["best.safetensors", "loop.json"]) {
        damage(&folder.join(file), "cut");
    }
    let error = fails(fit(fit_it.as_ref(), &data, &settings(6, 2), Some(&place)));
    assert!(matches!(error, TrainError::AllDamaged { .. }), "{error}");
    let text = error.to_string();
    for part in ["ckpt-000002", "best.safetensors", "ckpt-000004", "loop.json", "remove the folder"]
    {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(!text.contains('\n'), "{text}");
}

fn checkpoint(epoch: usize) -> Checkpoint {
    let state = |number: usize| {
        let mut state = quintet_core::ModelState::new("x");
        state.put_whole("number", vec![number as i64]);
        state
    };
    Checkpoint {
        epoch,
        trainer: state(epoch),
        best: state(100 + epoch),
        stopper: Stopper { best: 0.1 + 0.2 * epoch as f64 / 7.0, best_epoch: epoch, waited: 0 },
        log: Vec::new(),
    }
}

#[test]
fn what_was_saved_comes_back_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(dir.path().join("checkpoints"), "run");
    assert!(store.newest().unwrap().0.is_none());
    let mut changed = Vec::new();
    for epoch in 1..200 {
        let saved = checkpoint(epoch);
        store.save(&saved).unwrap();
        let (found, notes) = store.newest().unwrap();
        let found = found.unwrap();
        assert!(notes.is_empty());
        assert_eq!(
            (found.epoch, &found.trainer, &found.best),
            (epoch, &saved.trainer, &saved.best)
        );
        if found.stopper.best.to_bits() != saved.stopper.best.to_bits() {
            changed.push((saved.stopper.best, found.stopper.best));
        }
    }
    // A best value that comes back smaller would make a tie look like an improvement.
    assert!(
        changed.is_empty(),
        "{} of 199 values changed, such as {:?}",
        changed.len(),
        changed[0]
    );
}

#[test]
fn no_flipped_bit_of_a_manifest_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(dir.path().join("checkpoints"), "the run's identity");
    for epoch in [2, 4] {
        store.save(&checkpoint(epoch)).unwrap();
    }
    let newest = dir.path().join("checkpoints/ckpt-000004");
    let path = newest.join("MANIFEST.json");
    let whole = fs_err::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs_err::write(&path, &bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let near = &text[at.saturating_sub(20)..(at + 20).min(text.len())];
        let (found, notes) = store.newest().unwrap_or_else(|e| panic!("byte {at}, {near:?}: {e}"));
        assert_eq!(found.unwrap().epoch, 2, "byte {at}, {near:?}");
        assert!(notes.len() == 1 && notes[0].contains("ckpt-000004"), "byte {at}: {notes:?}");
        // Set aside, so that it is not met again.
        assert!(store.newest().unwrap().1.is_empty(), "byte {at}");
        fs_err::rename(newest.with_file_name("damaged-ckpt-000004"), &newest).unwrap();
    }
}
