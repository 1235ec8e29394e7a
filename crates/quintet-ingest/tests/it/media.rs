//! Media folders: what is whole, what is cut off, what is missing and what belongs to nobody.

use std::io::Cursor;
use std::path::Path;

use image::codecs::gif::GifEncoder;
use image::{Delay, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use quintet_data::{MediaFile, MediaStatus};
use quintet_ingest::{FaultCode as C, Ingested};

use crate::support::{folder, places, run, write};

fn picture(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, (x * y) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gif(frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for i in 0..frames {
        let image = RgbaImage::from_fn(16, 8, |x, y| {
            Rgba([(x * 16) as u8, (y * 32 + i * 10) as u8, 90, 255])
        });
        let delay = Delay::from_numer_denom_ms(200, 1);
        encoder.encode_frame(Frame::from_parts(image, 0, 0, delay)).unwrap();
    }
    drop(encoder);
    bytes
}

fn wav(samples: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..samples).for_each(|i| writer.write_sample((i % 100) as i16).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn half(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 2]
}

/// Ingests a root with items `a` to `h` and one media folder `m`.
fn media(root: &Path, modality: &str, more: &str) -> Ingested {
    let items: String = ('a'..='h').map(|id| format!("{id}\n")).collect();
    write(root, "items.csv", format!("id\n{items}").as_bytes());
    write(root, "r.csv", b"user,item\nu,a\n");
    let text = format!(
        r#"
        tables.interactions = [{{ path = "r.csv", columns = {{}} }}]
        tables.items = {{ path = "items.csv", columns = {{}} }}
        [[media]]
        modality = "{modality}"
        folder = "m"
        {more}
        "#
    );
    let done = run(root, &text);
    assert_eq!(done.dataset.media.len(), 8);
    done
}

fn status(file: &MediaFile) -> (MediaStatus, &str) {
    let error = file.error.as_deref().unwrap_or("");
    (file.status, error.split(':').next().unwrap())
}

#[test]
fn pictures_of_every_kind_and_every_fault() {
    let dir = folder(&[("m/h.jpg", "<html>not found</html>")]);
    let root = dir.path();
    write(root, "m/a.jpg", &picture(ImageFormat::Jpeg));
    // A name that lies is noted and costs nothing.
    write(root, "m/b.jpg", &picture(ImageFormat::Png));
    write(root, "m/c.jpg", half(&picture(ImageFormat::Jpeg)));
    write(root, "m/d.png", half(&picture(ImageFormat::Png)));
    write(root, "m/e.gif", half(&gif(1)));
    write(root, "m/f.bmp", b"");
    write(root, "m/zz.jpg", &picture(ImageFormat::Jpeg));
    write(root, "m/a.png", &picture(ImageFormat::Png));
    for check in ["full", "header"] {
        let done = media(root, "image", &format!("check = \"{check}\""));
        let seen: Vec<_> = done.dataset.media.iter().map(status).collect();
        use MediaStatus::{Error, Missing, Ok};
        let cut = (Error, "truncated");
        let expected = [
            (Ok, ""),
            (Ok, ""),
            cut,
            cut,
            cut,
            (Error, "empty"),
            (Missing, ""),
            (Error, "wrong_kind"),
        ];
        assert_eq!(seen, expected, "{check}");
        let a = &done.dataset.media[0];
        assert_eq!((a.width, a.height), (Some(40), Some(30)));
        let bytes = fs_err::read(&a.path).unwrap();
        assert_eq!(a.blake3, blake3::hash(&bytes).to_hex().to_string());
        assert_eq!(a.bytes, bytes.len() as u64);
        let report = &done.report.media[0];
        assert_eq!((report.ok, report.missing, report.error), (2, 1, 5));
        assert_eq!((report.unmatched, report.duplicate), (1, 1));
        let mut faults = places(&done.report);
        faults.sort_unstable();
        let error = |file| (C::MediaError, file, None);
        assert_eq!(
            faults,
            [
                error("m/c.jpg"),
                error("m/d.png"),
                error("m/e.gif"),
                error("m/f.bmp"),
                error("m/h.jpg"),
                (C::MediaUnmatched, "m/zz.jpg", None),
                (C::MediaDuplicate, "m/a.png", None),
                (C::MediaExtension, "m/b.jpg", None),
            ]
        );
    }
}

#[test]
fn every_cut_of_a_picture_or_sound_is_found() {
    let dir = folder(&[]);
    let files = [
        ("image", picture(ImageFormat::Jpeg)),
        ("image", picture(ImageFormat::Png)),
        ("image", picture(ImageFormat::WebP)),
        ("image", picture(ImageFormat::Bmp)),
        ("video", gif(3)),
        ("audio", wav(400)),
    ];
    for (modality, bytes) in &files {
        for (i, id) in ('a'..='h').enumerate() {
            // From the whole file down to a few bytes: the last one lacks just one byte.
            let end = if i == 0 { bytes.len() } else { 30 + (bytes.len() - 31) * i / 7 };
            let end = if i == 7 { bytes.len() - 1 } else { end };
            write(dir.path(), &format!("m/{id}"), &bytes[..end]);
        }
        let done = media(dir.path(), modality, "");
        let report = &done.report.media[0];
        let errors: Vec<_> = done.dataset.media.iter().map(|m| &m.error).collect();
        assert_eq!((report.ok, report.error), (1, 7), "{modality}: {errors:?}");
    }
}

#[test]
fn damage_inside_the_data_is_found_by_decoding() {
    let dir = folder(&[]);
    let mut png = picture(ImageFormat::Png);
    let middle = png.len() / 2;
    png[middle] ^= 0xFF;
    write(dir.path(), "m/a.png", &png);
    let done = media(dir.path(), "image", "");
    assert_eq!(status(&done.dataset.media[0]), (MediaStatus::Error, "corrupt"));
    let done = media(dir.path(), "image", "check = \"header\"");
    assert_eq!(done.dataset.media[0].status, MediaStatus::Ok);
}

#[test]
fn a_probe_reads_headers_only() {
    let dir = folder(&[("m/e.jpg", "<html>"), ("m/f.png", "")]);
    let root = dir.path();
    for (id, format) in [
        ("a.jpg", ImageFormat::Jpeg),
        ("b.png", ImageFormat::Png),
        ("c.webp", ImageFormat::WebP),
        ("d.bmp", ImageFormat::Bmp),
    ] {
        let picture = picture(format);
        write(root, &format!("m/{id}"), &picture[..picture.len() - 8]);
    }
    let done = media(root, "image", "check = \"probe\"");
    for file in &done.dataset.media[..4] {
        assert_eq!((file.status, file.width, file.height), (MediaStatus::Ok, Some(40), Some(30)));
        assert_eq!(file.blake3.len(), 64);
    }
    assert_eq!(status(&done.dataset.media[4]), (MediaStatus::Error, "wrong_kind"));
    assert_eq!(status(&done.dataset.media[5]), (MediaStatus::Error, "empty"));
    assert!(done.dataset.media[4].error.as_ref().unwrap().contains("an HTML page"));
    // The same files are cut off for whoever reads them to their end.
    assert_eq!(media(root, "image", "check = \"header\"").report.media[0].ok, 1);
    write(root, "m/g.gif", &gif(4)[..60]);
    let done = media(root, "video", "check = \"probe\"");
    assert_eq!((done.dataset.media[6].width, done.dataset.media[6].frames), (Some(16), None));
}

#[test]
fn sound_has_its_length() {
    let dir = folder(&[("m/c.wav", "RIFF"), ("m/d.wav", "ID3 tag and so on")]);
    write(dir.path(), "m/a.wav", &wav(4_000));
    write(dir.path(), "m/b.wav", &wav(0));
    let done = media(dir.path(), "audio", "pattern = \"{id}.wav\"");
    let files = &done.dataset.media;
    assert_eq!(files[0].seconds, Some(0.5));
    assert_eq!(status(&files[1]), (MediaStatus::Error, "empty"));
    assert_eq!(status(&files[2]), (MediaStatus::Error, "wrong_kind"));
    assert_eq!(status(&files[3]), (MediaStatus::Error, "unsupported"));
    assert!(files[3].error.as_ref().unwrap().contains("MP3"));
}

#[test]
fn films_are_animations_or_folders_of_frames() {
    let dir = folder(&[]);
    let root = dir.path();
    write(root, "m/a.gif", &gif(5));
    for i in 0..3 {
        write(root, &format!("m/b/{i}.png"), &picture(ImageFormat::Png));
        write(root, &format!("m/c/{i}.jpg"), &picture(ImageFormat::Jpeg));
    }
    write(root, "m/c/1.jpg", half(&picture(ImageFormat::Jpeg)));
    fs_err::create_dir(root.join("m/d")).unwrap();
    write(root, "m/e.jpg", &picture(ImageFormat::Jpeg));
    write(root, "m/f.mp4", b"\0\0\0\x20ftypisom\0\0\0\0");
    let done = media(root, "video", "");
    let files = &done.dataset.media;
    assert_eq!((files[0].frames, files[0].seconds), (Some(5), Some(1.0)));
    assert_eq!((files[0].width, files[0].height), (Some(16), Some(8)));
    assert_eq!((files[1].frames, files[1].status), (Some(3), MediaStatus::Ok));
    assert_eq!((files[1].width, files[1].blake3.len()), (Some(40), 64));
    assert_eq!(status(&files[2]), (MediaStatus::Error, "truncated"));
    assert!(files[2].error.as_ref().unwrap().contains("frame 1.jpg"));
    assert_eq!(status(&files[3]), (MediaStatus::Error, "empty"));
    assert_eq!(status(&files[4]), (MediaStatus::Error, "wrong_kind"));
    assert_eq!(status(&files[5]), (MediaStatus::Error, "unsupported"));
    // Another name of a frame is another film.
    fs_err::rename(root.join("m/b/2.png"), root.join("m/b/3.png")).unwrap();
    assert_ne!(media(root, "video", "").dataset.media[1].blake3, files[1].blake3);
}

#[test]
fn text_files_become_the_items_text() {
    let dir = folder(&[("m/a.txt", "\u{feff}Hello\nthere\n"), ("m/b.txt", " \n"), ("m/d.md", "x")]);
    write(dir.path(), "m/c.txt", b"fine\nb\xFFd\n");
    let done = media(dir.path(), "text", "");
    assert_eq!(done.dataset.items[0].text.as_deref(), Some("Hello\nthere"));
    assert_eq!(done.dataset.items[1].text, None);
    assert_eq!(status(&done.dataset.media[1]), (MediaStatus::Error, "empty"));
    let c = done.dataset.media[2].error.as_deref().unwrap();
    assert!(c.starts_with("invalid_utf8") && c.contains("line 2"), "{c}");
    assert_eq!(done.report.count(C::MediaUnmatched), 1);
    assert_eq!(done.report.items_with_text, 1);
}

#[test]
fn a_picture_that_declares_a_huge_size_is_not_decoded() {
    let dir = folder(&[]);
    // A BMP header of 60,000 × 60,000 pixels and nothing behind it.
    let mut bmp = b"BM".to_vec();
    bmp.extend(54u32.to_le_bytes());
    bmp.extend([0; 4]);
    bmp.extend(54u32.to_le_bytes());
    bmp.extend(40u32.to_le_bytes());
    bmp.extend(60_000u32.to_le_bytes());
    bmp.extend(60_000u32.to_le_bytes());
    bmp.extend([1, 0, 24, 0]);
    bmp.resize(54, 0);
    write(dir.path(), "m/a.bmp", &bmp);
    let done = media(dir.path(), "image", "");
    assert_eq!(status(&done.dataset.media[0]), (MediaStatus::Error, "too_large"));
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_root_is_not_followed() {
    let outside = folder(&[("secret.txt", "secret")]);
    let dir = folder(&[("m/b.txt", "b")]);
    let link = dir.path().join("m/a.txt");
    std::os::unix::fs::symlink(outside.path().join("secret.txt"), link).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("m/c.txt")).unwrap();
    let done = media(dir.path(), "text", "");
    assert_eq!(done.dataset.items[0].text, None);
    assert_eq!(status(&done.dataset.media[0]), (MediaStatus::Error, "outside"));
    assert_eq!(status(&done.dataset.media[2]), (MediaStatus::Error, "unreadable"));
}
