//! Products with a matrix that is laid out for it once, when it is first used.
//!
//! A product of matrices copies its operands into the order in which its inner loop reads them.
//! The weights of a network never change, so their copy is kept, and only the rows of the other
//! operand are copied each time: few, and while they are in the cache.
//!
//! The inner loop multiplies a few rows by a few vectors of columns, all sums in registers. It
//! goes over the inner axis in one order for every row, so a row's result is the same wherever it
//! stands and whatever stands beside it.

use std::cell::RefCell;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::{Arch, Simd, WithSimd};

use super::params::Precision;

/// Vectors of columns at a time.
const VECTORS: usize = 3;
/// The inner axis is cut so that the columns of one part stay in the first cache.
const DEPTH: usize = 256;
/// Most columns at a time, of the widest vectors there are.
const WIDEST: usize = 64;
/// Most rows at a time.
const TALLEST: usize = 8;

thread_local! {
    /// The copied rows; kept, because a new buffer would be cleared and first touched each time.
    static ROWS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// A part of the columns, where they are kept in 16 bits.
    static COLUMNS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// For every panel of columns its numbers, a row of the panel for each place of the inner axis.
#[derive(Debug)]
enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Numbers {
    /// Rounded to the nearest where that is asked for.
    fn new(numbers: Vec<f32>, precision: Precision) -> Self {
        match precision {
            Precision::F16 => Self::F16(numbers.into_iter().map(f16::from_f32).collect()),
            Precision::Bf16 => Self::Bf16(numbers.into_iter().map(bf16::from_f32).collect()),
            Precision::F32 | Precision::Int8 => Self::F32(numbers),
        }
    }

    /// Those of a range in 32 bits, in `space` where they are not kept so.
    #[inline(always)]
    fn part<'a>(&'a self, range: std::ops::Range<usize>, space: &'a mut Vec<f32>) -> &'a [f32] {
        if let Self::F32(numbers) = self {
            return &numbers[range];
        }
        space.resize(range.len(), 0.0);
        match self {
            Self::F32(_) => {}
            Self::F16(numbers) => numbers[range].convert_to_f32_slice(space),
            Self::Bf16(numbers) => numbers[range].convert_to_f32_slice(space),
        }
        space
    }
}

/// A matrix of weights in the order in which the inner loop reads it.
#[derive(Debug)]
pub(crate) struct Packed {
    numbers: Numbers,
    d_in: usize,
    d_out: usize,
    /// Columns of a panel.
    width: usize,
}

impl Packed {
    /// From the numbers of `[d_out, d_in]`, or of `[d_in, d_out]` where it is `turned`. None where
    /// the processor has no vectors to speak of.
    pub(super) fn new(weight: &[f32], [d_out, d_in]: [usize; 2], turned: bool) -> Option<Self> {
        let lanes = Arch::new().dispatch(Lanes);
        if lanes < 4 || VECTORS * lanes > WIDEST || d_in == 0 || d_out == 0 {
            return None;
        }
        let width = VECTORS * lanes;
        let mut numbers = vec![0.0f32; d_out.div_ceil(width) * width * d_in];
        for (panel, numbers) in numbers.chunks_exact_mut(width * d_in).enumerate() {
            let first = panel * width;
            let columns = width.min(d_out - first);
            if turned {
                let lines = weight.chunks_exact(d_out);
                for (row, line) in numbers.chunks_exact_mut(width).zip(lines) {
                    row[..columns].copy_from_slice(&line[first..first + columns]);
                }
                continue;
            }
            for column in 0..columns {
                let line = &weight[(first + column) * d_in..][..d_in];
                for (row, number) in numbers.chunks_exact_mut(width).zip(line) {
                    row[column] = *number;
                }
            }
        }
        Some(Self { numbers: Numbers::F32(numbers), d_in, d_out, width })
    }

    /// Kept in this precision; products are computed in 32 bits all the same.
    pub(super) fn kept_in(self, precision: Precision) -> Self {
        let numbers = match self.numbers {
            Numbers::F32(numbers) => Numbers::new(numbers, precision),
            other => other,
        };
        Self { numbers, ..self }
    }

    /// With every column multiplied by a number, kept as before. None in 32 bits: the weight is
    /// there as a whole then, and is multiplied before it is packed.
    pub(super) fn scaled(&self, by: &[f32]) -> Option<Self> {
        let (precision, count) = match &self.numbers {
            Numbers::F32(_) => return None,
            Numbers::F16(numbers) => (Precision::F16, numbers.len()),
            Numbers::Bf16(numbers) => (Precision::Bf16, numbers.len()),
        };
        let Self { d_in, d_out, width, .. } = *self;
        let mut numbers = Vec::new();
        self.numbers.part(0..count, &mut numbers);
        for (panel, numbers) in numbers.chunks_exact_mut(width * d_in).enumerate() {
            for row in numbers.chunks_exact_mut(width) {
                row.iter_mut().zip(&by[panel * width..]).for_each(|(x, by)| *x *= by);
            }
        }
        Some(Self { numbers: Numbers::new(numbers, precision), d_in, d_out, width })
    }

    /// `out = x · Wᵀ`, `[rows, d_in] → [rows, d_out]`.
    pub(super) fn product(&self, x: &[f32], out: &mut [f32]) {
        ROWS.with_borrow_mut(|rows| {
            COLUMNS.with_borrow_mut(|space| {
                Arch::new().dispatch(Product { packed: self, x, out, rows, space });
            });
        });
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

struct Product<'a> {
    packed: &'a Packed,
    x: &'a [f32],
    out: &'a mut [f32],
    rows: &'a mut Vec<f32>,
    space: &'a mut Vec<f32>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as there are registers for, beside those that are read.
        if S::REGISTER_COUNT >= 32 {
            self.in_blocks::<S, TALLEST>(simd);
        } else {
            self.in_blocks::<S, 4>(simd);
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn in_blocks<S: Simd, const ROWS: usize>(self, simd: S) {
        let Packed { d_in, d_out, width, .. } = *self.packed;
        let n = self.out.len() / d_out;
        let blocks = n.div_ceil(ROWS);
        if self.rows.len() < blocks * ROWS * d_in {
            self.rows.resize(blocks * ROWS * d_in, 0.0);
        }
        let rows = &mut self.rows[..blocks * ROWS * d_in];
        copy_rows::<ROWS>(self.x, d_in, rows);
        let mut tile = [0.0f32; TALLEST * WIDEST];
        for from in (0..d_in).step_by(DEPTH) {
            let to = (from + DEPTH).min(d_in);
            for panel in 0..d_out.div_ceil(width) {
                let (first, start) = (panel * width, panel * width * d_in);
                let range = start + from * width..start + to * width;
                let (columns, _) = S::as_simd_f32s(self.packed.numbers.part(range, self.space));
                let (columns, _) = columns.as_chunks::<VECTORS>();
                let used = width.min(d_out - first);
                for (block, rows) in rows.chunks_exact(ROWS * d_in).enumerate() {
                    let (rows, _) = rows[from * ROWS..to * ROWS].as_chunks::<ROWS>();
                    sums::<S, ROWS>(simd, rows, columns, &mut tile);
                    let lines = self.out[block * ROWS * d_out..].chunks_exact_mut(d_out);
                    for (line, sums) in lines.take(ROWS).zip(tile.chunks_exact(width)) {
                        let line = &mut line[first..first + used];
                        match from {
                            0 => line.copy_from_slice(&sums[..used]),
                            _ => line.iter_mut().zip(sums).for_each(|(y, s)| *y += s),
                        }
                    }
                }
            }
        }
    }
}

/// Some rows beside each other: for each place of the inner axis the number of every row, zeros
/// for rows that are not there.
#[inline(always)]
fn copy_rows<const ROWS: usize>(x: &[f32], d_in: usize, out: &mut [f32]) {
    for (block, out) in out.chunks_exact_mut(ROWS * d_in).enumerate() {
        let (out, _) = out.as_chunks_mut::<ROWS>();
        for row in 0..ROWS {
            let start = (block * ROWS + row) * d_in;
            match x.get(start..start + d_in) {
                Some(line) => out.iter_mut().zip(line).for_each(|(out, x)| out[row] = *x),
                None => out.iter_mut().for_each(|out| out[row] = 0.0),
            }
        }
    }
}

/// Some rows times some vectors of columns, over a part of the inner axis.
#[inline(always)]
fn sums<S: Simd, const ROWS: usize>(
    simd: S,
    rows: &[[f32; ROWS]],
    columns: &[[S::f32s; VECTORS]],
    tile: &mut [f32],
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (row, column) in rows.iter().zip(columns) {
        for (sums, x) in sums.iter_mut().zip(row) {
            let x = simd.splat_f32s(*x);
            for (sum, column) in sums.iter_mut().zip(column) {
                *sum = simd.mul_add_f32s(x, *column, *sum);
            }
        }
    }
    let (tile, _) = S::as_mut_simd_f32s(tile);
    tile.iter_mut().zip(sums.as_flattened()).for_each(|(out, sum)| *out = *sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use rand::RngExt;

    #[test]
    fn columns_kept_in_16_bits_can_be_scaled() {
        let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let Some(packed) = Packed::new(&weight, [3, 2], false) else { return };
        assert!(packed.scaled(&[1.0; 3]).is_none());
        for precision in [Precision::F16, Precision::Bf16] {
            let packed = Packed::new(&weight, [3, 2], false).unwrap().kept_in(precision);
            let mut out = [0.0; 3];
            packed.scaled(&[2.0, -1.0, 0.5]).unwrap().product(&[1.0, 10.0], &mut out);
            // (1 + 20) · 2, (3 + 40) · -1, (5 + 60) / 2
            assert_eq!(out, [42.0, -43.0, 32.5]);
        }
    }

    #[test]
    fn the_product_is_the_definition_for_every_shape() {
        let mut rng = SeedStream::new(8).rng("gemm", 0);
        let shapes =
            [(1, 1, 1), (9, 5, 7), (8, 300, 48), (17, 257, 49), (3, 512, 100), (33, 64, 97)];
        for (n, d_in, d_out) in shapes {
            let mut draw =
                |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
            let (x, weight) = (draw(n * d_in), draw(d_out * d_in));
            let turned: Vec<f32> =
                (0..d_in * d_out).map(|i| weight[(i % d_out) * d_in + i / d_out]).collect();
            for (numbers, is_turned) in [(&weight, false), (&turned, true)] {
                let Some(packed) = Packed::new(numbers, [d_out, d_in], is_turned) else { return };
                let mut out = vec![f32::NAN; n * d_out];
                packed.product(&x, &mut out);
                for (at, found) in out.iter().enumerate() {
                    let (row, column) = (at / d_out, at % d_out);
                    let pair = |k: usize| {
                        f64::from(x[row * d_in + k]) * f64::from(weight[column * d_in + k])
                    };
                    let want: f64 = (0..d_in).map(pair).sum();
                    let off = (f64::from(*found) - want).abs();
                    assert!(off < 2e-5, "{n} × {d_in} × {d_out} at {at}: {found} for {want}");
                }
                for precision in [Precision::F16, Precision::Bf16] {
                    let packed = Packed::new(numbers, [d_out, d_in], is_turned).unwrap();
                    let round = |x: f32| match precision {
                        Precision::F16 => f16::from_f32(x).to_f32(),
                        _ => bf16::from_f32(x).to_f32(),
                    };
                    let rounded: Vec<f32> = numbers.iter().map(|x| round(*x)).collect();
                    let want = Packed::new(&rounded, [d_out, d_in], is_turned).unwrap();
                    let mut outs = [vec![0.0; n * d_out], vec![0.0; n * d_out]];
                    packed.kept_in(precision).product(&x, &mut outs[0]);
                    want.product(&x, &mut outs[1]);
                    assert_eq!(outs[0], outs[1], "{precision:?}, {n} × {d_in} × {d_out}");
                }
                // The last row by itself.
                let mut alone = vec![0.0; d_out];
                packed.product(&x[(n - 1) * d_in..], &mut alone);
                assert_eq!(alone, out[(n - 1) * d_out..]);
            }
        }
    }
}
