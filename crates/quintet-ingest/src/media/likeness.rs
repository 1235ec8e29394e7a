//! Hashes that stay the same, or nearly so, when a picture is coded anew or a text is set anew.
//!
//! Two hashes are compared by the number of bits in which they differ (Hamming distance).

use std::f64::consts::PI;

use image::DynamicImage;

/// Side of the small picture of which the hash is made.
const SIDE: usize = 32;
/// Frequencies of each direction that count.
const LOW: usize = 8;
/// A picture whose brightness varies less (standard deviation, of 255) shows nothing.
const LEAST_CONTRAST: f64 = 2.0;
/// Words of a text below which it has no hash: titles differ in a word and mean something else.
const LEAST_WORDS: usize = 8;
/// Two hashes that differ in at most so many bits are near.
pub(crate) const NEAR: u32 = 4;
/// Stretches of a hash. `NEAR` differing bits cannot touch all of them (pigeonhole).
const BANDS: u32 = NEAR + 1;

/// The picture as the hash sees it: 32 × 32, whatever its shape.
pub(crate) fn small(picture: &DynamicImage) -> DynamicImage {
    picture.thumbnail_exact(SIDE as u32, SIDE as u32)
}

/// The perceptual hash by low frequencies of the cosine transform (Zauner, "Implementation and
/// benchmarking of perceptual image hash functions", 2010, section 3.2.1): a bit of each of the
/// 8 × 8 lowest, set if it is above their median. `None` for a picture without contrast. Soft
/// gradients have most of their bits from noise, so that a copy of one can be missed.
pub(crate) fn picture_hash(picture: &DynamicImage) -> Option<u64> {
    let small = small(picture).to_rgba8();
    let light: Vec<f64> = small.pixels().map(|p| brightness(p.0)).collect();
    let mean = light.iter().sum::<f64>() / light.len() as f64;
    let variance = light.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / light.len() as f64;
    if variance.sqrt() < LEAST_CONTRAST {
        return None;
    }
    let wave = |k: usize, n: usize| (PI * (2 * n + 1) as f64 * k as f64 / (2 * SIDE) as f64).cos();
    let waves: Vec<f64> = (0..LOW * SIDE).map(|i| wave(i / SIDE, i % SIDE)).collect();
    let dot = |k: usize, values: &mut dyn Iterator<Item = f64>| -> f64 {
        waves[k * SIDE..(k + 1) * SIDE].iter().zip(values).map(|(w, v)| w * v).sum()
    };
    let mut rows = Vec::with_capacity(SIDE * LOW);
    for row in light.chunks_exact(SIDE) {
        rows.extend((0..LOW).map(|k| dot(k, &mut row.iter().copied())));
    }
    let mut low = Vec::with_capacity(LOW * LOW);
    for k in 0..LOW {
        low.extend((0..LOW).map(|l| dot(l, &mut (0..SIDE).map(|y| rows[y * LOW + k]))));
    }
    let mut sorted = low.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = (sorted[LOW * LOW / 2 - 1] + sorted[LOW * LOW / 2]) / 2.0;
    Some(low.iter().fold(0, |hash, v| hash << 1 | u64::from(*v > median)))
}

/// Brightness (ITU-R BT.601) on a white ground.
fn brightness([red, green, blue, alpha]: [u8; 4]) -> f64 {
    let light = 0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue);
    let alpha = f64::from(alpha) / 255.0;
    light * alpha + 255.0 * (1.0 - alpha)
}

/// SimHash over pairs of neighbouring words (Charikar, "Similarity estimation techniques from
/// rounding algorithms", 2002; shingles after Broder, 1997). Words are runs of letters and digits
/// in lower case, so that punctuation, blanks and case make no difference. `None` for a text of
/// fewer than eight words.
pub(crate) fn text_hash(text: &str) -> Option<u64> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    let words: Vec<u64> = words.map(word_hash).collect();
    if words.len() < LEAST_WORDS {
        return None;
    }
    let mut votes = [0i64; 64];
    for pair in words.windows(2) {
        let hash = mixed(pair[0].rotate_left(1) ^ mixed(pair[1]));
        for (bit, vote) in votes.iter_mut().enumerate() {
            *vote += if hash >> bit & 1 == 1 { 1 } else { -1 };
        }
    }
    Some(votes.iter().rev().fold(0, |hash, vote| hash << 1 | u64::from(*vote > 0)))
}

/// FNV-1a, mixed, since its own low bits depend on the last letters too much.
fn word_hash(word: &str) -> u64 {
    let fnv = word.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    mixed(fnv)
}

/// The last step of SplitMix64 (Steele, Lea, Flood, 2014).
fn mixed(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// Sets that grow together.
pub(crate) struct Sets(Vec<u32>);

impl Sets {
    pub(crate) fn new(n: usize) -> Self {
        Self((0..n as u32).collect())
    }

    /// The first member of the set of `x`.
    pub(crate) fn first(&mut self, mut x: usize) -> usize {
        while self.0[x] as usize != x {
            self.0[x] = self.0[self.0[x] as usize];
            x = self.0[x] as usize;
        }
        x
    }

    pub(crate) fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b) as u32;
    }

    /// The sets of two members or more, in the order of their first members.
    pub(crate) fn groups(mut self) -> Vec<Vec<usize>> {
        let n = self.0.len();
        let mut of_first = vec![Vec::new(); n];
        for x in 0..n {
            let first = self.first(x);
            of_first[first].push(x);
        }
        of_first.retain(|members| members.len() > 1);
        of_first
    }
}

