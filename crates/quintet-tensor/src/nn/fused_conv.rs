//! The fused forms of the layers over maps; see [`super::fused`] for what holds of all of them.
//!
//! A convolution is a product of matrices over patches. The patches of some output pixels are
//! copied together into a small buffer, multiplied while they are in the cache, and the bias, the
//! residual and the activation follow at once: the whole of the patches is never in memory.

use std::cell::RefCell;

use burn::prelude::*;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::conv::{Conv2d, Depthwise, Maps, Window};
use super::fused::{AfterProduct, Matrix, numbers, optional, rows_of, tensor};
use super::layers::Activation;

/// Output pixels whose patches one thread multiplies at a time.
const PIXELS: usize = 128;
/// Channels that are summed together.
const LANES: usize = 32;

thread_local! {
    /// The patches; kept, because a new buffer would be cleared and first touched each time.
    static PATCHES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Sizes of the maps that a window goes over.
#[derive(Clone, Copy)]
struct Grid {
    height: usize,
    width: usize,
    channels: usize,
    out_height: usize,
    out_width: usize,
    window: Window,
}

impl Grid {
    fn new(maps: &Maps, window: Window) -> Self {
        let [out_height, out_width] = [maps.height, maps.width].map(|side| window.out(side));
        let (height, width, channels) = (maps.height, maps.width, maps.channels());
        Self { height, width, channels, out_height, out_width, window }
    }

    /// Image, first row and first column of the window of an output pixel, the padding counted.
    fn corner(&self, pixel: usize) -> [usize; 3] {
        let (line, column) = (pixel / self.out_width, pixel % self.out_width);
        let (image, row) = (line / self.out_height, line % self.out_height);
        [image, row * self.window.stride, column * self.window.stride]
    }

    /// The steps of a window, from its first pixel at `corner`, that lie on a side of the map.
    fn inside(&self, corner: usize, side: usize) -> std::ops::Range<usize> {
        let Window { kernel, padding, .. } = self.window;
        let from = padding.saturating_sub(corner).min(kernel);
        let to = (side + padding).saturating_sub(corner).min(kernel);
        from..to.max(from)
    }

    /// Where the number of the first channel at a step of a window is.
    fn at(&self, [image, row, column]: [usize; 3], down: usize, right: usize) -> usize {
        let (y, x) = (row + down - self.window.padding, column + right - self.window.padding);
        ((image * self.height + y) * self.width + x) * self.channels
    }

    /// Copies the window of an output pixel to `patch`, zeros where it is off the map.
    fn copy(&self, maps: &[f32], pixel: usize, patch: &mut [f32]) {
        let corner = self.corner(pixel);
        let (rows, columns) =
            (self.inside(corner[1], self.height), self.inside(corner[2], self.width));
        let line = self.window.kernel * self.channels;
        for (down, out) in patch.chunks_exact_mut(line).enumerate() {
            if !rows.contains(&down) || columns.is_empty() {
                out.fill(0.0);
                continue;
            }
            let (from, to) = (columns.start * self.channels, columns.end * self.channels);
            let start = self.at(corner, down, columns.start);
            out[..from].fill(0.0);
            out[from..to].copy_from_slice(&maps[start..start + to - from]);
            out[to..].fill(0.0);
        }
    }
}

/// `f(conv(maps) + residual)`, `[batch · out_height · out_width, c_out]`.
pub(super) fn conv(
    layer: &Conv2d,
    maps: &Maps,
    residual: Option<&Tensor<2>>,
    activation: Activation,
) -> Option<Tensor<2>> {
    let grid = Grid::new(maps, layer.window);
    let [c_out, across] = layer.linear.weight().dims();
    let kept = numbers(&maps.x)?;
    let x = kept.as_slice::<f32>()?;
    let (bias, residual) = (layer.linear.bias().map(numbers), residual.map(numbers));
    let (bias, residual) = (optional(&bias)?, optional(&residual)?);
    let pixels = maps.batch * grid.out_height * grid.out_width;
    if c_out == 0 || across == 0 {
        return None;
    }
    let matrix = Matrix::of(&layer.linear, pixels)?;
    let mut out = vec![0.0f32; pixels * c_out];
    out.par_chunks_mut(PIXELS * c_out).enumerate().for_each(|(part, out)| {
        let (first, rows) = (part * PIXELS, out.len() / c_out);
        PATCHES.with_borrow_mut(|patches| {
            if patches.len() < rows * across {
                patches.resize(rows * across, 0.0);
            }
            let patches = &mut patches[..rows * across];
            for (row, patch) in patches.chunks_exact_mut(across).enumerate() {
                grid.copy(x, first + row, patch);
            }
            matrix.product(patches, out);
        });
        let residual = rows_of(residual, first * c_out, out.len());
        Arch::new().dispatch(AfterProduct { out, bias, residual, activation });
    });
    Some(tensor(out, [pixels, c_out], &maps.x.device()))
}

/// The largest number of each window.
pub(super) fn max_pool(maps: &Maps, window: Window) -> Option<Tensor<2>> {
    let grid = Grid::new(maps, window);
    let kept = numbers(&maps.x)?;
    let x = kept.as_slice::<f32>()?;
    let pixels = maps.batch * grid.out_height * grid.out_width;
    if grid.channels == 0 {
        return None;
    }
    let mut out = vec![f32::NEG_INFINITY; pixels * grid.channels];
    out.par_chunks_mut(PIXELS * grid.channels).enumerate().for_each(|(part, out)| {
        Arch::new().dispatch(MaxPool { grid, x, first: part * PIXELS, out });
    });
    Some(tensor(out, [pixels, grid.channels], &maps.x.device()))
}

struct MaxPool<'a> {
    grid: Grid,
    x: &'a [f32],
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for MaxPool<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grid, x, first, out } = self;
        for (row, out) in out.chunks_exact_mut(grid.channels).enumerate() {
            let corner = grid.corner(first + row);
            for down in grid.inside(corner[1], grid.height) {
                for right in grid.inside(corner[2], grid.width) {
                    let at = grid.at(corner, down, right);
                    let seen = &x[at..at + grid.channels];
                    out.iter_mut().zip(seen).for_each(|(y, x)| *y = if *x > *y { *x } else { *y });
                }
            }
        }
    }
}

