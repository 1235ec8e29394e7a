//! The pixels of pictures of every kind, beside those of torchvision over Pillow.

use std::path::{Path, PathBuf};

use quintet_image::{Filter, Preprocessing, Resize, open_image};
use quintet_tensor::RawMedia;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pixels")
}

fn way(name: &str) -> Preprocessing {
    let (resize, filter) = match name {
        "resnet" => (Resize::Shortest(48), Filter::Bilinear),
        "clip" => (Resize::Shortest(40), Filter::Bicubic),
        "vit" => (Resize::Square(40), Filter::Bilinear),
        _ => (Resize::Shortest(45), Filter::Lanczos),
    };
    Preprocessing { resize, filter, crop: 40, ..Preprocessing::imagenet(48, 40) }
}

#[test]
fn every_pixel_is_within_one_step_of_the_reference() {
    let mut pictures: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pictures.sort();
    let mut compared = 0;
    let mut far = Vec::new();
    for reference in &pictures {
        let name = reference.file_name().unwrap().to_str().unwrap();
        // NAME.EXTENSION.WAY.png
        let [stem, extension, how, "png"] = name.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        let picture = folder().join(format!("{stem}.{extension}"));
        let image = open_image(&RawMedia::File(picture)).unwrap();
        let found = way(how).prepare(&image).unwrap();
        let expected = open_image(&RawMedia::File(reference.clone())).unwrap().to_rgb8();
        assert_eq!((found.side, found.rgb.len()), (40, expected.as_raw().len()), "{name}");
        let steps = found.rgb.iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b));
        let most = steps.max().unwrap();
        // Six taps of 16 bits each way: the filter that no published network asks for.
        if most > if how == "lanczos" { 2 } else { 1 } {
            far.push(format!("{name}: {most}"));
        }
        compared += 1;
    }
    assert!(compared >= 60, "{compared}");
    assert!(far.is_empty(), "pixels that are further away: {far:?}");
}