/// Positions of hashes that are near, directly or through others.
///
/// Exact: every pair within [`NEAR`] bits is found, because two hashes that differ in four bits
/// agree in one of five bands. Only hashes that agree in a band are compared, about n² / 2¹³ pairs
/// for n hashes without pattern.
pub(crate) fn near_groups(hashes: &[u64]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|i| hashes[*i]);
    let mut sets = Sets::new(hashes.len());
    // Equal hashes stand for one, so that a thousand copies are no million pairs.
    let mut different = Vec::new();
    for run in order.chunk_by(|a, b| hashes[*a] == hashes[*b]) {
        run.iter().for_each(|other| sets.unite(run[0], *other));
        different.push(run[0]);
    }
    for band in 0..BANDS {
        let (start, end) = (64 * band / BANDS, 64 * (band + 1) / BANDS);
        let part = |i: usize| hashes[i] << (64 - end) >> (64 - end + start);
        different.sort_by_key(|i| (part(*i), *i));
        for run in different.chunk_by(|a, b| part(*a) == part(*b)) {
            for (i, a) in run.iter().enumerate() {
                for b in &run[i + 1..] {
                    if (hashes[*a] ^ hashes[*b]).count_ones() <= NEAR {
                        sets.unite(*a, *b);
                    }
                }
            }
        }
    }
    sets.groups()
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    /// A picture of discs whose places and shades depend on `seed`.
    fn picture(seed: u64, width: u32, height: u32) -> DynamicImage {
        let part = |disc: u64, k: u64| mixed(seed * 1000 + disc * 10 + k) as f64 / u64::MAX as f64;
        DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, |x, y| {
            let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let covers = |disc: &u64| {
                let (dx, dy) = (x - part(*disc, 1), y - part(*disc, 2));
                dx * dx + dy * dy < (0.05 + 0.2 * part(*disc, 3)).powi(2)
            };
            let shade = (1..15).find(covers).map_or(90, |disc| (255.0 * part(disc, 4)) as u8);
            Rgba([shade, shade, 255 - shade / 2, 255])
        }))
    }

    fn distance(a: &DynamicImage, b: &DynamicImage) -> u32 {
        (picture_hash(a).unwrap() ^ picture_hash(b).unwrap()).count_ones()
    }

    #[test]
    fn the_same_picture_at_another_size_is_near_and_others_are_not() {
        for seed in 0..20 {
            let (large, small) = (picture(seed, 320, 200), picture(seed, 97, 61));
            assert!(distance(&large, &small) <= NEAR, "seed {seed}");
            assert!(distance(&large, &picture(seed + 100, 320, 200)) > 2 * NEAR, "seed {seed}");
        }
    }

    #[test]
    fn half_of_the_bits_are_set_and_a_blank_page_has_none() {
        assert_eq!(picture_hash(&picture(3, 64, 64)).unwrap().count_ones(), 32);
        let blank = RgbaImage::from_pixel(40, 40, Rgba([200, 10, 30, 255]));
        assert_eq!(picture_hash(&blank.into()), None);
    }

    #[test]
    fn a_transparent_ground_is_white() {
        let (mut clear, mut white) = (RgbaImage::new(64, 64), RgbaImage::new(64, 64));
        for (x, y, pixel) in clear.enumerate_pixels_mut() {
            let inside = x * x / 9 + y < 40;
            *pixel = Rgba(if inside { [9, 9, 9, 255] } else { [0, 0, 0, 0] });
            let ground = if inside { [9, 9, 9, 255] } else { [255; 4] };
            white.put_pixel(x, y, Rgba(ground));
        }
        assert!(distance(&clear.into(), &white.into()) <= 1);
    }

    #[test]
    fn a_text_set_anew_is_the_same_and_another_is_far() {
        let plot = "A cowboy doll is profoundly threatened and jealous when a new spaceman \
                    action figure supplants him as top toy in a boy's bedroom.";
        let anew = plot.to_uppercase().replace(' ', "\n ").replace('.', " !");
        assert_eq!(text_hash(plot), text_hash(&anew));
        let other = "When two kids find and play a magical board game, they release a man \
                     trapped in it for decades and a host of dangers.";
        assert!((text_hash(plot).unwrap() ^ text_hash(other).unwrap()).count_ones() > 12);
        assert_eq!(text_hash("Toy Story (1995)"), None);
    }

    #[test]
    fn near_is_four_bits_and_goes_through_others() {
        let base = 0x0123_4567_89AB_CDEF_u64;
        let hashes = [base, !base, base ^ 0x8000_0100_0001_0001, base ^ 0x8000_0100_0001_0101, !0];
        assert_eq!(near_groups(&hashes), [vec![0, 2, 3]]);
        assert_eq!(near_groups(&[base, base ^ 0x8000_0100_0001_0101]), Vec::<Vec<usize>>::new());
        assert_eq!(near_groups(&[7, 9 << 20, 7]), [vec![0, 2]]);
    }

    proptest! {
        #[test]
        fn the_index_finds_what_comparing_all_pairs_finds(
            seeds in proptest::collection::vec((0u64..6, proptest::collection::vec(0u32..64, 0..6)), 1..40)
        ) {
            let hash = |(seed, flips): &(u64, Vec<u32>)| {
                flips.iter().fold(mixed(seed + 1), |h, bit| h ^ 1 << bit)
            };
            let hashes: Vec<u64> = seeds.iter().map(hash).collect();
            let mut sets = Sets::new(hashes.len());
            for (i, a) in hashes.iter().enumerate() {
                for (j, b) in hashes.iter().enumerate() {
                    if (a ^ b).count_ones() <= NEAR {
                        sets.unite(i, j);
                    }
                }
            }
            prop_assert_eq!(near_groups(&hashes), sets.groups());
        }
    }
}
