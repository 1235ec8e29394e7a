//! Every file of a corpus of odd, corrupt and hostile images: a vector or a typed error, in
//! bounded time and memory.

use std::collections::BTreeMap;

use quintet_image::{ColourGradient, ColourGradientConfig, open_image};
use quintet_tensor::{Encoder, RawMedia};
use quintet_testkit::{files_below, hostile_media, measure_files, measured_apart};

#[test]
fn every_hostile_file_gives_a_vector_or_a_typed_error() {
    let folder = hostile_media().join("image");
    let n_files = files_below(&folder).len();
    if n_files == 0 {
        println!("skipped: no hostile images at {}", folder.display());
        return;
    }
    let measured = measured_apart("hostile::one_after_the_other");
    assert_eq!(measured.len(), n_files);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    measured.iter().for_each(|m| *counts.entry(&m.code).or_default() += 1);
    println!("{counts:?}");
    assert!(counts.get("ok").is_some_and(|&n| n > 100), "{counts:?}");
    let typed = ["ok", "empty", "truncated", "corrupt", "unsupported", "too_large"];
    assert!(counts.keys().all(|code| typed.contains(code)), "{counts:?}");
}

/// Does nothing but in the process that the test above starts.
#[test]
fn one_after_the_other() {
    let encoder = ColourGradient::new(&ColourGradientConfig::default()).unwrap();
    measure_files(&hostile_media().join("image"), |path| {
        let decoded = open_image(&RawMedia::File(path.to_owned()));
        let vector = decoded.and_then(|image| encoder.prepare(&image)).map_err(|error| {
            let message = error.to_string();
            assert!(message.contains(&*path.file_name().unwrap().to_string_lossy()), "{message}");
            (error.code(), message)
        })?;
        assert_eq!(vector.len(), encoder.info().dim, "{}", path.display());
        assert!(vector.iter().all(|v| v.is_finite()), "{}", path.display());
        Ok(())
    });
}
