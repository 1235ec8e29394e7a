//! Networks with weights of others, beside what the reference makes of the same images.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{Registry, SeedStream};
use quintet_image::{
    ClipVisionConfig, CnnConfig, ConvNextConfig, Network, ResNetConfig, VggConfig, VggOutput,
    VitConfig, VitLayout,
};
use quintet_tensor::EncoderEntry;
use quintet_tensor::nn::{Activation, Loader, Maps, Params, Tuned, Tuning};
use serde_json::{Value, json};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/networks").join(name)
}

fn read(path: PathBuf) -> Value {
    serde_json::from_reader(std::fs::File::open(path).unwrap()).unwrap()
}

/// The two images that `generate.py` makes, pixel by pixel.
fn images(side: usize, device: &Device) -> Maps {
    let number = |i: usize| (i * 7919 % 1009) as f32 / 504.5 - 1.0;
    let pixels = side * side;
    let at =
        |image: usize, pixel: usize, channel: usize| number((image * 3 + channel) * pixels + pixel);
    let numbers: Vec<f32> = (0..2)
        .flat_map(|image| (0..pixels).flat_map(move |p| (0..3).map(move |c| at(image, p, c))))
        .collect();
    let x = Tensor::from_data(TensorData::new(numbers, [2 * pixels, 3]), device);
    Maps::new(x, [2, side, side])
}

/// What builds a network for images of a side, and what it leaves in the file.
type Build = fn(&Params, &Value, &str, usize) -> Box<dyn Network>;

fn check(name: &str, build: Build, outputs: &[&str], ignored: &[&str]) {
    let expected = read(folder(name).join("expected.json"));
    let config = folder(name).join("config.json");
    let config = if config.is_file() { read(config) } else { Value::Null };
    let side = expected["side"].as_u64().unwrap() as usize;
    for device in quintet_testkit::devices() {
        for output in outputs {
            let loader = Loader::open(&folder(name).join("model.safetensors"), &device).unwrap();
            let network = build(&loader.root(), &config, output, side);
            loader.finish(name, ignored).unwrap();
            let vectors = network.forward(images(side, &device));
            assert_eq!(vectors.dims(), [2, network.dim()], "{name}");
            let found = vectors.into_data().convert::<f32>().try_to_vec::<f32>().unwrap();
            let want: Vec<Vec<f32>> = serde_json::from_value(expected[output].clone()).unwrap();
            for (f, e) in found.iter().zip(want.concat()) {
                let close = (f - e).abs() <= 1e-4 + 1e-3 * e.abs();
                assert!(close, "{name} {output} on {device:?}: {f} for {e}");
            }
        }
    }
}

fn resnet(params: &Params, bottleneck: bool, width: usize) -> Box<dyn Network> {
    Box::new(ResNetConfig { depths: vec![1, 2, 1, 1], width, bottleneck }.init(params))
}

#[test]
fn resnet_gives_the_vectors_of_the_reference() {
    check("resnet_basic", |p, _, _, _| resnet(p, false, 6), &["pool"], &[]);
    check("resnet_bottleneck", |p, _, _, _| resnet(p, true, 4), &["pool"], &[]);
    check("resnet_hf", |p, _, _, _| resnet(p, true, 4), &["pool"], &[]);
}

fn vgg(params: &Params, output: &str, batch_norm: bool) -> Box<dyn Network> {
    let output = match output {
        "fc6" => VggOutput::Fc6,
        "pool" => VggOutput::Pool,
        _ => VggOutput::Fc7,
    };
    let stages = vec![vec![4], vec![6], vec![8, 8], vec![8], vec![8]];
    Box::new(VggConfig { stages, hidden: 12, batch_norm, output }.init(params))
}

#[test]
fn vgg_gives_the_vectors_of_the_reference() {
    let outputs = ["fc7", "fc6", "pool"];
    check("vgg", |p, _, output, _| vgg(p, output, false), &outputs, &["classifier."]);
    check("vgg_bn", |p, _, output, _| vgg(p, output, true), &outputs, &["classifier."]);
}

#[test]
fn vision_transformers_give_the_vectors_of_the_reference() {
    let outputs = ["cls", "mean"];
    let published: Build = |params, json, output, side| {
        let mut config = VitConfig::of_json(json).unwrap();
        config.mean = output == "mean";
        let grid = side / config.patch;
        Box::new(config.init(params, grid))
    };
    check("vit_hf", published, &outputs, &["pooler."]);
    check("dinov2", published, &outputs, &["embeddings.mask_token"]);
    fn other(params: &Params, output: &str, layout: VitLayout) -> Box<dyn Network> {
        let config = VitConfig {
            dim: 64,
            layers: 2,
            heads: 1,
            inner: 96,
            patch: 8,
            grid: 4,
            epsilon: 1e-6,
            activation: Activation::Gelu,
            layout,
            mean: output == "mean",
        };
        Box::new(config.init(params, 4))
    }
    let torchvision: Build = |p, _, output, _| other(p, output, VitLayout::Torchvision);
    check("vit_torchvision", torchvision, &outputs, &["heads."]);
    let timm: Build = |p, _, output, _| other(p, output, VitLayout::Timm);
    check("vit_timm", timm, &outputs, &["head."]);
}

