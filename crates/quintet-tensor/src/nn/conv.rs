//! Layers over feature maps: convolution, batch norm, pooling.
//!
//! Maps are kept channels last, a row of numbers a pixel. So a convolution by 1 is a linear layer
//! as it stands, any other is one over the patches around the pixels, and what works on tokens
//! works on pixels.

use burn::prelude::*;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};

use super::layers::{Activation, Linear};
use super::params::{Init, Params};

/// The maps of a batch of images.
#[derive(Debug, Clone)]
pub struct Maps {
    /// `[batch · height · width, channels]`, image by image and row by row.
    pub x: Tensor<2>,
    /// Images.
    pub batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
}

impl Maps {
    /// Maps of this shape.
    ///
    /// # Panics
    /// When `x` has not as many rows as there are pixels.
    pub fn new(x: Tensor<2>, [batch, height, width]: [usize; 3]) -> Self {
        assert_eq!(x.dims()[0], batch * height * width, "a row a pixel");
        Self { x, batch, height, width }
    }

    /// Numbers a pixel.
    pub fn channels(&self) -> usize {
        self.x.dims()[1]
    }

    /// The same places with other numbers.
    ///
    /// # Panics
    /// When `x` has not as many rows as there are pixels.
    #[must_use]
    pub fn with(&self, x: Tensor<2>) -> Self {
        Self::new(x, [self.batch, self.height, self.width])
    }

    /// The mean of every channel over the image, `[batch, channels]`.
    pub fn mean(&self) -> Tensor<2> {
        let (pixels, channels) = (self.height * self.width, self.channels());
        self.x.clone().reshape([self.batch, pixels, channels]).mean_dim(1).squeeze_dim(1)
    }

    /// The largest number of each window of `kernel`², channel by channel.
    ///
    /// # Panics
    /// When the padding is more than half of the kernel.
    #[must_use]
    pub fn max_pool(&self, kernel: usize, stride: usize, padding: usize) -> Self {
        assert!(2 * padding <= kernel, "padding of at most half the kernel");
        let window = Window { kernel, stride, padding };
        let [height, width] = [self.height, self.width].map(|side| window.out(side));
        #[cfg(feature = "flex")]
        if let Some(x) = super::fused_conv::max_pool(self, window) {
            return Self::new(x, [self.batch, height, width]);
        }
        let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]);
        let x = module::max_pool2d(self.channels_first(), options.with_padding([padding; 2]));
        Self::of_channels_first(x)
    }

    /// `[batch, channels, height, width]`.
    pub fn channels_first(&self) -> Tensor<4> {
        let channels = self.channels();
        let x = self.x.clone().reshape([self.batch, self.height, self.width, channels]);
        x.permute([0, 3, 1, 2])
    }

    /// From `[batch, channels, height, width]`.
    pub fn of_channels_first(x: Tensor<4>) -> Self {
        let [batch, channels, height, width] = x.dims();
        let x = x.permute([0, 2, 3, 1]).reshape([batch * height * width, channels]);
        Self::new(x, [batch, height, width])
    }
}

/// What of a map one output pixel sees: a square of `kernel`, every `stride` pixels, beginning
/// `padding` before the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Side in pixels.
    pub kernel: usize,
    /// From one to the next.
    pub stride: usize,
    /// Zeros around the map.
    pub padding: usize,
}

impl Window {
    /// A square in the middle of its pixel, every pixel.
    pub fn same(kernel: usize) -> Self {
        Self { kernel, stride: 1, padding: kernel / 2 }
    }

    /// Squares side by side.
    pub fn patches(kernel: usize) -> Self {
        Self { kernel, stride: kernel, padding: 0 }
    }

    /// How many fit on a side; none where the side is too short.
    pub fn out(self, side: usize) -> usize {
        match (side + 2 * self.padding).checked_sub(self.kernel) {
            Some(rest) => rest / self.stride + 1,
            None => 0,
        }
    }
}

/// `x · γ/√(variance + ε) + (β - mean · γ/√(variance + ε))`, channel by channel, with the mean and
/// variance of the training (Ioffe and Szegedy, 2015).
#[derive(Debug, Clone)]
pub struct BatchNorm {
    scale: Tensor<1>,
    shift: Tensor<1>,
}

impl BatchNorm {
    /// Arrays `weight`, `bias`, `running_mean` and `running_var`.
    pub fn new(params: &Params, channels: usize, epsilon: f32) -> Self {
        let array = |name, init| params.array(name, [channels], init);
        let (gamma, beta) = (array("weight", Init::Ones), array("bias", Init::Zeros));
        let (mean, variance) =
            (array("running_mean", Init::Zeros), array("running_var", Init::Ones));
        if params.failed() {
            return Self { scale: gamma, shift: beta };
        }
        let scale = gamma / (variance + epsilon).sqrt();
        Self { shift: beta - mean * scale.clone(), scale }
    }
}

