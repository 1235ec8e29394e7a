#![doc = include_str!("../README.md")]

mod canvas;
mod clip;
mod cnn;
mod colour_gradient;
mod container;
mod convnext;
mod histogram;
mod jpeg;
mod learner;
mod network;
mod open;
mod positions;
mod preprocess;
mod resnet;
mod vgg;
mod vit;

pub use clip::{ClipVision, ClipVisionConfig};
pub use cnn::{Cnn, CnnConfig};
pub use colour_gradient::{ColourGradient, ColourGradientConfig, NAME as COLOUR_GRADIENT};
pub use convnext::{ConvNext, ConvNextConfig};
pub use network::{Network, NetworkEncoder, NetworkParams};
pub use open::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, decode_image, open_image};

pub use preprocess::{Filter, Pixels, Preprocessing, Resize};
pub use resnet::{ResNet, ResNetConfig};
pub use vgg::{Vgg, VggConfig, VggOutput};
pub use vit::{Vit, VitConfig, VitLayout};

use quintet_core::{Registry, RegistryError};
use quintet_tensor::EncoderEntry;

/// Registers the image encoders.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<EncoderEntry>) -> Result<(), RegistryError> {
    r.add(colour_gradient::entry())?;
    let networks = [
        &resnet::ARCHITECTURES[..],
        &vgg::ARCHITECTURES,
        &vit::ARCHITECTURES,
        &clip::ARCHITECTURES,
        &convnext::ARCHITECTURES,
        &cnn::ARCHITECTURES,
    ];
    networks.into_iter().flatten().try_for_each(|network| r.add(network::entry(network)))
}