/// Every channel by itself.
pub(super) fn depthwise(layer: &Depthwise, maps: &Maps, kernel: usize) -> Option<Tensor<2>> {
    let grid = Grid::new(maps, Window::same(kernel));
    let (kept, weight, bias) = (numbers(&maps.x)?, numbers(&layer.weight)?, numbers(&layer.bias)?);
    let (x, weight) = (kept.as_slice::<f32>()?, weight.as_slice::<f32>()?);
    let bias = bias.as_slice::<f32>()?;
    // An even kernel has no middle.
    if grid.channels == 0 || kernel.is_multiple_of(2) {
        return None;
    }
    let mut out = vec![0.0f32; x.len()];
    out.par_chunks_mut(PIXELS * grid.channels).enumerate().for_each(|(part, out)| {
        Arch::new().dispatch(Taps { grid, x, weight, bias, first: part * PIXELS, out });
    });
    Some(tensor(out, maps.x.dims(), &maps.x.device()))
}

struct Taps<'a> {
    grid: Grid,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Taps<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let grid = self.grid;
        for (row, out) in self.out.chunks_exact_mut(grid.channels).enumerate() {
            let corner = grid.corner(self.first + row);
            let (lanes, rest) = out.as_chunks_mut::<LANES>();
            for (block, out) in lanes.iter_mut().enumerate() {
                block_of_taps(grid, self.x, self.weight, self.bias, corner, block * LANES, out);
            }
            let from = grid.channels - rest.len();
            for (channel, out) in rest.iter_mut().enumerate() {
                let mut one = [0.0; 1];
                let channel = from + channel;
                block_of_taps(grid, self.x, self.weight, self.bias, corner, channel, &mut one);
                *out = one[0];
            }
        }
    }
}

/// Some channels of one output pixel, summed in registers.
#[inline(always)]
fn block_of_taps<const N: usize>(
    grid: Grid,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    corner: [usize; 3],
    channel: usize,
    out: &mut [f32; N],
) {
    let mut sums = [0.0f32; N];
    sums.copy_from_slice(&bias[channel..channel + N]);
    for down in grid.inside(corner[1], grid.height) {
        for right in grid.inside(corner[2], grid.width) {
            let at = grid.at(corner, down, right) + channel;
            let tap = (down * grid.window.kernel + right) * grid.channels + channel;
            let (x, w) = (&x[at..at + N], &weight[tap..tap + N]);
            for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
                *sum += x * w;
            }
        }
    }
    *out = sums;
}
