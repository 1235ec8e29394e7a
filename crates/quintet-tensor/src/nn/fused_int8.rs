//! Products of 8-bit whole numbers, for networks that are read with `precision = "int8"`.
//!
//! A weight is kept as one scale a column and whole numbers of -127 to 127; the rows of the other
//! operand are brought to the same form as they come, each with its own scale. Their product is
//! exact, so a row's result is the same on every processor, whatever stands beside it. What is
//! lost is lost by rounding to 8 bits (Jacob et al., "Quantization and Training of Neural
//! Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018; rows scaled as they come
//! as in Dettmers et al., "LLM.int8()", 2022).

use std::cell::RefCell;

/// Places of the inner axis that one instruction multiplies and adds.
const TAPS: usize = 4;
/// Columns of a panel: three vectors of 16.
const WIDTH: usize = 48;
/// Rows at a time.
const ROWS: usize = 8;

/// Four places of the inner axis of each column of a panel.
type Line = [[i8; TAPS]; WIDTH];
/// Four places of the inner axis of some rows, 128 added to each number.
type Group = [[u8; TAPS]; ROWS];

thread_local! {
    /// The rounded rows and their scales; kept for the next product.
    static ROUNDED: RefCell<(Vec<Group>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// A matrix of weights in 8 bits.
#[derive(Debug)]
pub(crate) struct PackedInt8 {
    /// For every panel of columns a line for each four places of the inner axis.
    lines: Vec<Line>,
    /// What a whole number of a column stands for.
    scales: Vec<f32>,
    /// 128 times the sum of a column, which the rows' 128 add.
    offsets: Vec<i32>,
    d_in: usize,
    d_out: usize,
}

impl PackedInt8 {
    /// From the numbers of `[d_out, d_in]`.
    pub(super) fn new(weight: &[f32], [d_out, d_in]: [usize; 2]) -> Self {
        let groups = d_in.div_ceil(TAPS);
        let mut lines = vec![[[0; TAPS]; WIDTH]; d_out.div_ceil(WIDTH) * groups];
        let (mut scales, mut offsets) = (Vec::with_capacity(d_out), Vec::with_capacity(d_out));
        for (column, numbers) in weight.chunks_exact(d_in.max(1)).enumerate() {
            let scale = scale_of(numbers);
            let lines = &mut lines[column / WIDTH * groups..][..groups];
            let mut sum = 0;
            for (line, numbers) in lines.iter_mut().zip(numbers.chunks(TAPS)) {
                for (to, number) in line[column % WIDTH].iter_mut().zip(numbers) {
                    *to = (number / scale).round() as i8;
                    sum += i32::from(*to);
                }
            }
            scales.push(scale);
            offsets.push(128 * sum);
        }
        Self { lines, scales, offsets, d_in, d_out }
    }

    /// With every column multiplied by a number.
    pub(super) fn scaled(&self, by: &[f32]) -> Self {
        let scales = self.scales.iter().zip(by).map(|(scale, by)| scale * by).collect();
        let (lines, offsets) = (self.lines.clone(), self.offsets.clone());
        Self { lines, scales, offsets, d_in: self.d_in, d_out: self.d_out }
    }

    /// `out = x · Wᵀ`, `[rows, d_in] → [rows, d_out]`.
    pub(super) fn product(&self, x: &[f32], out: &mut [f32]) {
        ROUNDED.with_borrow_mut(|(groups, scales)| {
            self.round(x, groups, scales);
            let width = self.d_in.div_ceil(TAPS);
            let mut tile = [[0; WIDTH]; ROWS];
            for (panel, lines) in self.lines.chunks_exact(width).enumerate() {
                let first = panel * WIDTH;
                let used = WIDTH.min(self.d_out - first);
                for (block, groups) in groups.chunks_exact(width).enumerate() {
                    sums(groups, lines, &mut tile);
                    let lines = out[block * ROWS * self.d_out..].chunks_exact_mut(self.d_out);
                    for ((line, sums), row) in lines.zip(&tile).zip(&scales[block * ROWS..]) {
                        let line = &mut line[first..first + used];
                        let columns = self.scales[first..].iter().zip(&self.offsets[first..]);
                        for ((y, sum), (scale, offset)) in line.iter_mut().zip(sums).zip(columns) {
                            *y = (sum - offset) as f32 * (row * scale);
                        }
                    }
                }
            }
        });
    }

    /// Rows as whole numbers, in blocks, with what each stands for.
    fn round(&self, x: &[f32], groups: &mut Vec<Group>, scales: &mut Vec<f32>) {
        let width = self.d_in.div_ceil(TAPS);
        let blocks = (x.len() / self.d_in).div_ceil(ROWS);
        groups.clear();
        groups.resize(blocks * width, [[128; TAPS]; ROWS]);
        scales.clear();
        for (at, row) in x.chunks_exact(self.d_in).enumerate() {
            let scale = scale_of(row);
            let groups = &mut groups[at / ROWS * width..][..width];
            let by = 1.0 / scale;
            for (group, numbers) in groups.iter_mut().zip(row.chunks(TAPS)) {
                for (to, number) in group[at % ROWS].iter_mut().zip(numbers) {
                    // To the nearest: 0.5 more and cut off, of a number above 0.
                    *to = (number * by + 128.5) as u8;
                }
            }
            scales.push(scale);
        }
    }
}

/// What 1 of 127 stands for; never 0.
fn scale_of(numbers: &[f32]) -> f32 {
    let most = numbers.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    if most > 0.0 { most / 127.0 } else { 1.0 }
}

/// The sums of products of some rows and the columns of a panel.
fn sums(groups: &[Group], lines: &[Line], tile: &mut [[i32; WIDTH]; ROWS]) {
    #[cfg(target_arch = "x86_64")]
    if vector::can() {
        return vector::sums(groups, lines, tile);
    }
    plain(groups, lines, tile);
}

/// The same on any processor.
fn plain(groups: &[Group], lines: &[Line], tile: &mut [[i32; WIDTH]; ROWS]) {
    *tile = [[0; WIDTH]; ROWS];
    for (group, line) in groups.iter().zip(lines) {
        for (sums, row) in tile.iter_mut().zip(group) {
            for (sum, column) in sums.iter_mut().zip(line) {
                let products = row.iter().zip(column).map(|(x, w)| i32::from(*x) * i32::from(*w));
                *sum += products.sum::<i32>();
            }
        }
    }
}

/// The same with the instructions made for it.
#[cfg(target_arch = "x86_64")]
mod vector {
    use std::arch::x86_64::{
        __m512i, _mm512_dpbusd_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    };
    use std::sync::OnceLock;

    use super::{Group, Line, ROWS, WIDTH};

    /// Numbers of 32 bits in a vector.
    const LANES: usize = 16;
    const VECTORS: usize = WIDTH / LANES;

    /// Whether this processor has them.
    pub(super) fn can() -> bool {
        static CAN: OnceLock<bool> = OnceLock::new();
        *CAN.get_or_init(|| {
            std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vnni")
        })
    }

    /// # Panics
    /// Where [`can`] is false.
    #[allow(unsafe_code)]
    pub(super) fn sums(groups: &[Group], lines: &[Line], tile: &mut [[i32; WIDTH]; ROWS]) {
        assert!(can(), "a processor with AVX-512 VNNI");
        // SAFETY: the processor has the instructions that the function is compiled for, which is
        // all that it asks for.
        unsafe { with_vnni(groups, lines, tile) }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn with_vnni(groups: &[Group], lines: &[Line], tile: &mut [[i32; WIDTH]; ROWS]) {
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; ROWS];
        for (group, line) in groups.iter().zip(lines) {
            let columns: [__m512i; VECTORS] = bytemuck::cast(*line);
            for (sums, row) in sums.iter_mut().zip(group) {
                let row = _mm512_set1_epi32(i32::from_le_bytes(*row));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbusd_epi32(*sum, row, column);
                }
            }
        }
        for (out, sums) in tile.iter_mut().zip(sums) {
            *out = bytemuck::cast(sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use rand::RngExt;

    #[test]
    fn products_are_near_those_of_whole_precision_and_exact_in_themselves() {
        let mut rng = SeedStream::new(8).rng("int8", 0);
        for (n, d_in, d_out) in [(1, 1, 1), (9, 5, 7), (8, 384, 48), (17, 257, 49), (33, 64, 97)] {
            let mut draw =
                |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
            let (x, weight) = (draw(n * d_in), draw(d_out * d_in));
            let packed = PackedInt8::new(&weight, [d_out, d_in]);
            let mut out = vec![f32::NAN; n * d_out];
            packed.product(&x, &mut out);
            for (at, found) in out.iter().enumerate() {
                let (row, column) = (at / d_out, at % d_out);
                let pair = |k: usize| x[row * d_in + k] * weight[column * d_in + k];
                let want: f32 = (0..d_in).map(pair).sum();
                // Half a step of 127 on each side, summed as by chance.
                let most = 0.02 * (d_in as f32).sqrt();
                assert!((found - want).abs() < most, "{n} × {d_in} × {d_out}: {found} for {want}");
            }
            let mut alone = vec![0.0; d_out];
            packed.product(&x[(n - 1) * d_in..], &mut alone);
            assert_eq!(alone, out[(n - 1) * d_out..]);
        }
    }

    #[test]
    fn both_forms_give_the_same_sums() {
        let mut rng = SeedStream::new(1).rng("sums", 0);
        let groups: Vec<Group> =
            (0..50).map(|_| [[0; TAPS]; ROWS].map(|g| g.map(|_: u8| rng.random()))).collect();
        let lines: Vec<Line> =
            (0..50).map(|_| [[0; TAPS]; WIDTH].map(|g| g.map(|_: i8| rng.random()))).collect();
        let (mut a, mut b) = ([[0; WIDTH]; ROWS], [[1; WIDTH]; ROWS]);
        plain(&groups, &lines, &mut a);
        sums(&groups, &lines, &mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn rows_and_columns_of_zeros_stay_zero() {
        let packed = PackedInt8::new(&[0.0; 10], [2, 5]);
        let mut out = [1.0; 4];
        packed.product(&[0.0; 10], &mut out);
        assert_eq!(out, [0.0; 4]);
    }
}
