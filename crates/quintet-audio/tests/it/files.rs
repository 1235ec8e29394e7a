//! Formats, channels, rates, parameters and damaged files.

use quintet_tensor::{Device, RawMedia};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{distance, encode, encode_one, encoder, tone, write_float, write_int};

#[test]
fn every_sample_format_gives_nearly_the_same_vector() {
    let dir = tempdir().unwrap();
    let samples = tone(440.0, 16_000, 0.3);
    let float = dir.path().join("float.wav");
    write_float(&float, &samples, 16_000);
    let reference = encode_one(&float).unwrap();
    // Quantisation noise lifts the bands that are silent otherwise, most of all with 8 bits.
    for (bits, allowed) in [(8, 0.8), (16, 0.05), (24, 0.01), (32, 0.01)] {
        let path = dir.path().join(format!("{bits}.wav"));
        write_int(&path, &samples, 16_000, 1, bits);
        let d = distance(&reference, &encode_one(&path).unwrap());
        assert!(d < allowed, "{bits} bits: {d}");
    }
}

#[test]
fn stereo_of_one_channel_twice_is_mono() {
    let dir = tempdir().unwrap();
    let samples = tone(523.25, 22_050, 0.4);
    let (mono, stereo, five) =
        (dir.path().join("1.wav"), dir.path().join("2.wav"), dir.path().join("5.wav"));
    write_int(&mono, &samples, 22_050, 1, 16);
    write_int(&stereo, &samples, 22_050, 2, 16);
    write_int(&five, &samples, 22_050, 5, 16);
    let mono = encode_one(&mono).unwrap();
    assert_eq!(mono, encode_one(&stereo).unwrap());
    assert!(distance(&mono, &encode_one(&five).unwrap()) < 1e-4);
}

#[test]
fn a_vector_does_not_depend_on_its_batch_mates_and_a_bad_file_costs_only_itself() {
    let dir = tempdir().unwrap();
    let paths: Vec<_> = [200.0, 440.0, 2_000.0]
        .iter()
        .map(|&hz| {
            let path = dir.path().join(format!("{hz}.wav"));
            write_int(&path, &tone(hz, 16_000, 0.2), 16_000, 1, 16);
            path
        })
        .collect();
    let missing = dir.path().join("missing.wav");
    let together = encode(&[&paths[0], &missing, &paths[1], &paths[2]]);
    assert_eq!(together[1].as_ref().unwrap_err().code(), "unreadable");
    for (place, path) in [(0, &paths[0]), (2, &paths[1]), (3, &paths[2])] {
        assert_eq!(together[place].as_ref().unwrap(), &encode_one(path).unwrap());
    }
    assert!(encode(&[]).is_empty());
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_names_it() {
    let dir = tempdir().unwrap();
    let whole = dir.path().join("whole.wav");
    write_int(&whole, &tone(440.0, 8_000, 0.05), 8_000, 1, 16);
    let bytes = std::fs::read(&whole).unwrap();
    let cut = dir.path().join("cut.wav");
    for len in 0..bytes.len() {
        std::fs::write(&cut, &bytes[..len]).unwrap();
        let e = encode_one(&cut).unwrap_err();
        let expected = if len == 0 { "empty" } else { "truncated" };
        assert_eq!(e.code(), expected, "{len} bytes: {e}");
        assert!(e.to_string().contains("cut.wav"), "{e}");
    }
}

#[test]
fn no_samples_is_empty_and_one_sample_is_a_vector() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.wav");
    write_int(&path, &[], 16_000, 1, 16);
    assert_eq!(encode_one(&path).unwrap_err().code(), "empty");
    write_int(&path, &[0.25], 16_000, 1, 16);
    assert!(encode_one(&path).unwrap().iter().all(|v| v.is_finite()));
    write_int(&path, &[0.0; 4_000], 16_000, 1, 16);
    assert!(encode_one(&path).unwrap().iter().all(|v| v.abs() < 1e-6), "silence");
}

