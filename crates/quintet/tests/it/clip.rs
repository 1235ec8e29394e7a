//! Both towers of CLIP: texts find images and images texts, as with the reference.

use std::path::{Path, PathBuf};

use quintet::Registries;
use quintet::tensor::{Device, MediaEncoder, RawMedia};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../quintet-image/tests/fixtures/networks/clip")
}

fn encoder(name: &str) -> Box<dyn MediaEncoder> {
    let registries = Registries::new().unwrap();
    let params = json!({ "weights": folder(), "normalise": true });
    let spec = (registries.encoders.get(name).unwrap().build)(&params).unwrap();
    spec.fit(&[], quintet::core::SeedStream::new(0), &Device::flex()).unwrap()
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn texts_lie_where_the_reference_puts_them_and_find_images() {
    let file = std::fs::File::open(folder().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_reader(file).unwrap();
    let texts = expected["texts"].as_array().unwrap();
    let media: Vec<RawMedia> = texts
        .iter()
        .map(|text| RawMedia::Text(text["text"].as_str().unwrap().to_owned()))
        .collect();
    let found = encoder("bert").encode(&media.iter().collect::<Vec<_>>(), &Device::flex());
    let found: Vec<Vec<f32>> = found.into_iter().map(Result::unwrap).collect();
    let vector = |json: &Value| unit(serde_json::from_value(json.clone()).unwrap());
    for (text, found) in texts.iter().zip(&found) {
        let want = vector(&text["joint"]);
        assert_eq!(found.len(), want.len());
        assert!(dot(found, &want) > 0.999_99, "{}", text["text"]);
    }
    // In one space with what the image tower gives (`quintet-image` compares that by itself).
    let images: Vec<Vec<f32>> = expected["joint"].as_array().unwrap().iter().map(vector).collect();
    let nearest = |texts: &[Vec<f32>], image: &[f32]| {
        let score = |text: &Vec<f32>| dot(text, image);
        (0..texts.len()).max_by(|a, b| score(&texts[*a]).total_cmp(&score(&texts[*b]))).unwrap()
    };
    let wanted: Vec<Vec<f32>> = texts.iter().map(|text| vector(&text["joint"])).collect();
    for image in &images {
        assert_eq!(nearest(&found, image), nearest(&wanted, image));
    }
    // A picture goes into the same space.
    let picture = folder().join("../../pixels/photo.jpg");
    let seen = encoder("clip").encode(&[&RawMedia::File(picture)], &Device::flex());
    assert_eq!(seen[0].as_ref().unwrap().len(), found[0].len());
}
