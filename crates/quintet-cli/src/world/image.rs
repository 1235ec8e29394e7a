//! Pictures of 96×96 pixels: a patchwork of striped tiles, each in the look of one theme.

use std::f32::consts::PI;
use std::io::Cursor;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::{ExtendedColorType, ImageFormat, Rgb, RgbImage};
use anyhow::Result;
use rand::RngExt;

use super::SeedStream;
use super::view::{Lens, allocate};

/// Width and height in pixels.
const SIZE: u32 = 96;
/// Tiles per side.
const TILES: u32 = 6;
/// JPEG quality, 1 to 100.
const QUALITY: u8 = 88;

/// The look of a theme: everything here depends on its place on the scale of looks alone.
struct Look {
    /// Position on the colour wheel, 0 to 1.
    hue: f32,
    /// Direction across the stripes in radians.
    angle: f32,
    /// Width of a light and a dark stripe together, in pixels.
    period: f32,
    /// Which of four small shapes sits on the tile.
    shape: usize,
}

impl Look {
    fn of(place: usize, themes: usize) -> Self {
        let share = place as f32 / themes as f32;
        Self {
            hue: share,
            angle: PI * share,
            period: 5.0 + 2.0 * (place % 3) as f32,
            shape: place % 4,
        }
    }

    /// Whether the shape covers a point given from the centre of its tile, in pixels.
    fn covers(&self, x: f32, y: f32) -> bool {
        let radius = x.hypot(y);
        match self.shape {
            0 => radius < 4.0,
            1 => x.abs() < 3.5 && y.abs() < 3.5,
            2 => y < 4.0 && y > 2.0 * x.abs() - 4.0,
            _ => (2.5..5.0).contains(&radius),
        }
    }
}

/// A picture's bytes and the ending of its file's name, `png` or `jpg`.
pub(super) fn render(
    lens: &Lens,
    view: &[f32],
    item: usize,
    seeds: SeedStream,
) -> Result<(Vec<u8>, &'static str)> {
    let mut rng = seeds.rng("world/image", item as u64);
    let tiles = allocate(view, (TILES * TILES) as usize, &mut rng);
    let light: f32 = rng.random_range(0.75..1.1);
    let grain: f32 = rng.random_range(4.0..14.0);
    let side = SIZE / TILES;
    let mut picture = RgbImage::new(SIZE, SIZE);
    for (n, &theme) in tiles.iter().enumerate() {
        let look = Look::of(lens.look[theme], lens.themes());
        let hue = look.hue + rng.random_range(-0.02..0.02);
        let phase = rng.random_range(0.0..2.0 * PI);
        let (left, top) = (n as u32 % TILES * side, n as u32 / TILES * side);
        for (x, y) in (0..side * side).map(|p| (p % side, p / side)) {
            let (dx, dy) = (x as f32 - side as f32 / 2.0, y as f32 - side as f32 / 2.0);
            let across = dx * look.angle.cos() + dy * look.angle.sin();
            let bright = (2.0 * PI * across / look.period + phase).sin() > 0.0;
            let colour = match (look.covers(dx, dy), bright) {
                (true, _) => hsv(hue, 0.25, 0.95),
                (false, true) => hsv(hue, 0.6, 0.8),
                (false, false) => hsv(hue, 0.85, 0.45),
            };
            let pixel = colour.map(|channel| {
                let value = 255.0 * light * channel + rng.random_range(-grain..grain);
                value.round().clamp(0.0, 255.0) as u8
            });
            picture.put_pixel(left + x, top + y, Rgb(pixel));
        }
    }
    let mut bytes = Vec::new();
    if rng.random::<bool>() {
        picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
        return Ok((bytes, "png"));
    }
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    encoder.encode(picture.as_raw(), SIZE, SIZE, ExtendedColorType::Rgb8)?;
    Ok((bytes, "jpg"))
}

/// Hue (turns), saturation and value to red, green, blue, all 0 to 1.
pub(super) fn hsv(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    [5.0, 3.0, 1.0].map(|n: f32| {
        let k = (n + 6.0 * hue).rem_euclid(6.0);
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_of_the_colour_wheel_are_right() {
        assert_eq!(hsv(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(hsv(1.0, 0.0, 0.5), [0.5, 0.5, 0.5]);
        let green = hsv(1.0 / 3.0, 1.0, 1.0);
        assert!((green[1] - 1.0).abs() < 1e-5 && green[0] < 1e-5 && green[2] < 1e-5, "{green:?}");
    }

    #[test]
    fn pure_themes_have_different_mean_colours() {
        let seeds = SeedStream::new(5);
        let lens = Lens::new(8, 1, seeds);
        let means: Vec<[f32; 3]> = (0..8)
            .map(|theme| {
                let mut view = vec![0.0; 8];
                view[theme] = 1.0;
                let (bytes, _) = render(&lens, &view, theme, seeds).unwrap();
                let picture = ::image::load_from_memory(&bytes).unwrap().to_rgb8();
                assert_eq!(picture.dimensions(), (SIZE, SIZE));
                let mut sum = [0.0f32; 3];
                for pixel in picture.pixels() {
                    (0..3).for_each(|c| sum[c] += f32::from(pixel[c]));
                }
                let total: f32 = sum.iter().sum();
                sum.map(|s| s / total)
            })
            .collect();
        for a in 0..8 {
            for b in 0..a {
                let gap: f32 = (0..3).map(|c| (means[a][c] - means[b][c]).abs()).sum();
                assert!(gap > 0.05, "themes {a} and {b}: {:?} {:?}", means[a], means[b]);
            }
        }
    }
}