/// A convolution, every output pixel from all channels of its window.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// Over the numbers of a window, `[c_out, kernel · kernel · c_in]`: row by row, pixel by
    /// pixel.
    pub linear: Linear,
    /// What an output pixel sees.
    pub window: Window,
}

impl Conv2d {
    /// Array `weight`, `[c_out, c_in, kernel, kernel]` as PyTorch keeps it, and `bias` where
    /// asked for.
    pub fn new(params: &Params, [c_in, c_out]: [usize; 2], window: Window, bias: bool) -> Self {
        let kernel = window.kernel;
        // He et al. (2015), for the rectifier that mostly follows.
        let init = Init::Normal((2.0 / (kernel * kernel * c_in).max(1) as f32).sqrt());
        let weight = params.array("weight", [c_out, c_in, kernel, kernel], init);
        let bias = bias.then(|| params.array("bias", [c_out], Init::Zeros));
        let across = kernel * kernel * c_in;
        // Turning an array that stands for a missing one would take the memory of a whole one.
        let weight = match params.failed() {
            true => Tensor::<2>::zeros([1, 1], &weight.device()).expand([c_out, across]),
            false => weight.permute([0, 2, 3, 1]).reshape([c_out, across]),
        };
        Self { linear: Linear::of(weight, bias), window }
    }

    /// With the batch norm that follows it: one layer in place of two.
    #[must_use]
    pub fn folded(mut self, norm: BatchNorm, params: &Params) -> Self {
        if params.failed() {
            return self;
        }
        let weight = self.linear.weight().clone() * norm.scale.clone().unsqueeze_dim(1);
        let bias = match self.linear.bias() {
            Some(bias) => bias.clone() * norm.scale + norm.shift,
            None => norm.shift,
        };
        self.linear = Linear::of(weight, Some(bias));
        self
    }

    /// The convolution and the activation.
    ///
    /// # Panics
    /// When the maps have other channels, or are smaller than the window.
    pub fn forward(&self, maps: &Maps, activation: Activation) -> Maps {
        self.of_sum(maps, None, activation)
    }

    /// `f(conv(maps) + residual)`.
    ///
    /// # Panics
    /// As [`Self::forward`]; when the shape of `residual` is not that of the result.
    pub fn forward_sum(&self, maps: &Maps, residual: &Maps, activation: Activation) -> Maps {
        self.of_sum(maps, Some(residual), activation)
    }

    fn of_sum(&self, maps: &Maps, residual: Option<&Maps>, activation: Activation) -> Maps {
        let Window { kernel, stride, padding } = self.window;
        let [c_out, across] = self.linear.weight().dims();
        assert_eq!(across, kernel * kernel * maps.channels(), "channels of a convolution");
        let [height, width] = [maps.height, maps.width].map(|side| self.window.out(side));
        assert!(height > 0 && width > 0, "maps as large as the window at least");
        let shape = [maps.batch, height, width];
        let residual = residual.map(|r| r.x.clone());
        if kernel == 1 && stride == 1 && padding == 0 {
            let x = maps.x.clone();
            let x = match residual {
                Some(residual) => self.linear.forward_sum(x, residual, activation),
                None => self.linear.forward(x, activation),
            };
            return Maps::new(x, shape);
        }
        #[cfg(feature = "flex")]
        if let Some(x) = super::fused_conv::conv(self, maps, residual.as_ref(), activation) {
            return Maps::new(x, shape);
        }
        let weight = self.linear.weight().clone().reshape([c_out, kernel, kernel, maps.channels()]);
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        let x = maps.channels_first();
        let bias = self.linear.bias().cloned();
        let x = module::conv2d(x, weight.permute([0, 3, 1, 2]), bias, options);
        let out = Maps::of_channels_first(x);
        let x = match residual {
            Some(residual) => out.x.clone() + residual,
            None => out.x.clone(),
        };
        out.with(activation.apply(x))
    }
}

/// A convolution of every channel by itself, at every pixel.
#[derive(Debug, Clone)]
pub struct Depthwise {
    /// `[kernel · kernel, channels]`.
    pub weight: Tensor<2>,
    /// `[channels]`.
    pub bias: Tensor<1>,
    kernel: usize,
}

impl Depthwise {
    /// Arrays `weight`, `[channels, 1, kernel, kernel]`, and `bias`.
    pub fn new(params: &Params, channels: usize, kernel: usize) -> Self {
        let init = Init::Normal(1.0 / kernel.max(1) as f32);
        let weight = params.array("weight", [channels, 1, kernel, kernel], init);
        let bias = params.array("bias", [channels], Init::Zeros);
        let across = kernel * kernel;
        let weight = match params.failed() {
            true => Tensor::<2>::zeros([1, 1], &weight.device()).expand([across, channels]),
            // The copy lies in this order; the fused form wants that.
            false => weight.permute([2, 3, 1, 0]).reshape([across, channels]),
        };
        Self { weight, bias, kernel }
    }