#[test]
fn the_image_tower_of_clip_gives_the_vectors_of_the_reference() {
    let clip: Build = |params, json, output, side| {
        let config = ClipVisionConfig::of_json(json).unwrap();
        Box::new(config.init(params, side / config.patch_size, output == "joint"))
    };
    let other = ["text_model.", "text_projection.", "logit_scale", "visual_projection."];
    check("clip", clip, &["joint", "pooled"], &other);
}

#[test]
fn convnext_gives_the_vectors_of_the_reference() {
    let build: Build = |params, _, _, _| {
        let config = ConvNextConfig { widths: vec![8, 12, 16, 24], depths: vec![1, 2, 1, 1] };
        Box::new(config.init(params))
    };
    check("convnext_torchvision", build, &["pool"], &["classifier.2."]);
    check("convnext_hf", build, &["pool"], &[]);
}

/// VGG-16 as its shapes are published, with small numbers: there is no smaller one by that name.
fn vgg16(path: &Path) {
    let widths = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0];
    let mut arrays: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let (mut number, mut c_in) = (0, 3);
    for width in widths {
        if width == 0 {
            number += 1;
            continue;
        }
        let n = width * c_in * 9;
        let spread = (6.0 / (c_in * 9) as f32).sqrt();
        let weight = (0..n).flat_map(|i| {
            let number = ((i * 7919 % 10_007) as f32 / 5003.5 - 1.0) * spread;
            half::f16::from_f32(number).to_le_bytes()
        });
        arrays.push((
            format!("features.{number}.weight"),
            vec![width, c_in, 3, 3],
            weight.collect(),
        ));
        arrays.push((format!("features.{number}.bias"), vec![width], vec![0; 2 * width]));
        (number, c_in) = (number + 2, width);
    }
    let dtype = safetensors::Dtype::F16;
    let views = arrays.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn entry(name: &str) -> EncoderEntry {
    let mut registry = Registry::new("encoder");
    quintet_image::register(&mut registry).unwrap();
    registry.get(name).unwrap().clone()
}

#[test]
fn networks_keep_the_contract_on_every_device() {
    let dir = tempfile::tempdir().unwrap();
    let vgg = dir.path().join("vgg16.safetensors");
    vgg16(&vgg);
    let cnn = dir.path().join("cnn.safetensors");
    let device = Device::flex().autodiff();
    let config = CnnConfig { channels: vec![4, 8], dim: 5 };
    let loader = Loader::random(SeedStream::new(1), &device);
    let (seed, none) = (SeedStream::new(1), ("cnn", &[][..]));
    let tuned = Tuned::new(loader, |p| config.init(p), Tuning::Frozen, seed, none).unwrap();
    tuned.save(&cnn).unwrap();
    let small = |weights: &Path| json!({ "weights": weights, "resize": 64, "crop": 64 });
    let cases = [
        ("resnet", small(&folder("resnet_hf"))),
        ("convnext", small(&folder("convnext_hf"))),
        ("vit", json!({ "weights": folder("vit_hf") })),
        ("vit", json!({ "weights": folder("dinov2"), "resize": 70, "crop": 56, "output": "mean" })),
        ("vit", json!({ "weights": folder("vit_torchvision"), "resize": 32, "crop": 32 })),
        ("clip", json!({ "weights": folder("clip"), "normalise": true })),
        ("cnn", json!({ "weights": cnn })),
        ("vgg16", json!({ "weights": vgg, "output": "pool", "resize": 32, "crop": 32 })),
    ];
    for device in quintet_testkit::devices() {
        for (name, params) in &cases {
            quintet_testkit::check_encoder_with(&entry(name), params, &device);
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let refusal = |name: &str, params: Value| {
        let spec = (entry(name).build)(&params);
        let built = spec.and_then(|spec| spec.fit(&[], SeedStream::new(0), &Device::flex()));
        built.err().map(|e| e.to_string()).unwrap_or_else(|| panic!("{name}: {params} was taken"))
    };
    let said = refusal("resnet50", json!({ "weights": folder("resnet_bottleneck") }));
    for part in ["model.safetensors", "resnet50", "conv1.weight (expected [64, 3, 7, 7]"] {
        assert!(said.contains(part), "{said}");
    }
    let said = refusal("clip", json!({ "weights": folder("vit_torchvision") }));
    assert!(said.contains("config.json: expected beside the weights"), "{said}");
    let said = refusal("clip", json!({ "weights": folder("vit_hf") }));
    assert!(said.contains("expected clip or clip_vision_model, found Some(\"vit\")"), "{said}");
    let said = refusal("vit", json!({ "weights": folder("vit_hf"), "crop": 30, "resize": 30 }));
    assert!(said.contains("multiple of the patch of 8, found 30"), "{said}");
    let said = refusal("vit", json!({ "weights": folder("vit_hf"), "output": "pool" }));
    assert!(said.contains("output: expected one of cls, mean, found \"pool\""), "{said}");
    let said = refusal("vit", json!({ "weights": folder("no_such") }));
    assert!(said.contains("no_such"), "{said}");
    let hash = "0".repeat(64);
    let said = refusal("vit", json!({ "weights": folder("vit_hf"), "weights_blake3": hash }));
    assert!(said.contains("expected blake3 000"), "{said}");
}
