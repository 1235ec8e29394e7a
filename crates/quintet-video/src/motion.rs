//! What moves: statistics of the differences of small grey frames.
//!
//! The measures are the simple ones of shot-boundary work (Zhang, Kankanhalli and Smoliar,
//! "Automatic partitioning of full-motion video", Multimedia Systems 1, 1993: pixel differences
//! and cuts), together with centroids for the direction and a spectrum for flicker.

use std::f64::consts::PI;

use image::imageops::FilterType;
use image::{ImageBuffer, Luma, RgbImage};

/// Side of the grey frames, pixels.
const SIDE: usize = 32;
/// Cells a side of the grid of motion.
const GRID: usize = 4;
/// Lowest frequencies of the brightness, periods a clip: 1 to 4.
const FREQUENCIES: usize = 4;
/// A mean difference above this is a cut, of full scale.
const CUT: f64 = 0.25;
/// A mean difference below this has no direction, of full scale.
const STILL: f64 = 1e-4;
/// Width of the motion part of a vector.
pub(crate) const MOTION: usize = 3 + GRID * GRID + 6 + FREQUENCIES + 3;

/// A grey frame of 32 × 32, values 0 to 1.
pub(crate) type Grey = Vec<f32>;

/// Luma (Rec. 709 weights) of a picture, stretched to 32 × 32.
pub(crate) fn grey(picture: &RgbImage) -> Grey {
    let (width, height) = picture.dimensions();
    let luma: ImageBuffer<Luma<f32>, Vec<f32>> = ImageBuffer::from_fn(width, height, |x, y| {
        let [r, g, b] = picture.get_pixel(x, y).0.map(f32::from);
        Luma([(0.2126 * r + 0.7152 * g + 0.0722 * b) / 255.0])
    });
    image::imageops::resize(&luma, SIDE as u32, SIDE as u32, FilterType::Triangle).into_raw()
}

/// The motion part of a vector, `[MOTION]`.
///
/// `greys` are the distinct frames, `slots` the place among them at equal steps of time; `frames`
/// and `seconds` describe the whole clip.
pub(crate) fn motion(greys: &[Grey], slots: &[usize], frames: usize, seconds: f64) -> Vec<f32> {
    let steps: Vec<Step> =
        slots.windows(2).map(|w| Step::between(&greys[w[0]], &greys[w[1]])).collect();
    let n = steps.len().max(1) as f64;
    let amounts: Vec<f64> = steps.iter().map(|s| s.amount).collect();
    let mean = amounts.iter().sum::<f64>() / n;
    let spread = (amounts.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / n).sqrt();
    let most = amounts.iter().copied().fold(0.0, f64::max);
    let mut out = vec![mean.sqrt(), spread.sqrt(), most.sqrt()];
    for cell in 0..GRID * GRID {
        out.push((steps.iter().map(|s| s.grid[cell]).sum::<f64>() / n).sqrt());
    }
    out.extend(places(&steps));
    let (first, last) = (slots.first().copied(), slots.last().copied());
    if let (Some(first), Some(last)) = (first, last) {
        let (a, b) = (standing_out(&greys[first]), standing_out(&greys[last]));
        out.extend([b[0] - a[0], b[1] - a[1]]);
    } else {
        out.extend([0.0, 0.0]);
    }
    let brightness: Vec<f64> = greys.iter().map(average).collect();
    let series: Vec<f64> = slots.iter().map(|&s| brightness[s]).collect();
    out.extend((1..=FREQUENCIES).map(|k| magnitude(&series, k)));
    out.push((frames as f64).ln_1p() / 4_097f64.ln());
    out.push(seconds.ln_1p() / 601f64.ln());
    out.push(amounts.iter().filter(|&&a| a > CUT).count() as f64 / n);
    out.into_iter().map(|v| v as f32).collect()
}

/// The difference of two grey frames.
struct Step {
    /// Mean |difference|.
    amount: f64,
    /// Mean |difference| of each cell, row by row.
    grid: [f64; GRID * GRID],
    /// Where the difference lies, −1 to 1, x then y.
    place: [f64; 2],
}

impl Step {
    fn between(a: &Grey, b: &Grey) -> Self {
        let difference: Vec<f64> = a.iter().zip(b).map(|(x, y)| f64::from((x - y).abs())).collect();
        let cell = SIDE / GRID;
        let mut grid = [0.0; GRID * GRID];
        for (i, d) in difference.iter().enumerate() {
            grid[i / SIDE / cell * GRID + i % SIDE / cell] += d / (cell * cell) as f64;
        }
        let amount = difference.iter().sum::<f64>() / difference.len() as f64;
        Self { amount, grid, place: centroid(&difference) }
    }
}

