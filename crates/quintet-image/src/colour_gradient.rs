//! Colour and gradient-orientation histograms: what colours a picture has, roughly where, and
//! which way its edges run.
//!
//! Papers: Swain & Ballard, "Color Indexing", IJCV 7 (1991); Dalal & Triggs, "Histograms of
//! Oriented Gradients for Human Detection", CVPR 2005; the square root of the histograms, which
//! makes the Euclidean distance the Hellinger distance, as in Arandjelović & Zisserman, "Three
//! things everyone should know to improve object retrieval", CVPR 2012.
//! Differences: see the functions in `histogram.rs`.
//! Cost: no parameters; one pass over the pixels, then `side²` steps.
//!
//! | numbers | what | norm before the last scaling |
//! |---|---|---|
//! | 51 | colour histogram of the image, square root | 1 |
//! | 72 | coarse colour histograms of the four quarters, square root | 1 |
//! | 6 | mean and standard deviation of red, green, blue | below 2 |
//! | 144 | gradient orientations, 4 × 4 cells of 9 bins | at most 1 |

use std::sync::Arc;

use burn::tensor::Tensor;
use image::{DynamicImage, GenericImageView};
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    DecodeKind, Device, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec,
    MediaEncoder, RawMedia, matrix_to_tensor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canvas::Canvas;
use crate::histogram::{CELLS, ColourBins, GRADIENTS, Region, gradients, moments};
use crate::open::{MAX_FILE_BYTES, MAX_PIXELS, open_image};

/// Registry name.
pub const NAME: &str = "colour-gradient";

/// Items that go into one tensor at once.
const MICRO_BATCH: usize = 1024;

/// Colours of the whole image.
const FINE: ColourBins = ColourBins { chromas: 2, values: 3 };

/// Colours of a quarter.
const COARSE: ColourBins = ColourBins { chromas: 1, values: 2 };

/// Quarters a side.
const GRID: usize = 2;

/// Width of the vectors.
const DIM: usize = FINE.len() + GRID * GRID * COARSE.len() + 6 + GRADIENTS;

/// Parameters of [`ColourGradient`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColourGradientConfig {
    /// Side of the square that every image is scaled to, in pixels: 16 to 1024, a multiple of
    /// 4.
    pub side: usize,
    /// Scales every vector to length 1.
    pub normalise: bool,
}

impl Default for ColourGradientConfig {
    fn default() -> Self {
        Self { side: 128, normalise: true }
    }
}

impl ColourGradientConfig {
    /// Reads parameters; `null` gives the defaults.
    ///
    /// # Errors
    /// [`EncodeError::Config`] for an unknown key, a wrong type or a value out of range.
    pub fn from_value(params: &Value) -> Result<Self, EncodeError> {
        let config = match params {
            Value::Null => Self::default(),
            Value::Object(_) => Self::deserialize(params).map_err(|e| refused(e.to_string()))?,
            other => return Err(refused(format!("expected a table of parameters, found {other}"))),
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`EncodeError::Config`] that names the parameter.
    pub fn validate(&self) -> Result<(), EncodeError> {
        if !(16..=1024).contains(&self.side) || !self.side.is_multiple_of(CELLS) {
            let found = self.side;
            let expected = format!("side is a multiple of {CELLS} from 16 to 1024");
            return Err(refused(format!("{expected}, found {found}")));
        }
        Ok(())
    }
}

fn refused(reason: String) -> EncodeError {
    EncodeError::Config { encoder: NAME.to_owned(), reason }
}

/// The encoder: a decoded image to `[273]`.
#[derive(Debug, Clone)]
pub struct ColourGradient {
    info: EncoderInfo,
    config: ColourGradientConfig,
}

impl Default for ColourGradient {
    /// The encoder with the default parameters, as other encoders build on it.
    fn default() -> Self {
        Self::checked(ColourGradientConfig::default())
    }
}

impl ColourGradient {
    /// The encoder with these parameters.
    ///
    /// # Errors
    /// [`EncodeError::Config`] for a parameter out of range.
    pub fn new(config: &ColourGradientConfig) -> Result<Self, EncodeError> {
        config.validate()?;
        Ok(Self::checked(config.clone()))
    }

    /// The encoder with parameters that have been checked.
    fn checked(config: ColourGradientConfig) -> Self {
        let info = EncoderInfo {
            name: NAME.to_owned(),
            modality: Modality::Image,
            dim: DIM,
            limits: format!(
                "PNG, JPEG, GIF (first frame), WebP, BMP, TIFF (first page), ICO, PNM, QOI; at most \
                 {} MiB and {} megapixels",
                MAX_FILE_BYTES >> 20,
                MAX_PIXELS / 1_000_000
            ),
        };
        Self { info, config }
    }

