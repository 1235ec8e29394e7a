//! An encoder and a recommender that are trained as one: a small CNN, from nothing, on clicks.
//!
//! Posters have upright or lying stripes of any colour and width; half of the people click the
//! ones, half the others. The loss of BPR (Rendle et al., 2009) over `user · CNN(poster)` goes
//! through the network to its first filter. Its file is then one that `[[encode]]` reads.
//! `cargo run --example train_encoder`
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use anyhow::Context as _;
use burn::tensor::{Device, Tensor, TensorData, activation};
use image::{DynamicImage, Rgb, RgbImage};
use quintet::Registries;
use quintet::core::{Matrix, SeedStream};
use quintet::tensor::nn::{Loader, Maps, Tuned, Tuning};
use quintet::tensor::{
    Adam, AdamConfig, DeviceChoice, Layer, RawMedia, Weight, open_device, select_rows,
    tensor_to_matrix, xavier_uniform,
};
use quintet_image::{CnnConfig, Filter, Network, Preprocessing, Resize};

const N_USERS: usize = 40;
/// Posters that were clicked, and new ones.
const N_KNOWN: usize = 120;
const N_ALL: usize = 160;
const SIDE: usize = 32;
const STEPS: usize = 60;

/// The network and the people, for one optimiser.
struct Both {
    network: Tuned,
    users: Weight,
}

impl Layer for Both {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.network.weights();
        all.push(("users".to_owned(), &self.users));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.network.weights_mut();
        all.push(&mut self.users);
        all
    }
}

/// Even posters have upright stripes, odd ones lying; colour, width and start say nothing.
fn poster(number: usize) -> DynamicImage {
    let (width, start) = (2 + number / 2 % 3, number * 7 % 11);
    let ink = [number * 37 % 200, number * 61 % 200, number * 89 % 200].map(|c| c as u8);
    DynamicImage::ImageRgb8(RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        let along = if number.is_multiple_of(2) { x } else { y } as usize;
        let stripe = ((along + start) / width).is_multiple_of(2);
        Rgb(if stripe { ink } else { [255; 3] })
    }))
}

/// Pixels as maps `[N_ALL, SIDE, SIDE]` of three channels.
fn pixels(preparation: &Preprocessing, device: &Device) -> anyhow::Result<Maps> {
    let mut numbers = Vec::new();
    for number in 0..N_ALL {
        numbers.extend(preparation.normalised(&preparation.prepare(&poster(number))?));
    }
    let x = TensorData::new(numbers, [N_ALL * SIDE * SIDE, 3]);
    Ok(Maps::new(Tensor::from_data(x, device), [N_ALL, SIDE, SIDE]))
}

/// The vectors of posters, `[posters, dim]`, from the weights as they are now.
fn vectors(config: &CnnConfig, both: &Both, posters: &Maps) -> Tensor<2> {
    config.init(&both.network.loader().root()).forward(posters.clone())
}

/// How many of the first twenty new posters are of the kind that the user clicks.
fn right(users: &Matrix, posters: &Matrix) -> f64 {
    let mut right = 0;
    for user in 0..N_USERS {
        let score = |item: &usize| quintet::tensor::dot(users.row(user), posters.row(*item));
        let mut new: Vec<usize> = (N_KNOWN..N_ALL).collect();
        new.sort_by(|a, b| score(b).total_cmp(&score(a)));
        right += new[..20].iter().filter(|item| *item % 2 == user % 2).count();
    }
    right as f64 / (20 * N_USERS) as f64
}

fn main() -> anyhow::Result<()> {
    let device = open_device(DeviceChoice::Auto)?.device.autodiff();
    let preparation = Preprocessing {
        resize: Resize::Shortest(SIDE),
        filter: Filter::Bilinear,
        crop: SIDE,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    let posters = pixels(&preparation, &device)?;
    let config = CnnConfig { channels: vec![8, 16], dim: 8 };
    let (seed, random) = (SeedStream::new(1), Loader::random(SeedStream::new(2), &device));
    let network = Tuned::new(random, |p| config.init(p), Tuning::All, seed, ("cnn", &[]))?;
    let users = xavier_uniform(N_USERS, config.dim, &mut seed.rng("users", 0));
    let mut both = Both { network, users: Weight::new(&users, &device) };
    let host = |t: Tensor<2>| tensor_to_matrix(t.inner()).map_err(anyhow::Error::msg);
    let measure = |both: &Both| {
        anyhow::Ok(right(&host(both.users.tensor())?, &host(vectors(&config, both, &posters))?))
    };
    println!("new posters that are right, before: {:.2} (chance 0.50)", measure(&both)?);

    // Everybody clicks every third poster of their kind; the other kind is what they do not.
    let (mut who, mut clicked, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for (user, nth) in (0..N_USERS).flat_map(|user| (0..N_KNOWN / 6).map(move |nth| (user, nth))) {
        let item = 6 * nth + user % 2 + 2 * (user / 2 % 3);
        who.push(user as u32);
        clicked.push(item as u32);
        other.push((item ^ 1) as u32);
    }
    let mut adam = Adam::new(AdamConfig::new(0.02));
    for step in 1..=STEPS {
        let of_posters = vectors(&config, &both, &posters);
        let rows = |of: &[u32]| select_rows(of_posters.clone(), of);
        let apart = rows(&clicked) - rows(&other);
        let margins = (select_rows(both.users.tensor(), &who) * apart).sum_dim(1);
        let loss = activation::log_sigmoid(margins).mean().neg();
        if step % 20 == 0 {
            println!("step {step}: loss {:.4}", loss.clone().inner().into_scalar::<f32>());
        }
        adam.step(&mut both, &mut loss.backward());
    }
    let after = measure(&both)?;
    println!("after: {after:.2}");
    anyhow::ensure!(after > 0.9, "expected more than 0.9 of new posters right, found {after}");

    // What was learned is a file of weights like any other.
    let folder = std::env::temp_dir().join("quintet-train-encoder");
    std::fs::create_dir_all(&folder)?;
    both.network.save(&folder.join("model.safetensors"))?;
    let file = folder.join("150.png");
    poster(150).save(&file)?;
    let known = Registries::new()?;
    let params = serde_json::json!({ "weights": folder, "resize": SIDE, "crop": SIDE });
    let plain = open_device(DeviceChoice::Auto)?.device;
    let encoder = (known.encoders.get("cnn")?.build)(&params)?.fit(&[], seed, &plain)?;
    let read = encoder.encode(&[&RawMedia::File(file)], &plain).pop().context("one vector")??;
    let trained = host(vectors(&config, &both, &posters))?;
    let apart = read.iter().zip(trained.row(150)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    anyhow::ensure!(apart < 1e-4, "the encoder gives another vector: {apart}");
    println!("in a run file: encoder = \"cnn\", params = {params}");
    Ok(())
}