/// Mean place of the motion, and its way from the first to the last step that moves.
fn places(steps: &[Step]) -> [f64; 4] {
    let moving: Vec<&Step> = steps.iter().filter(|s| s.amount > STILL).collect();
    let (Some(first), Some(last)) = (moving.first(), moving.last()) else { return [0.0; 4] };
    let total: f64 = moving.iter().map(|s| s.amount).sum();
    let mean = |axis: usize| moving.iter().map(|s| s.amount * s.place[axis]).sum::<f64>() / total;
    [mean(0), mean(1), last.place[0] - first.place[0], last.place[1] - first.place[1]]
}

/// The centroid of what differs from the median brightness: the thing, not its background.
fn standing_out(grey: &Grey) -> [f64; 2] {
    let mut sorted = grey.clone();
    sorted.sort_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2];
    let weights: Vec<f64> = grey.iter().map(|g| f64::from((g - median).abs())).collect();
    centroid(&weights)
}

/// The centroid of weights over a frame, −1 to 1 (left to right, top to bottom); the middle when
/// there is no weight.
fn centroid(weights: &[f64]) -> [f64; 2] {
    let total: f64 = weights.iter().sum();
    if total < STILL {
        return [0.0, 0.0];
    }
    let coordinate = |i: usize| (2.0 * i as f64 + 1.0) / SIDE as f64 - 1.0;
    let sum = |place: fn(usize) -> usize| {
        weights.iter().enumerate().map(|(i, w)| w * coordinate(place(i))).sum::<f64>() / total
    };
    [sum(|i| i % SIDE), sum(|i| i / SIDE)]
}

fn average(grey: &Grey) -> f64 {
    grey.iter().map(|&g| f64::from(g)).sum::<f64>() / grey.len() as f64
}

/// Amplitude of `k` periods in a series; 0 where the series is too short to show them.
fn magnitude(series: &[f64], k: usize) -> f64 {
    let n = series.len();
    if 2 * k >= n {
        return 0.0;
    }
    let mean = series.iter().sum::<f64>() / n as f64;
    let (mut re, mut im) = (0.0, 0.0);
    for (t, v) in series.iter().enumerate() {
        let angle = 2.0 * PI * (k * t) as f64 / n as f64;
        re += (v - mean) * angle.cos();
        im -= (v - mean) * angle.sin();
    }
    2.0 / n as f64 * re.hypot(im)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black with one white pixel.
    fn dot(x: usize, y: usize) -> Grey {
        let mut g = vec![0.0; SIDE * SIDE];
        g[y * SIDE + x] = 1.0;
        g
    }

    #[test]
    fn one_frame_has_no_motion() {
        let v = motion(&[dot(3, 4)], &[0; 16], 1, 0.0);
        assert_eq!(v.len(), MOTION);
        let described = MOTION - 3;
        assert!(v[..described].iter().all(|&x| x == 0.0), "{v:?}");
        assert!((v[described] - (2f64.ln() / 4_097f64.ln()) as f32).abs() < 1e-6);
        assert_eq!(v[described + 1..], [0.0, 0.0]);
    }

    #[test]
    fn a_step_by_hand() {
        // Two pixels of 1,024 change by 1: mean 2 / 1,024; each cell has 64 pixels.
        let v = motion(&[dot(0, 0), dot(31, 0)], &[0, 1], 2, 0.2);
        assert!((v[0] - (2.0f32 / 1_024.0).sqrt()).abs() < 1e-6);
        assert_eq!((v[1], v[2]), (0.0, v[0]));
        assert!((v[3] - 0.125).abs() < 1e-6 && v[4] == 0.0 && (v[6] - 0.125).abs() < 1e-6);
        // The motion lies in the middle of the top row; the dot goes from −31/32 to 31/32.
        assert!((v[19]).abs() < 1e-6 && (v[20] + 31.0 / 32.0).abs() < 1e-6, "{v:?}");
        assert_eq!((v[21], v[22]), (0.0, 0.0), "one step has no way");
        assert!((v[23] - 62.0 / 32.0).abs() < 1e-6 && v[24] == 0.0);
    }

    #[test]
    fn flicker_shows_at_its_frequency() {
        // Brightness 0.5 + 0.5 cos(2π · 2 t / 16): amplitude 0.5 at two periods.
        let greys: Vec<Grey> = (0..16)
            .map(|t| vec![0.5 + 0.5 * (2.0 * PI * 2.0 * t as f64 / 16.0).cos() as f32; 1_024])
            .collect();
        let slots: Vec<usize> = (0..16).collect();
        let v = motion(&greys, &slots, 16, 1.6);
        let f = &v[25..29];
        assert!((f[1] - 0.5).abs() < 1e-3 && f[0] < 1e-3 && f[2] < 1e-3 && f[3] < 1e-3, "{f:?}");
    }

    #[test]
    fn a_cut_is_counted() {
        let greys = [vec![0.0; 1_024], vec![1.0; 1_024]];
        let v = motion(&greys, &[0, 0, 1, 1, 1], 5, 0.5);
        assert_eq!(v[MOTION - 1], 0.25);
        assert_eq!(v[2], 1.0);
    }
}