    /// Maps of the same shape.
    ///
    /// # Panics
    /// When the maps have other channels.
    pub fn forward(&self, maps: &Maps) -> Maps {
        let channels = maps.channels();
        assert_eq!(self.weight.dims()[1], channels, "channels of a convolution");
        #[cfg(feature = "flex")]
        if let Some(x) = super::fused_conv::depthwise(self, maps, self.kernel) {
            return maps.with(x);
        }
        let weight = self.weight.clone().transpose();
        let weight = weight.reshape([channels, 1, self.kernel, self.kernel]);
        let options = ConvOptions::new([1; 2], [self.kernel / 2; 2], [1; 2], channels);
        let x = module::conv2d(maps.channels_first(), weight, Some(self.bias.clone()), options);
        Maps::of_channels_first(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Loader;
    use burn::tensor::Tolerance;
    use quintet_core::SeedStream;
    use rand::RngExt;

    fn maps(shape: [usize; 3], channels: usize, device: &Device) -> Maps {
        let mut rng = SeedStream::new(9).rng("maps", 0);
        let rows = shape.iter().product::<usize>();
        let numbers: Vec<f32> = (0..rows * channels).map(|_| rng.random_range(-1.0..1.0)).collect();
        Maps::new(Tensor::from_data(TensorData::new(numbers, [rows, channels]), device), shape)
    }

    fn assert_same(fused: &Maps, portable: &Maps) {
        let shape = |maps: &Maps| [maps.batch, maps.height, maps.width, maps.channels()];
        assert_eq!(shape(fused), shape(portable));
        let portable = portable.x.clone().inner().into_data();
        fused.x.clone().into_data().assert_approx_eq(&portable, Tolerance::<f32>::absolute(2e-5));
    }

    /// On flex the fused form runs, under autodiff that of Burn's operations.
    #[test]
    fn fused_and_portable_convolutions_agree() {
        let windows = [
            Window { kernel: 7, stride: 2, padding: 3 },
            Window { kernel: 3, stride: 2, padding: 1 },
            Window { kernel: 1, stride: 2, padding: 0 },
            Window::same(3),
            Window::same(1),
            Window::patches(4),
        ];
        let devices = [Device::flex(), Device::flex().autodiff()];
        for (shape, window) in windows.iter().flat_map(|w| [([2, 9, 13], *w), ([3, 4, 5], *w)]) {
            let [fused, portable] = devices.each_ref().map(|device| {
                let loader = Loader::random(SeedStream::new(2), device);
                let maps = maps(shape, 5, device);
                let norm = BatchNorm::new(&loader.root().at("bn"), 11, 1e-5);
                let params = loader.root();
                let layer = Conv2d::new(&params, [5, 11], window, true).folded(norm, &params);
                let once = layer.forward(&maps, Activation::Relu);
                layer.forward_sum(&maps, &once, Activation::Relu)
            });
            assert_same(&fused, &portable);
        }
    }

    #[test]
    fn fused_and_portable_pools_and_depthwise_agree() {
        let devices = [Device::flex(), Device::flex().autodiff()];
        for channels in [3, 32, 70] {
            let [fused, portable] =
                devices.each_ref().map(|d| maps([2, 9, 6], channels, d).max_pool(3, 2, 1));
            assert_same(&fused, &portable);
            let [fused, portable] = devices.each_ref().map(|device| {
                let loader = Loader::random(SeedStream::new(4), device);
                Depthwise::new(&loader.root(), channels, 7).forward(&maps(
                    [2, 9, 6],
                    channels,
                    device,
                ))
            });
            assert_same(&fused, &portable);
        }
    }

    #[test]
    fn a_batch_norm_folds_into_its_convolution() {
        let device = Device::flex();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let arrays = [
            ("weight", vec![2.0f32], vec![1, 1, 1, 1]),
            ("bn.weight", vec![3.0], vec![1]),
            ("bn.bias", vec![0.5], vec![1]),
            ("bn.running_mean", vec![1.0], vec![1]),
            ("bn.running_var", vec![4.0 - 1e-5], vec![1]),
        ];
        let bytes: Vec<(String, Vec<u8>, Vec<usize>)> = arrays
            .map(|(name, v, s)| {
                (name.to_owned(), v.iter().flat_map(|x| x.to_le_bytes()).collect(), s)
            })
            .into();
        let views = bytes.iter().map(|(name, bytes, shape)| {
            let dtype = safetensors::Dtype::F32;
            (name, safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize_to_file(views, None, &path).unwrap();
        let loader = Loader::open(&path, &device).unwrap();
        let norm = BatchNorm::new(&loader.root().at("bn"), 1, 1e-5);
        let layer = Conv2d::new(&loader.root(), [1, 1], Window::same(1), false)
            .folded(norm, &loader.root());
        loader.finish("one", &[]).unwrap();
        let x = Maps::new(Tensor::from_floats([[5.0]], &device), [1, 1, 1]);
        let y: f32 = layer.forward(&x, Activation::None).x.into_scalar();
        // ((2 · 5) - 1) / 2 · 3 + 0.5
        assert!((y - 14.0).abs() < 1e-4, "{y}");
    }
}
