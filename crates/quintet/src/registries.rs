//! Everything that is compiled in, by name.

use quintet_core::{RatingEntry, Registry, RegistryError};
use quintet_metrics::MetricEntry;
use quintet_tensor::{EncoderEntry, FusionEntry, ModelEntry};

/// All registries of one program.
///
/// ```
/// let known = quintet::Registries::new()?;
/// assert!(known.models.get("bpr").is_ok());
/// let err = known.models.get("brp").unwrap_err().to_string();
/// assert!(err.contains("bpr"));
/// # Ok::<(), quintet::core::RegistryError>(())
/// ```
pub struct Registries {
    /// Encoders of raw media.
    pub encoders: Registry<EncoderEntry>,
    /// Fusion layers.
    pub fusions: Registry<FusionEntry>,
    /// Recommenders.
    pub models: Registry<ModelEntry>,
    /// Models that predict ratings.
    pub rating_models: Registry<RatingEntry>,
    /// Metrics.
    pub metrics: Registry<MetricEntry>,
}

impl Registries {
    /// Registers every crate that is compiled in.
    ///
    /// # Errors
    /// Two entries have the same name.
    pub fn new() -> Result<Self, RegistryError> {
        let mut encoders = Registry::new("encoder");
        #[cfg(feature = "text")]
        quintet_text::register(&mut encoders)?;
        #[cfg(feature = "image")]
        quintet_image::register(&mut encoders)?;
        #[cfg(feature = "audio")]
        quintet_audio::register(&mut encoders)?;
        #[cfg(feature = "video")]
        quintet_video::register(&mut encoders, quintet_image::ColourGradient::default)?;
        let mut models = crate::ensemble::members()?;
        models.add(crate::ensemble::entry())?;
        let mut rating_models = Registry::new("rating model");
        quintet_cf::register_rating(&mut rating_models)?;
        let mut metrics = Registry::new("metric");
        quintet_metrics::register(&mut metrics)?;
        Ok(Self { encoders, fusions: quintet_fusion::registry()?, models, rating_models, metrics })
    }
}
