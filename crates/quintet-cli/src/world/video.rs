//! Clips of eight frames of 48×48 pixels as an animated GIF: moving blobs, each in the look of
//! one theme.

use std::f32::consts::PI;

use anyhow::Result;
use gif::{Encoder, Frame, Repeat};
use rand::RngExt;

use super::SeedStream;
use super::image::hsv;
use super::view::{Lens, allocate};

/// Width and height in pixels.
const SIZE: u16 = 48;
/// Frames per clip.
const FRAMES: usize = 8;
/// Blobs per clip.
const BLOBS: usize = 9;
/// Radius of a blob in pixels.
const RADIUS: f32 = 5.0;
/// Shades of the dark background, at the front of the palette.
const SHADES: usize = 4;
/// Time between frames in hundredths of a second.
const DELAY: u16 = 8;

/// One moving blob; positions in pixels, the edges of the picture are joined.
struct Blob {
    x: f32,
    y: f32,
    /// Pixels per frame.
    velocity: (f32, f32),
    /// Palette index of its rim; its middle is the next one.
    colour: u8,
}

impl Blob {
    /// Distance from its middle after `frame` frames.
    fn distance(&self, x: usize, y: usize, frame: usize) -> f32 {
        let side = f32::from(SIZE);
        let gap = |from: f32, speed: f32, at: usize| {
            let d = (at as f32 - from - speed * frame as f32).rem_euclid(side);
            d.min(side - d)
        };
        gap(self.x, self.velocity.0, x).hypot(gap(self.y, self.velocity.1, y))
    }
}

/// Background greys, then a rim and a middle colour for every place on the scale of looks.
fn palette(themes: usize) -> Vec<u8> {
    let greys = (0..SHADES).map(|n| [0.08 + 0.04 * n as f32; 3]);
    let colours = (0..themes).flat_map(|place| {
        let hue = place as f32 / themes as f32;
        [hsv(hue, 0.9, 0.7), hsv(hue, 0.6, 0.95)]
    });
    greys.chain(colours).flatten().map(|c| (255.0 * c).round() as u8).collect()
}

/// The bytes of an animated GIF.
pub(super) fn render(lens: &Lens, view: &[f32], item: usize, seeds: SeedStream) -> Result<Vec<u8>> {
    let mut rng = seeds.rng("world/video", item as u64);
    let side = f32::from(SIZE);
    let blobs: Vec<Blob> = allocate(view, BLOBS, &mut rng)
        .into_iter()
        .map(|theme| {
            let place = lens.look[theme];
            let angle = 2.0 * PI * place as f32 / lens.themes() as f32;
            let speed = 1.0 + (place % 3) as f32;
            Blob {
                x: rng.random_range(0.0..side),
                y: rng.random_range(0.0..side),
                velocity: (speed * angle.cos(), speed * angle.sin()),
                colour: (SHADES + 2 * place) as u8,
            }
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, SIZE, SIZE, &palette(lens.themes()))?;
    encoder.set_repeat(Repeat::Infinite)?;
    for frame in 0..FRAMES {
        let n = usize::from(SIZE);
        let mut pixels = Vec::with_capacity(n * n);
        for (x, y) in (0..n * n).map(|p| (p % n, p / n)) {
            let background = rng.random_range(0..SHADES) as u8;
            // The first blob that covers a pixel lies on top of the others.
            let shown = blobs.iter().find_map(|blob| {
                let distance = blob.distance(x, y, frame);
                (distance < RADIUS).then(|| blob.colour + u8::from(distance < 0.6 * RADIUS))
            });
            pixels.push(shown.unwrap_or(background));
        }
        let mut picture = Frame::from_indexed_pixels(SIZE, SIZE, pixels, None);
        picture.delay = DELAY;
        encoder.write_frame(&picture)?;
    }
    drop(encoder);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_has_eight_frames_that_move_in_the_colours_of_its_theme() {
        let seeds = SeedStream::new(5);
        let lens = Lens::new(8, 3, seeds);
        let mut view = vec![0.0; 8];
        view[4] = 1.0;
        let bytes = render(&lens, &view, 0, seeds).unwrap();
        let mut decoder = gif::DecodeOptions::new().read_info(&bytes[..]).unwrap();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            assert_eq!((frame.width, frame.height), (SIZE, SIZE));
            frames.push(frame.buffer.to_vec());
        }
        assert_eq!(frames.len(), FRAMES);
        let colour = (SHADES + 2 * lens.look[4]) as u8;
        let blob = |p: &u8| *p == colour || *p == colour + 1;
        let lit = frames[0].iter().filter(|p| blob(p)).count();
        assert!((200..1200).contains(&lit), "{lit}");
        assert!(frames[0].iter().all(|p| blob(p) || usize::from(*p) < SHADES));
        let moved = frames[0].iter().zip(&frames[7]).filter(|(a, b)| blob(a) != blob(b)).count();
        assert!(moved > 100, "{moved}");
    }
}
