//! Small media made on the spot: good ones, broken ones and odd ones, as real files.

use std::fs;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{DynamicImage, Frame, GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use quintet_core::{Modality, SeedStream};
use quintet_tensor::RawMedia;
use rand::RngExt;
use tempfile::TempDir;

/// A medium that cannot be encoded.
#[derive(Debug, Clone)]
pub struct Broken {
    /// What is wrong with it.
    pub why: &'static str,
    /// The medium.
    pub media: RawMedia,
}

/// The media of one modality. The files live as long as this value.
#[derive(Debug)]
pub struct Samples {
    dir: TempDir,
    /// Every encoder of the modality must encode these, each to a vector of its own.
    pub good: Vec<RawMedia>,
    /// Every encoder must refuse these with an error that names the file.
    pub broken: Vec<Broken>,
    /// Encoders may encode or refuse these, but must answer: cut short at many places, silent,
    /// tiny, very long.
    pub odd: Vec<(String, RawMedia)>,
}

impl Samples {
    /// Writes the samples of `modality` into a fresh temporary folder.
    ///
    /// # Panics
    /// When the folder cannot be written, or for a modality without samples (`place`).
    pub fn of(modality: Modality) -> Self {
        let mut samples =
            Self { dir: TempDir::new().unwrap(), good: vec![], broken: vec![], odd: vec![] };
        match modality {
            Modality::Text => samples.texts(),
            Modality::Image => samples.images(),
            Modality::Audio => samples.sounds(),
            Modality::Video => samples.clips(),
            Modality::Place => panic!("the suite has no samples of places yet"),
        }
        samples
    }

    /// The folder with the files.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> RawMedia {
        fs::write(self.path(name), bytes).unwrap();
        RawMedia::File(self.path(name))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn good_file(&mut self, name: &str) {
        self.good.push(RawMedia::File(self.path(name)));
    }

    fn break_with(&mut self, why: &'static str, media: RawMedia) {
        self.broken.push(Broken { why, media });
    }

    /// What is broken in the same way for all kinds of files, made from the good file `name`.
    fn broken_files(&mut self, name: &str, stranger: &[u8]) {
        let bytes = self.bytes(name);
        let (_, extension) = name.rsplit_once('.').unwrap();
        let named = |stem: &str| format!("{stem}.{extension}");
        let half = self.file(&format!("half-of-{name}"), &bytes[..bytes.len() / 2]);
        self.break_with("a file that is cut in half", half);
        let empty = self.file(&named("empty"), &[]);
        self.break_with("an empty file", empty);
        let missing = RawMedia::File(self.path(&named("missing")));
        self.break_with("a path without a file", missing);
        let stranger = self.file(&named("of-another-kind"), stranger);
        self.break_with("a file of another kind", stranger);
        fs::create_dir(self.path("empty-folder")).unwrap();
        let folder = RawMedia::File(self.path("empty-folder"));
        self.break_with("an empty folder", folder);
        self.break_with("a text instead of a file", RawMedia::Text("not a file".into()));
        for percent in [1, 5, 10, 25, 75, 90, 99] {
            let cut = &bytes[..bytes.len() * percent / 100];
            let media = self.file(&format!("cut-at-{percent}-of-{name}"), cut);
            self.odd.push((format!("{name} cut at {percent} %"), media));
        }
        let mut noisy = bytes.clone();
        for place in (bytes.len() / 3..bytes.len()).step_by(37) {
            noisy[place] ^= 0x5a;
        }
        let media = self.file(&format!("flipped-bits-of-{name}"), &noisy);
        self.odd.push((format!("{name} with flipped bits"), media));
    }

    fn texts(&mut self) {
        const THEMES: [&str; 4] = [
            "space rocket planet orbit star astronaut launch comet galaxy moon crew signal",
            "bread oven flour butter chef kitchen soup spice garlic dinner recipe taste",
            "river forest mountain trail camp tent bear valley snow lake hike wilderness",
            "guitar drum concert stage singer melody band rhythm tour album chorus piano",
        ];
        const COMMON: [&str; 10] =
            ["the", "story", "of", "a", "and", "with", "new", "great", "night", "friends"];
        let mut rng = SeedStream::new(1).rng("texts", 0);
        for i in 0..40 {
            let theme: Vec<&str> = THEMES[i % 4].split(' ').collect();
            let words: Vec<&str> = (0..6 + i % 30)
                .map(|_| {
                    if rng.random_range(0..3) == 0 {
                        COMMON[rng.random_range(0..COMMON.len())]
                    } else {
                        theme[rng.random_range(0..theme.len())]
                    }
                })
                .collect();
            self.good.push(RawMedia::Text(words.join(" ")));
        }
        let accents = "Crème brûlée, garlic soup & “bread”: a chef’s kitchen — dinner!";
        self.good.push(RawMedia::Text(accents.into()));
        self.break_with("an empty text", RawMedia::Text(String::new()));
        self.break_with("a text of blanks", RawMedia::Text(" \n\t ".into()));
        let missing = RawMedia::File(self.path("missing.txt"));
        self.break_with("a path without a file", missing);
        let png = self.file("picture.png", &png_bytes(&noise_image(20, 20, 3)));
        self.break_with("a picture", png);
        for (what, text) in [
            ("one unknown letter", "q".to_owned()),
            ("emoji", "🎸🎹 🥁".to_owned()),
            ("no spaces", "東京の夜は静かな音楽と一緒に".to_owned()),
            ("control characters", "\u{0}\u{1}\u{202e}space\u{7f}".to_owned()),
            ("200,000 letters", "space rocket garlic ".repeat(10_000)),
            ("one word of 200,000 letters", "x".repeat(200_000)),
        ] {
            self.odd.push((what.into(), RawMedia::Text(text)));
        }
    }

    fn images(&mut self) {
        for i in 0..8u32 {
            let image = pattern(24 + 9 * i, 60 - 5 * i, i);
            let (name, format) = if i % 2 == 0 {
                (format!("pattern-{i}.png"), ImageFormat::Png)
            } else {
                (format!("pattern-{i}.jpg"), ImageFormat::Jpeg)
            };
            image.save_with_format(self.path(&name), format).unwrap();
            self.good_file(&name);
        }
        noise_image(64, 48, 1).save(self.path("noise.png")).unwrap();
        self.good_file("noise.png");
        noise_image(48, 64, 2).save(self.path("noise.jpg")).unwrap();
        self.good_file("noise.jpg");
        let gray: GrayImage = DynamicImage::ImageRgb8(pattern(40, 30, 2)).to_luma8();
        gray.save(self.path("gray.png")).unwrap();
        self.good_file("gray.png");
        let alpha = RgbaImage::from_fn(33, 33, |x, y| {
            image::Rgba([200, (7 * x) as u8, (7 * y) as u8, if x > y { 255 } else { 60 }])
        });
        alpha.save(self.path("alpha.png")).unwrap();
        self.good_file("alpha.png");

        self.broken_files("noise.png", &wav_bytes(8_000, &sine(440.0, 8_000, 0.2)));
        let jpeg = self.bytes("noise.jpg");
        let half = self.file("half-of-noise.jpg", &jpeg[..jpeg.len() / 2]);
        self.break_with("a JPEG that is cut in half", half);
        let text = self.file("words.jpg", b"These are words, not a picture.");
        self.break_with("a text in a .jpg file", text);
        for percent in [2, 20, 60, 95] {
            let media =
                self.file(&format!("cut-at-{percent}.jpg"), &jpeg[..jpeg.len() * percent / 100]);
            self.odd.push((format!("JPEG cut at {percent} %"), media));
        }
        for (width, height) in [(1, 1), (1, 300), (3000, 40), (2, 3)] {
            let name = format!("{width}x{height}.png");
            pattern(width, height, 3).save(self.path(&name)).unwrap();
            self.odd.push((name.clone(), RawMedia::File(self.path(&name))));
        }
    }

    fn sounds(&mut self) {
        for (i, (hertz, rate)) in
            [(220.0, 8_000), (440.0, 16_000), (880.0, 22_050), (1_760.0, 44_100)]
                .into_iter()
                .enumerate()
        {
            let name = format!("tone-{i}.wav");
            let sound = sine(hertz, rate, 0.4 + 0.2 * i as f32);
            fs::write(self.path(&name), wav_bytes(rate, &sound)).unwrap();
            self.good_file(&name);
        }
        let mut rng = SeedStream::new(2).rng("noise", 0);
        let noise: Vec<f32> = (0..12_000).map(|_| 0.5 * rng.random_range(-1.0..1.0)).collect();
        let square: Vec<f32> =
            (0..12_000).map(|i| if i / 40 % 2 == 0 { 0.4 } else { -0.4 }).collect();
        let chirp: Vec<f32> = (0..16_000)
            .map(|i| {
                let t = i as f32 / 16_000.0;
                0.6 * (std::f32::consts::TAU * (200.0 + 900.0 * t) * t).sin()
            })
            .collect();
        let pulses: Vec<f32> = sine(600.0, 16_000, 1.0)
            .into_iter()
            .enumerate()
            .map(|(i, v)| if i / 2_000 % 2 == 0 { v } else { 0.0 })
            .collect();
        let int = |bits| (SampleFormat::Int, bits);
        for (name, channels, (format, bits), sound) in [
            ("noise.wav", 1, int(16), &noise),
            ("square.wav", 1, int(8), &square),
            ("chirp.wav", 2, int(16), &chirp),
            ("pulses.wav", 1, (SampleFormat::Float, 32), &pulses),
            ("chirp-24.wav", 1, int(24), &chirp[..9_000].to_vec()),
        ] {
            let spec = WavSpec {
                channels,
                sample_rate: 16_000,
                bits_per_sample: bits,
                sample_format: format,
            };
            fs::write(self.path(name), wav_with(spec, sound)).unwrap();
            self.good_file(name);
        }
        self.broken_files("noise.wav", &png_bytes(&noise_image(30, 30, 4)));
        let none = self.file("no-samples.wav", &wav_bytes(16_000, &[]));
        self.break_with("a sound without samples", none);
        let minute: Vec<f32> = sine(300.0, 8_000, 60.0);
        for (name, rate, sound) in [
            ("one-minute.wav", 8_000, minute),
            ("silence.wav", 16_000, vec![0.0; 8_000]),
            ("ten-samples.wav", 16_000, vec![0.1; 10]),
            ("one-sample.wav", 44_100, vec![0.1]),
        ] {
            let media = self.file(name, &wav_bytes(rate, &sound));
            self.odd.push((name.into(), media));
        }
    }

    fn clips(&mut self) {
        for i in 0..6u32 {
            let frames = moving_square(5 + i as usize, 32 + 4 * i, 24, i);
            let name = format!("clip-{i}.gif");
            fs::write(self.path(&name), gif_bytes(&frames)).unwrap();
            self.good_file(&name);
        }
        let noise: Vec<RgbImage> = (0..6).map(|i| noise_image(32, 32, 10 + i)).collect();
        fs::write(self.path("noise.gif"), gif_bytes(&noise)).unwrap();
        self.good_file("noise.gif");
        fs::create_dir(self.path("frames")).unwrap();
        for (i, frame) in moving_square(6, 40, 30, 9).iter().enumerate() {
            frame.save(self.path(&format!("frames/{i:03}.png"))).unwrap();
        }
        self.good_file("frames");

        self.broken_files("noise.gif", &wav_bytes(8_000, &sine(440.0, 8_000, 0.2)));
        let still = gif_bytes(&[pattern(20, 20, 5)]);
        let long: Vec<RgbImage> = moving_square(200, 16, 16, 3).into_iter().collect();
        for (name, bytes) in [("one-frame.gif", still), ("200-frames.gif", gif_bytes(&long))] {
            let media = self.file(name, &bytes);
            self.odd.push((name.into(), media));
        }
    }
}

fn png_bytes(image: &RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn gif_bytes(frames: &[RgbImage]) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
        encoder.set_repeat(Repeat::Infinite).unwrap();
        for frame in frames {
            let rgba = DynamicImage::ImageRgb8(frame.clone()).to_rgba8();
            encoder.encode_frame(Frame::new(rgba)).unwrap();
        }
    }
    bytes
}

