//! The three kinds of histogram and statistic behind [`crate::ColourGradient`].

use crate::canvas::Canvas;

/// Hue bins, centred at multiples of 45°.
pub(crate) const HUES: usize = 8;

/// Bins of gradient orientation over 180°, centred at multiples of 20° (Dalal & Triggs 2005,
/// section 6.3: 9 bins, the sign of the gradient ignored).
pub(crate) const ORIENTATIONS: usize = 9;

/// Cells a side of the image for gradients.
pub(crate) const CELLS: usize = 4;

/// Cells a side of a block.
const BLOCK: usize = 2;

/// Numbers of [`gradients`].
pub(crate) const GRADIENTS: usize = CELLS * CELLS * ORIENTATIONS;

/// Clip of a normalised block (Dalal & Triggs 2005, section 6.4: L2-Hys).
const CLIP: f32 = 0.2;

/// Block norm at which contrast counts half: weaker texture, such as the noise of a plain
/// background, fades out instead of being scaled up to full strength.
const EPSILON: f32 = 0.02;

/// A grid of levels in colour space, filled by linear interpolation.
///
/// The axes are those of HSV, with chroma (`max − min`) in the place of saturation: grey has no
/// hue and near-black no saturation, so both would scatter at random. Chroma level 0 is not
/// divided by hue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColourBins {
    /// Levels of chroma above 0, at equal distances up to 1.
    pub(crate) chromas: usize,
    /// Levels of value, at equal distances from 0 to 1; at least 2.
    pub(crate) values: usize,
}

impl ColourBins {
    /// Number of bins: first the greys by value, then by chroma, hue and value.
    pub(crate) const fn len(self) -> usize {
        self.values + self.chromas * HUES * self.values
    }

    /// The share of each bin in the pixels of `region`; the shares sum to 1.
    ///
    /// # Panics
    /// When the region is empty.
    pub(crate) fn shares(self, canvas: &Canvas, region: Region) -> Vec<f32> {
        let mut sums = vec![0f32; self.len()];
        for y in region.y0..region.y1 {
            for x in region.x0..region.x1 {
                self.vote(canvas.at(x, y), &mut sums);
            }
        }
        let n = (region.y1 - region.y0) * (region.x1 - region.x0);
        assert!(n > 0, "a region has pixels");
        sums.iter_mut().for_each(|v| *v /= n as f32);
        sums
    }

    fn vote(self, rgb: [f32; 3], sums: &mut [f32]) {
        let [r, g, b] = rgb;
        let value = r.max(g).max(b);
        let chroma = value - r.min(g).min(b);
        let hue = if chroma > 0.0 { hue(rgb, value, chroma) } else { 0.0 };
        for (c, chroma_share) in between_levels(chroma, self.chromas + 1) {
            for (v, value_share) in between_levels(value, self.values) {
                let share = chroma_share * value_share;
                if c == 0 {
                    sums[v] += share;
                    continue;
                }
                for (h, hue_share) in around_circle(hue, HUES) {
                    sums[self.values + ((c - 1) * HUES + h) * self.values + v] += share * hue_share;
                }
            }
        }
    }
}

/// Hue of a pixel with chroma, as a share of the circle, red at 0.
fn hue([r, g, b]: [f32; 3], value: f32, chroma: f32) -> f32 {
    let sixths = if value == r {
        ((g - b) / chroma).rem_euclid(6.0)
    } else if value == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    sixths / 6.0
}

/// The two levels next to `x` in 0..=1 and their shares; level `k` is at `k / (levels − 1)`.
fn between_levels(x: f32, levels: usize) -> [(usize, f32); 2] {
    let position = x.clamp(0.0, 1.0) * (levels - 1) as f32;
    let low = (position.floor() as usize).min(levels - 2);
    let share = position - low as f32;
    [(low, 1.0 - share), (low + 1, share)]
}

/// The two bins next to `x`, a share of a full turn, and their shares; bin `k` is centred at
/// `k / bins`.
fn around_circle(x: f32, bins: usize) -> [(usize, f32); 2] {
    let position = x.rem_euclid(1.0) * bins as f32;
    let low = position.floor();
    let share = position - low;
    [(low as usize % bins, 1.0 - share), ((low as usize + 1) % bins, share)]
}

