//! Event files of runs that are stopped and go on.

use std::path::Path;

use quintet_train::RunPlace;

use crate::support::{Data, Interrupted, fails, fit, model, settings};

/// The records of the only event file: their frames hold the length first.
fn records(dir: &Path) -> Vec<Vec<u8>> {
    let files: Vec<_> = fs_err::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    let bytes = fs_err::read(file).unwrap();
    let (mut at, mut records) = (0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        records.push(bytes[at + 12..at + 12 + length].to_vec());
        at += length + 16;
    }
    records
}

/// The events without their times, which come first and differ.
fn timeless(dir: &Path) -> Vec<Vec<u8>> {
    let seconds = |name: &str, bytes: &mut Vec<u8>| {
        let name = name.as_bytes();
        if let Some(at) = bytes.windows(name.len()).position(|w| w == name) {
            let at = at + name.len() + 1;
            bytes[at..at + 4].fill(0);
        }
    };
    let blank = |mut record: Vec<u8>| {
        record[1..9].fill(0);
        seconds("seconds/train", &mut record);
        seconds("seconds/valid", &mut record);
        record
    };
    records(dir).into_iter().map(blank).collect()
}

#[test]
fn a_run_that_was_cut_off_tells_every_epoch_once() {
    let data = Data::world();
    let fit_it = model("bpr", None);
    let config = settings(6, 2);
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place =
        |dir: &Path| RunPlace::new(dir, "run").unwrap().with_events(&dir.join("tensorboard/bpr"));
    fit(fit_it.as_ref(), &data, &config, Some(&place(whole.path()))).unwrap();
    let interrupted = Interrupted { inner: fit_it.as_ref(), at: 6 };
    fails(fit(&interrupted, &data, &config, Some(&place(cut.path()))));
    let events = |dir: &Path| dir.join("tensorboard/bpr");
    assert_eq!(timeless(&events(cut.path())).len(), 1 + 5);
    fit(fit_it.as_ref(), &data, &config, Some(&place(cut.path()))).unwrap();
    let expected = timeless(&events(whole.path()));
    assert_eq!(expected.len(), 1 + 6);
    assert_eq!(timeless(&events(cut.path())), expected);
    // A file that is lost is written again from the log of the checkpoint.
    fs_err::remove_dir_all(events(cut.path())).unwrap();
    fit(fit_it.as_ref(), &data, &config, Some(&place(cut.path()))).unwrap();
    assert_eq!(timeless(&events(cut.path())), expected);
}

#[test]
fn a_closed_form_model_has_one_point() {
    let dir = tempfile::tempdir().unwrap();
    let place = RunPlace::new(dir.path(), "x").unwrap().with_events(&dir.path().join("tb"));
    let fit_it = model("popularity", None);
    for _ in 0..2 {
        fit(fit_it.as_ref(), &Data::world(), &settings(3, 0), Some(&place)).unwrap();
        let found = records(&dir.path().join("tb"));
        assert_eq!(found.len(), 2);
        assert!(found[1].windows(13).any(|w| w == b"valid/ndcg@10"));
    }
}