fn sine(hertz: f32, rate: u32, seconds: f32) -> Vec<f32> {
    let step = std::f32::consts::TAU * hertz / rate as f32;
    (0..(seconds * rate as f32) as usize).map(|i| 0.5 * (step * i as f32).sin()).collect()
}

/// One channel, 16 bits.
fn wav_bytes(rate: u32, sound: &[f32]) -> Vec<u8> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    wav_with(spec, sound)
}

/// The sound in every channel.
fn wav_with(spec: WavSpec, sound: &[f32]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
    let full = (1i64 << (spec.bits_per_sample - 1)) as f32 - 1.0;
    for &value in sound {
        for _ in 0..spec.channels {
            match spec.sample_format {
                SampleFormat::Float => writer.write_sample(value).unwrap(),
                SampleFormat::Int => writer.write_sample((value * full) as i32).unwrap(),
            }
        }
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

/// Stripes, checks, rings and gradients in eight colour pairs.
fn pattern(width: u32, height: u32, kind: u32) -> RgbImage {
    let colour = |seed: u32| {
        Rgb([(seed * 67 % 256) as u8, (seed * 151 + 40) as u8, (seed * 211 + 90) as u8])
    };
    let (light, dark) = (colour(kind + 1), colour(kind + 20));
    RgbImage::from_fn(width, height, |x, y| {
        let on = match kind % 4 {
            0 => x / 4 % 2 == 0,
            1 => (x / 6 + y / 6) % 2 == 0,
            2 => (y / (3 + kind)).is_multiple_of(2),
            _ => (x * x + y * y) / 200 % 2 == 0,
        };
        if on { light } else { dark }
    })
}

fn noise_image(width: u32, height: u32, seed: u64) -> RgbImage {
    let mut rng = SeedStream::new(seed).rng("image", 0);
    RgbImage::from_fn(width, height, |_, _| Rgb(std::array::from_fn(|_| rng.random_range(0..=255))))
}

/// A square that crosses the picture, in a direction and colour of its `kind`.
fn moving_square(frames: usize, width: u32, height: u32, kind: u32) -> Vec<RgbImage> {
    let one = |t: u32| {
        let (dx, dy) = [(2, 0), (0, 2), (3, 1), (0, 0), (1, 3)][kind as usize % 5];
        let (left, top) = ((4 + t * dx) % width, (4 + t * dy) % height);
        let square =
            Rgb([255 - (kind * 40) as u8, 60 + (kind * 20) as u8, (kind * 50 % 256) as u8]);
        let ground = Rgb([(kind * 30 % 256) as u8, 20, 80]);
        RgbImage::from_fn(width, height, |x, y| {
            if x.wrapping_sub(left) < 7 && y.wrapping_sub(top) < 7 { square } else { ground }
        })
    };
    (0..frames as u32).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::AnimationDecoder;

    #[test]
    fn the_good_files_are_what_they_say() {
        let images = Samples::of(Modality::Image);
        for media in &images.good {
            let RawMedia::File(path) = media else { panic!("{media:?}") };
            assert!(image::open(path).is_ok(), "{}", path.display());
        }
        let sounds = Samples::of(Modality::Audio);
        for media in &sounds.good {
            let RawMedia::File(path) = media else { panic!("{media:?}") };
            assert!(hound::WavReader::open(path).unwrap().duration() > 1_000);
        }
        let clips = Samples::of(Modality::Video);
        let gif = std::io::Cursor::new(clips.bytes("clip-2.gif"));
        let frames = image::codecs::gif::GifDecoder::new(gif).unwrap().into_frames();
        assert_eq!(frames.collect_frames().unwrap().len(), 7);
    }

    #[test]
    fn every_modality_has_distinct_good_media_and_broken_ones() {
        for modality in [Modality::Text, Modality::Image, Modality::Audio, Modality::Video] {
            let samples = Samples::of(modality);
            for (i, a) in samples.good.iter().enumerate() {
                assert!(samples.good[..i].iter().all(|b| a != b), "{a:?} twice");
            }
            assert!(samples.good.len() >= 8 && samples.broken.len() >= 4);
            assert!(samples.folder().is_dir());
        }
    }
}