/// A rectangle of pixels, the upper bounds not included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) x0: usize,
    pub(crate) x1: usize,
    pub(crate) y0: usize,
    pub(crate) y1: usize,
}

impl Region {
    /// Cell (`column`, `row`) of a grid of `n` × `n`.
    pub(crate) fn cell(side: usize, n: usize, column: usize, row: usize) -> Self {
        let edge = |k: usize| k * side / n;
        Self { x0: edge(column), x1: edge(column + 1), y0: edge(row), y1: edge(row + 1) }
    }
}

/// Mean of red, green, blue, then their standard deviations.
pub(crate) fn moments(canvas: &Canvas) -> [f32; 6] {
    let n = canvas.pixels.len() as f64;
    let mut out = [0f32; 6];
    for channel in 0..3 {
        let numbers = || canvas.pixels.iter().map(|p| f64::from(p[channel]));
        let mean = numbers().sum::<f64>() / n;
        let variance = numbers().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        out[channel] = mean as f32;
        out[3 + channel] = variance.sqrt() as f32;
    }
    out
}

/// Histograms of oriented gradients, block by block, in a block cell by cell, row-major.
///
/// Paper: Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
/// Kept: centred differences, the colour channel with the strongest gradient, votes by
/// magnitude into 9 bins with interpolation between two of them, L2-Hys blocks. Differences:
/// 4 × 4 cells over the whole image and 4 blocks of 2 × 2 that do not overlap, since the vector
/// describes a whole picture and must stay small; no interpolation between cells; after the clip
/// a block gets back the length it had before, so that weak texture stays weak.
pub(crate) fn gradients(canvas: &Canvas) -> Vec<f32> {
    let mut out = Vec::with_capacity(GRADIENTS);
    let blocks = CELLS / BLOCK;
    for block in 0..blocks * blocks {
        let start = out.len();
        for cell in 0..BLOCK * BLOCK {
            let column = block % blocks * BLOCK + cell % BLOCK;
            let row = block / blocks * BLOCK + cell / BLOCK;
            out.extend(cell_gradients(canvas, Region::cell(canvas.side, CELLS, column, row)));
        }
        l2_hys(&mut out[start..]);
    }
    out
}

/// Mean gradient magnitude a pixel, by orientation.
fn cell_gradients(canvas: &Canvas, region: Region) -> [f32; ORIENTATIONS] {
    let mut sums = [0f32; ORIENTATIONS];
    let last = canvas.side - 1;
    for y in region.y0..region.y1 {
        for x in region.x0..region.x1 {
            // At the border the pixel itself stands in for the missing neighbour.
            let (left, right) =
                (canvas.at(x.saturating_sub(1), y), canvas.at((x + 1).min(last), y));
            let (above, below) =
                (canvas.at(x, y.saturating_sub(1)), canvas.at(x, (y + 1).min(last)));
            let (mut strongest, mut angle) = (0f32, 0f32);
            for c in 0..3 {
                let (dx, dy) = (right[c] - left[c], below[c] - above[c]);
                let magnitude = (dx * dx + dy * dy).sqrt();
                if magnitude > strongest {
                    (strongest, angle) = (magnitude, dy.atan2(dx));
                }
            }
            if strongest > 0.0 {
                let half_turn = angle / std::f32::consts::PI;
                for (bin, share) in around_circle(half_turn, ORIENTATIONS) {
                    sums[bin] += strongest * share;
                }
            }
        }
    }
    let n = (region.x1 - region.x0) * (region.y1 - region.y0);
    sums.map(|v| v / n as f32)
}

