//! Every file of a corpus of hostile media, taken for a text: words or a typed error, in bounded
//! time and memory.

use quintet_core::SeedStream;
use quintet_tensor::{Encoder, RawMedia};
use quintet_testkit::{files_below, hostile_media, measure_files, measured_apart};
use quintet_text::{TfidfSvd, TfidfSvdConfig, open_text};

#[test]
fn every_hostile_file_gives_a_vector_or_a_typed_error() {
    let folder = hostile_media();
    let n_files = files_below(&folder).len();
    if n_files == 0 {
        println!("skipped: no hostile media at {}", folder.display());
        return;
    }
    let measured = measured_apart("hostile::one_after_the_other");
    assert_eq!(measured.len(), n_files);
    let typed = ["ok", "empty", "truncated", "corrupt", "unsupported", "too_large"];
    assert!(measured.iter().all(|m| typed.contains(&m.code.as_str())));
}

/// Does nothing but in the process that the test above starts.
#[test]
fn one_after_the_other() {
    let known = ["the file is a test of a file", "a test of the name and the file", "name of file"];
    let config = TfidfSvdConfig { dim: 2, stop_words: false, max_df: 1.0, ..Default::default() };
    let encoder = TfidfSvd::fit(&config, &known, SeedStream::new(1)).unwrap();
    measure_files(&hostile_media(), |path| {
        let opened = open_text(&RawMedia::File(path.to_owned()));
        let vector = opened.and_then(|text| encoder.prepare(&text));
        vector.map(drop).map_err(|e| (e.code(), e.to_string()))
    });
}
