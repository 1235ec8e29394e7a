//! Parts of deep encoders: the arrays of an architecture and what is done with them.
//!
//! An architecture asks [`Params`] for its arrays by the names that its published weights have;
//! [`Loader`] gives them from a file, or draws them. The operations have two forms: one of Burn's
//! operations, for every device and under autodiff, and one of fused loops on the CPU's own
//! numbers, which is taken where the tensors allow it. Tests compare the two.
//!
//! Sequences are packed: the tokens of a batch lie one after the other, `[tokens, dim]`, and a
//! list has the length of each sequence. So there is no padding to compute, and what is done to
//! a token cannot see that there are others, but for [`attention`].

mod attention;
mod conv;
#[cfg(feature = "flex")]
pub(crate) mod fused;
#[cfg(feature = "flex")]
mod fused_conv;
#[cfg(feature = "flex")]
mod fused_gemm;
#[cfg(feature = "flex")]
mod fused_int8;
#[cfg(feature = "flex")]
pub(crate) mod fused_math;
mod layers;
mod params;
mod recurrent;
#[cfg(feature = "flex")]
mod recurrent_fused;
mod transformer;
mod tune;

use burn::tensor::Device;

pub use attention::{AttentionMask, attention};
pub use conv::{BatchNorm, Conv2d, Depthwise, Maps, Window};
pub use layers::{Activation, Embedding, LayerNorm, Linear};
pub use params::{Init, Loader, Params, Precision};
pub use recurrent::{Recurrent, RecurrentCell, RecurrentShape, RecurrentStates};
pub use transformer::PreNormLayer;
pub use tune::{Tuned, Tuning};

/// Whether a device computes on this processor's own memory, with the fused forms: work is then
/// best cut into small pieces that run side by side. True with autodiff as well, where it must not
/// be: one thread alone may build a graph of gradients.
pub fn is_host(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return *device == Device::flex();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}