#[test]
fn a_float_that_is_not_finite_is_corrupt() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("nan.wav");
    write_float(&path, &[0.0, 0.5, f64::NAN, 0.1], 16_000);
    let e = encode_one(&path).unwrap_err();
    assert_eq!(e.code(), "corrupt");
    assert!(e.to_string().contains("sample 2"), "{e}");
}

#[test]
fn chunks_of_odd_length_before_the_samples_are_skipped_with_their_padding() {
    let dir = tempdir().unwrap();
    let plain = dir.path().join("plain.wav");
    write_int(&plain, &tone(440.0, 16_000, 0.1), 16_000, 1, 16);
    let bytes = std::fs::read(&plain).unwrap();
    let mut with_list = bytes[..12].to_vec();
    with_list.extend(b"LIST\x03\x00\x00\x00abc\x00");
    with_list.extend(&bytes[12..]);
    let path = dir.path().join("list.wav");
    std::fs::write(&path, with_list).unwrap();
    assert_eq!(encode_one(&path).unwrap(), encode_one(&plain).unwrap());
}

#[test]
fn formats_that_are_not_read_are_named() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.wav");
    for (bytes, word) in [
        (&b"fLaC\0\0\0\"aaaaaaaa"[..], "FLAC"),
        (b"ID3\x04\0\0\0\0\0\0\0\0\0\0", "MP3"),
        (b"RIFF\x10\0\0\0AVI LIST", "RIFF of another kind"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let e = encode_one(&path).unwrap_err();
        assert_eq!(e.code(), "unsupported");
        assert!(e.to_string().contains(word), "{e}");
    }
    write_int(&path, &[0.0; 10], 16_000, 1, 16);
    let mut bytes = std::fs::read(&path).unwrap();
    let fmt = bytes.windows(4).position(|w| w == b"fmt ").unwrap();
    bytes[fmt + 8] = 2;
    bytes[fmt + 9] = 0;
    std::fs::write(&path, bytes).unwrap();
    let e = encode_one(&path).unwrap_err();
    assert!(e.code() == "unsupported" && e.to_string().contains("ADPCM"), "{e}");
}

#[test]
fn only_the_first_seconds_count() {
    let dir = tempdir().unwrap();
    let (long, short) = (dir.path().join("long.wav"), dir.path().join("short.wav"));
    let mut samples = tone(440.0, 8_000, 1.0);
    write_int(&short, &samples, 8_000, 1, 16);
    samples.extend(tone(1_500.0, 8_000, 1.0));
    write_int(&long, &samples, 8_000, 1, 16);
    let limited = encoder(&json!({ "max_seconds": 1 })).unwrap();
    let media = RawMedia::File(long.clone());
    let cut = limited.encode(&[&media], &Device::default()).remove(0).unwrap();
    assert_eq!(cut, encode_one(&short).unwrap());
    assert!(distance(&cut, &encode_one(&long).unwrap()) > 0.1);
}

#[test]
fn parameters_are_checked_and_media_must_be_files() {
    let text = |params: &Value| encoder(params).err().unwrap().to_string();
    let typo = text(&json!({ "max_second": 3 }));
    assert!(typo.contains("log-mel") && typo.contains("max_second"), "{typo}");
    assert!(text(&json!({ "max_seconds": 0 })).contains("1 to 600"));
    assert!(text(&json!({ "max_seconds": 601 })).contains("601"));
    assert!(text(&json!(7)).contains("log-mel"));
    let e = encoder(&Value::Null).unwrap();
    assert_eq!((e.info().dim, e.info().name.as_str()), (198, "log-mel"));
    let words = RawMedia::Text("la la la".to_owned());
    let wrong = e.encode(&[&words], &Device::default()).remove(0).unwrap_err();
    assert_eq!(wrong.code(), "wrong_media");
}

#[test]
fn a_folder_is_refused() {
    let dir = tempdir().unwrap();
    let e = encode_one(dir.path()).unwrap_err();
    assert!(e.code() == "unsupported" && e.to_string().contains("a folder"), "{e}");
}