    /// The vector of an image that has at least one pixel.
    fn describe(&self, image: &DynamicImage) -> Vec<f32> {
        let canvas = Canvas::of(image, self.config.side);
        let mut vector = Vec::with_capacity(DIM);
        let whole = Region::cell(canvas.side, 1, 0, 0);
        vector.extend(FINE.shares(&canvas, whole).into_iter().map(f32::sqrt));
        // Shares sum to 1, so each square-rooted quarter has length 1, four of them 2.
        for quarter in 0..GRID * GRID {
            let region = Region::cell(canvas.side, GRID, quarter % GRID, quarter / GRID);
            let shares = COARSE.shares(&canvas, region);
            vector.extend(shares.into_iter().map(|share| share.sqrt() / GRID as f32));
        }
        vector.extend(moments(&canvas));
        // Four blocks of length 1 at most.
        vector.extend(gradients(&canvas).into_iter().map(|v| v / 2.0));
        if self.config.normalise {
            // At least √2, because the colour histograms alone have that.
            let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            vector.iter_mut().for_each(|v| *v /= length);
        }
        vector
    }
}

impl Encoder for ColourGradient {
    type Raw = DynamicImage;
    /// The finished vector, `[dim]`.
    type Prepared = Vec<f32>;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, image: &DynamicImage) -> Result<Vec<f32>, EncodeError> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(EncodeError::Decode {
                origin: "image".to_owned(),
                kind: DecodeKind::Empty,
                expected: "at least one pixel".to_owned(),
                found: format!("{width} × {height}"),
            });
        }
        Ok(self.describe(image))
    }

    fn forward(&self, batch: &[Vec<f32>], device: &Device) -> Result<Tensor<2>, EncodeError> {
        let matrix = Matrix::from_vec(batch.len(), DIM, batch.concat())
            .map_err(|e| EncodeError::Device(e.to_string()))?;
        Ok(matrix_to_tensor(&matrix, device)) // [batch, dim]
    }
}

struct Spec(ColourGradientConfig);

impl EncoderSpec for Spec {
    fn config(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
    }

    fn reads_corpus(&self) -> bool {
        false
    }

    fn fit(
        &self,
        _corpus: &[&RawMedia],
        _seed: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        let encoder = ColourGradient::new(&self.0)?;
        Ok(Box::new(EncoderFace::new(encoder, open_image, MICRO_BATCH)))
    }
}

/// The registry entry.
pub(crate) fn entry() -> EncoderEntry {
    EncoderEntry {
        name: NAME,
        modality: Modality::Image,
        summary: "colour histograms of the image and its quarters, gradient orientations",
        weights: None,
        learn: None,
        build: Arc::new(|params| Ok(Box::new(Spec(ColourGradientConfig::from_value(params)?)))),
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};
    use serde_json::json;

    use super::*;

    fn encoder() -> ColourGradient {
        ColourGradient::new(&ColourGradientConfig::default()).unwrap()
    }

    fn solid(rgb: [u8; 3]) -> DynamicImage {
        RgbImage::from_pixel(40, 30, Rgb(rgb)).into()
    }

    #[test]
    fn solid_red_worked_by_hand() {
        assert_eq!(DIM, 273);
        let raw = ColourGradientConfig { normalise: false, ..Default::default() };
        let vector = ColourGradient::new(&raw).unwrap().prepare(&solid([255, 0, 0])).unwrap();
        let expected = [
            // Fine: 3 greys, 24 bins of half chroma, hue 0, third value.
            (3 + 24 + 2, 1.0),
            // A quarter: 2 greys, hue 0, second value; each √1 / 2.
            (51 + 3, 0.5),
            (51 + 18 + 3, 0.5),
            (51 + 36 + 3, 0.5),
            (51 + 54 + 3, 0.5),
            // Mean red.
            (51 + 72, 1.0),
        ];
        for (i, v) in vector.iter().enumerate() {
            let e = expected.iter().find(|(at, _)| *at == i).map_or(0.0, |(_, e)| *e);
            assert!((v - e).abs() < 1e-5, "entry {i}: {v}, expected {e}");
        }
    }

    #[test]
    fn red_and_blue_differ_and_size_does_not_matter() {
        let vector = |image: &DynamicImage| encoder().prepare(image).unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let (red, blue) = (vector(&solid([255, 0, 0])), vector(&solid([0, 0, 255])));
        assert!((dot(&red, &red) - 1.0).abs() < 1e-5);
        assert!(dot(&red, &blue) < 0.05);
        let large: DynamicImage = RgbImage::from_pixel(1000, 700, Rgb([255, 0, 0])).into();
        assert!(dot(&red, &vector(&large)) > 0.9999);
    }

    #[test]
    fn a_vector_does_not_depend_on_its_batch_mates() {
        let device = Device::flex();
        let images = [solid([9, 200, 30]), solid([0, 0, 255]), solid([255, 255, 255])];
        let prepared: Vec<_> = images.iter().map(|i| encoder().prepare(i).unwrap()).collect();
        let rows = |batch: &[Vec<f32>]| {
            let tensor = encoder().forward(batch, &device).unwrap();
            assert_eq!(tensor.dims(), [batch.len(), DIM]);
            quintet_tensor::tensor_to_vec(tensor).unwrap()
        };
        assert_eq!(rows(&prepared)[DIM..2 * DIM], rows(&prepared[1..2]));
    }

    #[test]
    fn an_image_without_pixels_is_an_error() {
        let err = encoder().prepare(&DynamicImage::new_rgb8(0, 4)).unwrap_err();
        assert_eq!(err.code(), "empty");
    }

    #[test]
    fn bad_parameters_are_named() {
        let refusal = |params: Value| match (entry().build)(&params) {
            Ok(_) => panic!("{params} was taken"),
            Err(e) => e.to_string(),
        };
        assert!(refusal(json!({"sides": 3})).contains("unknown field `sides`"));
        assert!(refusal(json!({"side": 30})).contains("multiple of 4 from 16 to 1024, found 30"));
        assert!(refusal(json!("x")).contains("expected a table"));
        let spec = (entry().build)(&Value::Null).unwrap();
        assert_eq!(spec.config(), json!({"side": 128, "normalise": true}));
    }
}