fn l2_hys(block: &mut [f32]) {
    let length = |block: &[f32]| block.iter().map(|v| v * v).sum::<f32>().sqrt();
    let raw = length(block);
    if raw == 0.0 {
        return;
    }
    let scale = 1.0 / (raw * raw + EPSILON * EPSILON).sqrt();
    let before = raw * scale;
    block.iter_mut().for_each(|v| *v = (*v * scale).min(CLIP));
    let back = before / length(block);
    block.iter_mut().for_each(|v| *v *= back);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas(side: usize, f: impl Fn(usize, usize) -> [f32; 3]) -> Canvas {
        let pixels = (0..side * side).map(|i| f(i % side, i / side)).collect();
        Canvas { side, pixels }
    }

    fn all(canvas: &Canvas) -> Region {
        Region::cell(canvas.side, 1, 0, 0)
    }

    const FINE: ColourBins = ColourBins { chromas: 2, values: 3 };

    #[test]
    fn pure_colours_fall_into_one_bin_each() {
        // (colour, bin): greys by value 0..3; then chroma level 1 (24 bins), then level 2, by hue
        // in steps of 45°, by value.
        let full = |hue: usize| 3 + (HUES + hue) * 3 + 2;
        let cases = [
            ([0.0, 0.0, 0.0], 0),
            ([0.5, 0.5, 0.5], 1),
            ([1.0, 1.0, 1.0], 2),
            ([1.0, 0.0, 0.0], full(0)), // red, 0°
            ([0.0, 1.0, 1.0], full(4)), // cyan, 180°
        ];
        for (colour, bin) in cases {
            let image = canvas(4, |_, _| colour);
            let shares = FINE.shares(&image, all(&image));
            assert_eq!(shares.len(), 51);
            for (i, share) in shares.into_iter().enumerate() {
                let expected = f32::from(u8::from(i == bin));
                assert!((share - expected).abs() < 1e-6, "{colour:?} bin {i}: {share}");
            }
        }
    }

    #[test]
    fn blue_is_shared_by_the_two_hues_around_240_degrees() {
        let image = canvas(4, |_, _| [0.0, 0.0, 1.0]);
        let shares = FINE.shares(&image, all(&image));
        // 240° / 45° = 5⅓: two thirds to 225°, one third to 270°.
        let full = |hue: usize| 3 + (HUES + hue) * 3 + 2;
        assert!((shares[full(5)] - 2.0 / 3.0).abs() < 1e-5);
        assert!((shares[full(6)] - 1.0 / 3.0).abs() < 1e-5);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn moments_worked_by_hand() {
        // Half of the pixels black, half (1, 0.5, 0).
        let image = canvas(2, |x, _| if x == 0 { [0.0; 3] } else { [1.0, 0.5, 0.0] });
        assert_eq!(moments(&image), [0.5, 0.25, 0.0, 0.5, 0.25, 0.0]);
    }

    /// The strongest orientation bins of the first cell, strongest first.
    fn peak(f: impl Fn(usize, usize) -> [f32; 3]) -> Vec<usize> {
        let cell = cell_gradients(&canvas(64, f), Region { x0: 8, x1: 24, y0: 8, y1: 24 });
        let mut bins: Vec<usize> = (0..ORIENTATIONS).collect();
        bins.sort_by(|&a, &b| cell[b].total_cmp(&cell[a]).then(a.cmp(&b)));
        bins
    }

    #[test]
    fn stripes_peak_at_their_orientation() {
        let wave = |t: f32| [0.5 + 0.4 * (t * 0.7).sin(); 3];
        // Vertical stripes have horizontal gradients: 0°, bin 0.
        assert_eq!(peak(|x, _| wave(x as f32))[0], 0);
        // Horizontal stripes: 90°, half between bin 4 (80°) and bin 5 (100°).
        let mut both = peak(|_, y| wave(y as f32))[..2].to_vec();
        both.sort_unstable();
        assert_eq!(both, [4, 5]);
        // Along 60°, bin 3; along −40° = 140°, bin 7.
        let along = |degrees: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            peak(move |x, y| wave(x as f32 * cos + y as f32 * sin))[0]
        };
        assert_eq!(along(60.0), 3);
        assert_eq!(along(-40.0), 7);
    }

    #[test]
    fn a_plain_image_has_no_gradient_and_faint_noise_a_faint_one() {
        assert!(gradients(&canvas(64, |_, _| [0.3, 0.6, 0.1])).iter().all(|&v| v == 0.0));
        let strength = |contrast: f32| {
            let checker = |x: usize, y: usize| [0.5 + contrast * ((x / 2 + y / 2) % 2) as f32; 3];
            gradients(&canvas(64, checker)).iter().map(|v| v * v).sum::<f32>().sqrt()
        };
        // Four blocks of length 1 at most.
        assert!(strength(0.5) > 1.9 && strength(0.5) <= 2.0001, "{}", strength(0.5));
        assert!(strength(0.002) < 0.3, "{}", strength(0.002));
    }
}
