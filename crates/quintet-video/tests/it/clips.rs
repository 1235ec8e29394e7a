//! What the vectors say about good clips.

use quintet_tensor::{Device, RawMedia};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    DIM, MOTION, cosine, encode, encode_one, encoder, rightwards, square, webp_bytes, write_folder,
    write_gif,
};

#[test]
fn a_square_that_moves_right_and_one_that_moves_left_have_opposite_ways() {
    let dir = tempdir().unwrap();
    let (right, left, down) =
        (dir.path().join("r.gif"), dir.path().join("l.gif"), dir.path().join("d.gif"));
    let mut frames = rightwards();
    write_gif(&right, &frames, &[10; 12]);
    frames.reverse();
    write_gif(&left, &frames, &[10; 12]);
    let falling: Vec<_> = (0..12).map(|t| square(20, 2 * t)).collect();
    write_gif(&down, &falling, &[10; 12]);
    let way = |path| encode_one(path).unwrap()[MOTION + 21..MOTION + 25].to_vec();
    let (r, l, d) = (way(&right), way(&left), way(&down));
    // Place of motion (x, y), then of the square (x, y): it crosses 33 of 48 pixels, 1.375.
    assert!((r[2] - 1.375).abs() < 0.05 && r[3].abs() < 0.02, "{r:?}");
    assert!((l[2] + 1.375).abs() < 0.05 && l[3].abs() < 0.02, "{l:?}");
    assert!(r[0] > 1.0 && l[0] < -1.0, "{r:?} {l:?}");
    assert!((d[3] - 1.375).abs() < 0.05 && d[2].abs() < 0.02, "{d:?}");
}

#[test]
fn a_clip_that_stands_still_has_no_motion_and_no_spread() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.gif");
    write_gif(&path, &vec![square(9, 9); 5], &[10; 5]);
    let v = encode_one(&path).unwrap();
    assert_eq!(v.len(), DIM);
    assert!(v[3..MOTION].iter().all(|x| x.abs() < 1e-3), "{v:?}");
    assert!(v[MOTION..DIM - 3].iter().all(|&x| x == 0.0), "{v:?}");
}

#[test]
fn a_still_picture_is_a_clip_of_one_frame() {
    let dir = tempdir().unwrap();
    let frame = square(9, 9);
    let paths: Vec<_> =
        ["a.png", "a.bmp", "a.webp", "a.jpg"].iter().map(|n| dir.path().join(n)).collect();
    paths.iter().for_each(|p| frame.save(p).unwrap());
    let gif = dir.path().join("a.gif");
    write_gif(&gif, &[frame], &[50]);
    let reference = encode_one(&gif).unwrap();
    assert!(reference[3..DIM - 3].iter().all(|&x| x == 0.0), "{reference:?}");
    for path in &paths {
        assert!(cosine(&reference, &encode_one(path).unwrap()) > 0.999, "{}", path.display());
    }
}

#[test]
fn the_same_frames_as_gif_webp_and_folder_are_alike() {
    let dir = tempdir().unwrap();
    let (gif, webp, folder) =
        (dir.path().join("a.gif"), dir.path().join("a.webp"), dir.path().join("frames"));
    write_gif(&gif, &rightwards(), &[10; 12]);
    std::fs::write(&webp, webp_bytes(&rightwards())).unwrap();
    write_folder(&folder, &rightwards());
    let reference = encode_one(&folder).unwrap();
    for path in [&gif, &webp] {
        let c = cosine(&reference, &encode_one(path).unwrap());
        assert!(c > 0.999, "{}: {c}", path.display());
    }
    // The names were in natural order: frame10 after frame9, so the square goes to the right.
    assert!(reference[MOTION + 23] > 1.3, "{reference:?}");
}

#[test]
fn the_time_a_frame_is_shown_counts() {
    let dir = tempdir().unwrap();
    let black = image::RgbImage::new(16, 16);
    let white = image::RgbImage::from_pixel(16, 16, image::Rgb([255; 3]));
    let path = dir.path().join("a.gif");
    write_gif(&path, &[black, white], &[30, 90]);
    let v = encode_one(&path).unwrap();
    // White for 12 of 16 places: mean 0.75, deviation √(0.75 · 0.25), last − first = 1.
    assert!((v[0] - 0.75).abs() < 1e-5, "{v:?}");
    assert!((v[3] - 0.1875f32.sqrt()).abs() < 1e-5, "{v:?}");
    assert!((v[6] - 1.0).abs() < 1e-5, "{v:?}");
    // One cut in 15 steps; 1.2 seconds.
    assert!((v[DIM - 1] - 1.0 / 15.0).abs() < 1e-6);
    assert!((v[DIM - 2] - (2.2f64.ln() / 601f64.ln()) as f32).abs() < 1e-6);
}

#[test]
fn a_vector_does_not_depend_on_its_batch_mates_and_a_bad_clip_costs_only_itself() {
    let dir = tempdir().unwrap();
    let paths: Vec<_> = (0..10)
        .map(|i| {
            let path = dir.path().join(format!("{i}.gif"));
            let frames: Vec<_> = (0..=i).map(|t| square(3 * t, 2 * i)).collect();
            write_gif(&path, &frames, &vec![10; frames.len()]);
            path
        })
        .collect();
    let missing = dir.path().join("missing");
    let mut all: Vec<_> = paths.iter().map(|p| p.as_path()).collect();
    all.insert(4, &missing);
    let together = encode(&all);
    assert_eq!(together[4].as_ref().unwrap_err().code(), "unreadable");
    for (path, result) in all.iter().zip(&together).filter(|(p, _)| **p != missing) {
        assert_eq!(result.as_ref().unwrap(), &encode_one(path).unwrap(), "{}", path.display());
    }
    assert!(encode(&[]).is_empty());
}

#[test]
fn parameters_are_checked_and_media_must_be_files() {
    let text = |params: &Value| encoder(params).err().unwrap().to_string();
    let typo = text(&json!({ "frame": 3 }));
    assert!(typo.contains("frame-motion") && typo.contains("`frame`"), "{typo}");
    assert!(text(&json!({ "frames": 1 })).contains("2 to 64"));
    assert!(text(&json!({ "frames": 65 })).contains("65"));
    let e = encoder(&json!({ "frames": 2 })).unwrap();
    assert_eq!((e.info().dim, e.info().name.as_str()), (DIM, "frame-motion"));
    let words = RawMedia::Text("a clip".to_owned());
    let wrong = e.encode(&[&words], &Device::default()).remove(0).unwrap_err();
    assert_eq!(wrong.code(), "wrong_media");
}

#[test]
fn a_large_frame_gives_nearly_the_vector_of_a_small_one() {
    let dir = tempdir().unwrap();
    let (small, large) = (dir.path().join("s.png"), dir.path().join("l.png"));
    let frame = square(12, 12);
    frame.save(&small).unwrap();
    let filter = image::imageops::FilterType::Nearest;
    image::imageops::resize(&frame, 960, 640, filter).save(&large).unwrap();
    let c = cosine(&encode_one(&small).unwrap(), &encode_one(&large).unwrap());
    assert!(c > 0.999, "{c}");
}
