//! Media files that are cut off: each costs its item that modality and nothing else.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{Delay, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::json;

use crate::support::{RUN_FILE, Tiny, names};

fn jpeg(item: u32) -> Vec<u8> {
    let image =
        RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, (item * 25) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// Four frames in which a square moves.
fn gif(item: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for step in 0..4 {
        let image = RgbaImage::from_fn(32, 24, |x, y| {
            let inside = x / 8 == step && y / 8 == item % 3;
            if inside { Rgba([250, 200, 0, 255]) } else { Rgba([0, 20, (item * 25) as u8, 255]) }
        });
        let delay = Delay::from_numer_denom_ms(100, 1);
        encoder.encode_frame(Frame::from_parts(image, 0, 0, delay)).unwrap();
    }
    drop(encoder);
    bytes
}

/// Half a second of one tone.
fn wav(item: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for i in 0..4_000 {
        let phase = i as f32 * (200.0 + 60.0 * item as f32) * std::f32::consts::TAU / 8_000.0;
        writer.write_sample((phase.sin() * 9_000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

/// Ten items; item 2 has no file, item 3 half of one, and a file belongs to nobody.
fn tiny() -> Tiny {
    let tiny = Tiny::new();
    let mut config = RUN_FILE.to_owned();
    let kinds: [(&str, &str, &str, fn(u32) -> Vec<u8>); 3] = [
        ("image", "jpg", "colour-gradient", jpeg),
        ("audio", "wav", "log-mel", wav),
        ("video", "gif", "frame-motion", gif),
    ];
    let mut media = String::new();
    for (modality, ending, encoder, make) in kinds {
        for item in (0..10).filter(|i| *i != 2) {
            let mut bytes = make(item);
            if item == 3 {
                bytes.truncate(bytes.len() / 2);
            }
            tiny.write(&format!("data/{modality}/i{item}.{ending}"), &bytes);
        }
        tiny.write(&format!("data/{modality}/stray.{ending}"), &make(1));
        media += &format!("  {{ modality = \"{modality}\", folder = \"{modality}\" }},\n");
        config += &format!("\n[[encode]]\nmodality = \"{modality}\"\nencoder = \"{encoder}\"\n");
    }
    let config = config.replace("\n[split]", &format!("media = [\n{media}]\n\n[split]"));
    tiny.write("run.toml", config.as_bytes());
    tiny
}

#[test]
fn a_truncated_file_is_reported_and_the_run_goes_on() {
    let tiny = tiny();
    tiny.verb("ingest", &[]).ok();
    let report = tiny.report();
    assert_eq!(report["counts"], json!({ "media_error": 3, "media_unmatched": 3 }));
    for (media, ending) in report["media"].as_array().unwrap().iter().zip(["jpg", "wav", "gif"]) {
        let counts = ["found", "ok", "missing", "error", "unmatched"].map(|k| media[k].as_u64());
        assert_eq!(counts, [10, 8, 1, 1, 1].map(Some), "{media}");
        let file = format!("{}/i3.{ending}", media["folder"].as_str().unwrap());
        let faults = report["faults"].as_array().unwrap();
        let fault = faults.iter().find(|f| f["file"] == file.as_str()).unwrap();
        assert_eq!((&fault["code"], &fault["item"]), (&json!("media_error"), &json!("i3")));
        names(fault["found"].as_str().unwrap(), &["truncated"]);
    }

    let encoded = tiny.verb("encode", &["--json"]).ok().json();
    let modalities = encoded["modalities"].as_array().unwrap();
    assert_eq!(modalities.len(), 4);
    for m in modalities {
        let n = |key: &str| m[key].as_u64().unwrap();
        assert_eq!(n("items"), n("encoded") + n("missing") + n("failed"), "{m}");
        if m["modality"] == "text" {
            assert_eq!(n("failed"), 0, "{m}");
            continue;
        }
        assert_eq!((n("encoded"), n("missing"), n("failed")), (8, 1, 1), "{m}");
        let errors = m["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1);
        names(errors[0].as_str().unwrap(), &["item i3", "truncated"]);
    }

    let done = tiny.verb("run", &[]).ok();
    assert_eq!(done.stdout.matches("from an earlier run").count(), 4, "{}", done.stdout);
    names(&done.stdout, &["item i3"]);
    assert_eq!(tiny.report(), report);
}

#[test]
fn in_strict_mode_a_truncated_file_ends_the_run() {
    let tiny = tiny();
    let config = fs_err::read_to_string(tiny.path("run.toml")).unwrap();
    let config = config.replace("name = \"tiny world\"", "strict = true");
    tiny.write("run.toml", config.as_bytes());
    for modality in ["image", "audio", "video"] {
        fs_err::remove_file(
            fs_err::read_dir(tiny.path("data").join(modality))
                .unwrap()
                .map(|e| e.unwrap().path())
                .find(|p| p.file_stem().is_some_and(|s| s == "stray"))
                .unwrap(),
        )
        .unwrap();
    }
    let error = tiny.verb("ingest", &[]).error();
    names(&error, &["image/i3.jpg", "\"i3\"", "truncated"]);
}

#[test]
fn when_no_file_of_a_modality_can_be_read_the_run_ends() {
    let tiny = tiny();
    for item in 0..10 {
        let path = tiny.path(&format!("data/audio/i{item}.wav"));
        if path.exists() {
            fs_err::write(path, b"RIFF").unwrap();
        }
    }
    tiny.verb("ingest", &[]).ok();
    let error = tiny.verb("encode", &[]).error();
    names(&error, &["audio", "log-mel", "9 items", "first error"]);
}
