//! Damaged, empty and foreign files: one clear error each.

use std::path::Path;

use tempfile::tempdir;

use crate::support::{encode_one, rightwards, square, webp_bytes, write_folder, write_gif};

fn error_of(path: &Path) -> (String, String) {
    let e = encode_one(path).unwrap_err();
    (e.code().to_owned(), e.to_string())
}

#[test]
fn an_animation_cut_anywhere_is_truncated_and_named() {
    let dir = tempdir().unwrap();
    let gif = dir.path().join("whole.gif");
    write_gif(&gif, &rightwards()[..3], &[10; 3]);
    let cut = dir.path().join("cut.bin");
    for bytes in [std::fs::read(&gif).unwrap(), webp_bytes(&rightwards()[..3])] {
        for len in 0..bytes.len() {
            std::fs::write(&cut, &bytes[..len]).unwrap();
            let (code, text) = error_of(&cut);
            assert_eq!(code, if len == 0 { "empty" } else { "truncated" }, "{len} bytes: {text}");
            assert!(text.contains("cut.bin"), "{text}");
        }
        std::fs::write(&cut, &bytes).unwrap();
        assert!(encode_one(&cut).is_ok());
    }
}

#[test]
fn flipped_bytes_give_an_error_or_a_vector() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.bin");
    let gif = dir.path().join("whole.gif");
    write_gif(&gif, &rightwards()[..2], &[10; 2]);
    for whole in [std::fs::read(&gif).unwrap(), webp_bytes(&rightwards()[..2])] {
        for at in 0..whole.len() {
            for flip in [0xff, 0x80, 0x01] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                std::fs::write(&path, &bytes).unwrap();
                if let Ok(v) = encode_one(&path) {
                    assert!(v.iter().all(|x| x.is_finite()), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn a_cut_frame_in_a_folder_costs_the_clip_and_names_the_frame() {
    let dir = tempdir().unwrap();
    for name in ["frame1.png", "frame1.jpg"] {
        let folder = dir.path().join(name.replace('.', "-"));
        write_folder(&folder, &[square(0, 0)]);
        let frame = folder.join(name);
        square(9, 9).save(&frame).unwrap();
        assert!(encode_one(&folder).is_ok());
        let bytes = std::fs::read(&frame).unwrap();
        for len in [bytes.len() - 20, bytes.len() / 2, 30] {
            std::fs::write(&frame, &bytes[..len]).unwrap();
            let (code, text) = error_of(&folder);
            assert!(text.contains(name), "{text}");
            assert!(code == "truncated" || code == "corrupt", "{name}, {len} bytes: {text}");
        }
    }
}

#[test]
fn folders_without_frames_and_foreign_files_say_what_was_found() {
    let dir = tempdir().unwrap();
    let folder = dir.path().join("frames");
    std::fs::create_dir(&folder).unwrap();
    let (code, text) = error_of(&folder);
    assert!(code == "empty" && text.contains("an empty folder"), "{text}");
    std::fs::write(folder.join("notes.txt"), "no frame").unwrap();
    assert!(error_of(&folder).1.contains("none among 1 entries"));
    let path = dir.path().join("clip");
    for (bytes, word) in [
        (&b"\0\0\0\x18ftypisom\0\0\x02\0"[..], "MP4"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f", "Matroska or WebM"),
        (b"RIFF\x10\0\0\0AVI LIST", "AVI"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "QuickTime"),
        (b"some plain text", "bytes [73, 6f, 6d, 65]"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (code, text) = error_of(&path);
        assert_eq!(code, "unsupported");
        let expected = format!("expected GIF, animated WebP or a folder of frames, found {word}");
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn a_canvas_that_is_too_large_is_refused_before_it_is_allocated() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.gif");
    write_gif(&path, &[square(1, 1)], &[10]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[6..10].copy_from_slice(&[0xff; 4]);
    std::fs::write(&path, &bytes).unwrap();
    let (code, text) = error_of(&path);
    assert_eq!(code, "too_large");
    assert!(text.contains("4294836225") && text.contains("64000000"), "{text}");
    bytes[6..10].copy_from_slice(&[0; 4]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(error_of(&path).0, "corrupt");
}

#[test]
fn a_picture_larger_than_its_frame_is_corrupt() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.webp");
    let mut bytes = webp_bytes(&rightwards()[..2]);
    let frame = bytes.windows(4).position(|w| w == b"ANMF").unwrap();
    bytes[frame + 8 + 6] -= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, text) = error_of(&path);
    assert!(code == "corrupt" && text.contains("47 × 32") && text.contains("48 × 32"), "{text}");
}
