//! Any image to a small square of RGB numbers.

use image::{DynamicImage, GenericImageView};

/// A square image, three numbers in 0..=1 a pixel, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Canvas {
    pub(crate) side: usize,
    pub(crate) pixels: Vec<[f32; 3]>,
}

impl Canvas {
    /// Scales `image` to `side` × `side`, without keeping its proportions: a target pixel is the
    /// mean over the area it covers, or interpolates between its neighbours where the image is
    /// the smaller one. Transparent pixels lie on white.
    ///
    /// One pass over the source, memory for the target only, so that no shape of image costs
    /// more than its own pixels.
    ///
    /// # Panics
    /// When the image has no pixel.
    pub(crate) fn of(image: &DynamicImage, side: usize) -> Self {
        let (width, height) = image.dimensions();
        assert!(width > 0 && height > 0, "an image has at least one pixel");
        let columns = Taps::new(width as usize, side);
        let rows = Taps::new(height as usize, side);
        // f64: a target can be the sum of millions of small shares.
        let mut sums = vec![[0f64; 3]; side * side];
        let mut line = vec![[0f64; 3]; side];
        for y in 0..height {
            line.fill([0.0; 3]);
            scan_row(image, y, |x, rgb| {
                let rgb = rgb.map(f64::from);
                for &(target, weight) in columns.of(x) {
                    add(&mut line[target as usize], rgb, weight);
                }
            });
            for &(target, weight) in rows.of(y as usize) {
                let start = target as usize * side;
                for (sum, &rgb) in sums[start..start + side].iter_mut().zip(&line) {
                    add(sum, rgb, weight);
                }
            }
        }
        // Weights sum to 1 up to rounding.
        let pixels = sums.into_iter().map(|p| p.map(|v| (v as f32).clamp(0.0, 1.0))).collect();
        Self { side, pixels }
    }

    pub(crate) fn at(&self, x: usize, y: usize) -> [f32; 3] {
        self.pixels[y * self.side + x]
    }
}

fn add(sum: &mut [f64; 3], rgb: [f64; 3], weight: f64) {
    for (s, v) in sum.iter_mut().zip(rgb) {
        *s += weight * v;
    }
}

fn scan_row(image: &DynamicImage, y: u32, mut visit: impl FnMut(usize, [f32; 3])) {
    let unit = |v: u8| f32::from(v) / 255.0;
    // The common case, without a match a pixel.
    if let DynamicImage::ImageRgb8(rgb) = image {
        let width = rgb.width() as usize * 3;
        let row = &rgb.as_raw()[y as usize * width..][..width];
        for (x, p) in row.chunks_exact(3).enumerate() {
            visit(x, [unit(p[0]), unit(p[1]), unit(p[2])]);
        }
        return;
    }
    for x in 0..image.width() {
        let [r, g, b, alpha] = image.get_pixel(x, y).0.map(unit);
        let on_white = |v: f32| v * alpha + (1.0 - alpha);
        visit(x as usize, [on_white(r), on_white(g), on_white(b)]);
    }
}

/// Which targets a source position feeds along one axis, and how much.
struct Taps {
    starts: Vec<usize>,
    taps: Vec<(u32, f64)>,
}

impl Taps {
    fn new(source: usize, target: usize) -> Self {
        // (source, target, weight)
        let mut all: Vec<(usize, u32, f64)> = Vec::new();
        let scale = source as f64 / target as f64;
        for (t, number) in (0..target).zip(0u32..) {
            if source >= target {
                let (from, to) = (t as f64 * scale, (t + 1) as f64 * scale);
                for s in from.floor() as usize..(to.ceil() as usize).min(source) {
                    let covered = to.min((s + 1) as f64) - from.max(s as f64);
                    if covered > 0.0 {
                        all.push((s, number, covered / scale));
                    }
                }
            } else {
                // Between the centres of two source pixels; constant beyond the outer ones.
                let last = (source - 1) as f64;
                let centre = ((t as f64 + 0.5) * scale - 0.5).clamp(0.0, last);
                let left = centre.floor() as usize;
                let share = centre - left as f64;
                all.push((left, number, 1.0 - share));
                if share > 0.0 {
                    all.push((left + 1, number, share));
                }
            }
        }
        all.sort_unstable_by_key(|&(s, t, _)| (s, t));
        let starts = (0..=source).map(|s| all.partition_point(|&(x, _, _)| x < s)).collect();
        Self { starts, taps: all.into_iter().map(|(_, t, w)| (t, w)).collect() }
    }

    fn of(&self, source: usize) -> &[(u32, f64)] {
        &self.taps[self.starts[source]..self.starts[source + 1]]
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, LumaA, Rgb, RgbImage};

    use super::*;

    fn reds(image: RgbImage, side: usize) -> Vec<f32> {
        let canvas = Canvas::of(&DynamicImage::ImageRgb8(image), side);
        canvas.pixels.iter().map(|p| (p[0] * 255.0 * 64.0).round() / 64.0).collect()
    }

    #[test]
    fn shrinking_takes_the_mean_over_the_covered_area() {
        // 3 pixels to 2: each target covers one pixel and half of the middle one.
        let row = RgbImage::from_fn(3, 2, |x, _| Rgb([[0, 30, 240][x as usize], 0, 0]));
        // (0 + 30/2) / 1.5 = 10 and (30/2 + 240) / 1.5 = 170.
        assert_eq!(reds(row, 2), [10.0, 170.0, 10.0, 170.0]);
    }

    #[test]
    fn growing_interpolates_between_centres() {
        // 2 pixels to 4: centres at −0.25, 0.25, 0.75, 1.25 of the source.
        let row = RgbImage::from_fn(2, 1, |x, _| Rgb([[0, 100][x as usize], 0, 0]));
        assert_eq!(reds(row, 4)[..4], [0.0, 25.0, 75.0, 100.0]);
        let one = RgbImage::from_pixel(1, 1, Rgb([7, 0, 0]));
        assert_eq!(reds(one, 2), [7.0; 4]);
    }

    #[test]
    fn transparency_lies_on_white_and_every_depth_is_read() {
        let at = |image: DynamicImage| Canvas::of(&image, 1).pixels[0];
        let close = |a: [f32; 3], b: f32| a.iter().all(|v| (v - b).abs() < 1e-5);
        let half = image::GrayAlphaImage::from_pixel(2, 2, LumaA([0, 51])); // 20 % black
        assert!(close(at(DynamicImage::ImageLumaA8(half)), 0.8));
        let clear = image::RgbaImage::from_pixel(2, 2, image::Rgba([200, 0, 0, 0]));
        assert!(close(at(DynamicImage::ImageRgba8(clear)), 1.0));
        let grey = GrayImage::from_pixel(3, 1, image::Luma([51]));
        assert!(close(at(DynamicImage::ImageLuma8(grey.clone())), 0.2));
        assert!(close(at(DynamicImage::ImageLuma16(DynamicImage::from(grey).to_luma16())), 0.2));
    }

    #[test]
    fn a_very_long_image_costs_its_own_pixels_only() {
        let long = RgbImage::from_fn(60_000, 1, |x, _| Rgb([(x / 30_000 * 255) as u8, 0, 0]));
        assert_eq!(reds(long, 2), [0.0, 255.0, 0.0, 255.0]);
    }
}
