//! From a decoded image to the square of pixels that a network was trained on.
//!
//! The steps, their order and their rounding are those of torchvision over Pillow: 8-bit RGB,
//! resized with a filter that widens where the image shrinks, the middle cut out, then scaled by
//! mean and deviation. Two things differ on purpose: transparent pixels lie on white (Pillow
//! shows what colour hides there), and an orientation in the Exif data has been applied.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, GenericImageView, Rgb, RgbImage};
use quintet_tensor::{DecodeKind, EncodeError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Mean and deviation of ImageNet, by which most networks were trained.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
/// Those of CLIP.
pub(crate) const CLIP: [[f32; 3]; 2] =
    [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]];

/// Longest side in shortest ones that is scaled as a whole. Of longer images only the middle is,
/// because a line of a pixel's height would become a picture of gigabytes.
const LONGEST: u32 = 16;

/// How pixels between pixels are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle over two pixels.
    Bilinear,
    /// A cubic over four pixels, with a = -0.5.
    Bicubic,
    /// A windowed sine over six pixels.
    Lanczos,
    /// The mean of the pixels below.
    Box,
}

impl Filter {
    fn of(self) -> FilterType {
        match self {
            Self::Bilinear => FilterType::Bilinear,
            Self::Bicubic => FilterType::CatmullRom,
            Self::Lanczos => FilterType::Lanczos3,
            Self::Box => FilterType::Box,
        }
    }

    /// By Pillow's number.
    fn by_number(number: u64) -> Result<Self, String> {
        match number {
            1 => Ok(Self::Lanczos),
            2 => Ok(Self::Bilinear),
            3 => Ok(Self::Bicubic),
            4 => Ok(Self::Box),
            _ => Err(format!("resample: expected 1 to 4, found {number}")),
        }
    }
}

/// What an image is scaled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side gets this length, the longer one in proportion.
    Shortest(usize),
    /// Both sides, whatever the proportions.
    Square(usize),
}

/// The steps from an image to the numbers of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// What the image is scaled to.
    pub resize: Resize,
    /// How.
    pub filter: Filter,
    /// Side of the square that is cut from the middle.
    pub crop: usize,
    /// What is taken from red, green and blue, which are 0 to 1.
    pub mean: [f32; 3],
    /// What they are divided by then.
    pub std: [f32; 3],
}

/// A square of 8-bit RGB, as it is before scaling by mean and deviation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Row by row, three bytes a pixel.
    pub rgb: Vec<u8>,
    /// Pixels of a side.
    pub side: usize,
}

impl Preprocessing {
    /// As torchvision does for most networks on ImageNet: `resize` for the shorter side, then a
    /// square of `crop`.
    pub fn imagenet(resize: usize, crop: usize) -> Self {
        let [mean, std] = IMAGENET;
        Self { resize: Resize::Shortest(resize), filter: Filter::Bilinear, crop, mean, std }
    }

    /// With what `preprocessor_config.json` of Hugging Face says in its place.
    ///
    /// # Errors
    /// The key whose value cannot be used.
    pub fn huggingface(mut self, json: &Value) -> Result<Self, String> {
        if let Some(number) = json.get("resample").and_then(Value::as_u64) {
            self.filter = Filter::by_number(number)?;
        }
        let resize = json.get("size").and_then(size_of);
        if let Some(Resize::Shortest(short)) = resize
            && let Some(share) = json.get("crop_pct").and_then(Value::as_f64)
        {
            // The rule of ConvNeXt's: the size is that of the crop.
            self.crop = short;
            self.resize = match short < 384 {
                true => Resize::Shortest((short as f64 / share) as usize),
                false => Resize::Square(short),
            };
        } else if let Some(resize) = resize {
            self.resize = resize;
            let (Resize::Shortest(side) | Resize::Square(side)) = resize;
            let crop = json.get("crop_size").and_then(size_of);
            let wanted = json.get("do_center_crop").and_then(Value::as_bool).unwrap_or(false);
            self.crop = match crop.filter(|_| wanted) {
                Some(Resize::Shortest(crop) | Resize::Square(crop)) => crop,
                None => side,
            };
        }
        if let Some(mean) = colours(json, "image_mean")? {
            self.mean = mean;
        }
        if let Some(std) = colours(json, "image_std")? {
            self.std = std;
        }
        Ok(self)
    }

    /// With what the `pretrained_cfg` of timm says in its place.
    ///
    /// # Errors
    /// The key whose value cannot be used.
    pub fn timm(mut self, json: &Value) -> Result<Self, String> {
        if let Some(side) = json.pointer("/input_size/1").and_then(Value::as_u64) {
            self.crop = side as usize;
        }
        let share = json.get("crop_pct").and_then(Value::as_f64).unwrap_or(0.875);
        self.resize = Resize::Shortest((self.crop as f64 / share) as usize);
        self.filter = match json.get("interpolation").and_then(Value::as_str) {
            None | Some("bicubic") => Filter::Bicubic,
            Some("bilinear") => Filter::Bilinear,
            Some("lanczos") => Filter::Lanczos,
            Some(other) => {
                let expected = "interpolation: expected bilinear, bicubic or lanczos";
                return Err(format!("{expected}, found {other:?}"));
            }
        };
        if let Some(mean) = colours(json, "mean")? {
            self.mean = mean;
        }
        if let Some(std) = colours(json, "std")? {
            self.std = std;
        }
        Ok(self)
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// The size that cannot be.
    pub fn validate(&self) -> Result<(), String> {
        let (Resize::Shortest(side) | Resize::Square(side)) = self.resize;
        if !(1..=2048).contains(&self.crop) || !(self.crop..=4096).contains(&side) {
            let expected = "the resized side and the crop: expected 4096 >= side >= crop >= 1, \
                            crop <= 2048";
            return Err(format!("{expected}, found {side} and {}", self.crop));
        }
        match self.std.iter().all(|s| s.is_finite() && *s > 0.0) {
            true => Ok(()),
            false => Err(format!("std: expected numbers above 0, found {:?}", self.std)),
        }
    }

    /// The square of a decoded image.
    ///
    /// # Errors
    /// The image has no pixel.
    pub fn prepare(&self, image: &DynamicImage) -> Result<Pixels, EncodeError> {
        let (width, height) = image.dimensions();
        let unable = |kind, expected: &str, found: String| EncodeError::Decode {
            origin: "image".to_owned(),
            kind,
            expected: expected.to_owned(),
            found,
        };
        if width == 0 || height == 0 {
            let found = format!("{width} × {height}");
            return Err(unable(DecodeKind::Empty, "at least one pixel", found));
        }
        let rgb = on_white(image);
        let size = [rgb.width() as usize, rgb.height() as usize];
        let resized = match self.resize {
            Resize::Square(side) => [side, side],
            Resize::Shortest(side) => {
                let short = size[0].min(size[1]);
                size.map(|length| side * length / short)
            }
        };
        let pixels = match resized == size {
            true => rgb.into_raw(),
            false => scaled(rgb, resized, self.filter)
                .map_err(|found| unable(DecodeKind::Unsupported, "an image that scales", found))?,
        };
        Ok(Pixels { rgb: middle(&pixels, resized, self.crop), side: self.crop })
    }

    /// The numbers of a square, `[side · side, 3]`.
    pub fn normalised(&self, pixels: &Pixels) -> Vec<f32> {
        let mut table = [[0.0; 256]; 3];
        for ((row, mean), std) in table.iter_mut().zip(self.mean).zip(self.std) {
            for (byte, number) in row.iter_mut().enumerate() {
                *number = (byte as f32 / 255.0 - mean) / std;
            }
        }
        let (rgb, _) = pixels.rgb.as_chunks::<3>();
        let of = |p: &[u8; 3]| [0, 1, 2].map(|c| table[c][usize::from(p[c])]);
        rgb.iter().flat_map(of).collect()
    }
}

/// A side, however it is written.
fn size_of(json: &Value) -> Option<Resize> {
    let get = |key| json.get(key).and_then(Value::as_u64).map(|n| n as usize);
    if let Some(side) = json.as_u64() {
        return Some(Resize::Square(side as usize));
    }
    if let Some(side) = get("shortest_edge") {
        return Some(Resize::Shortest(side));
    }
    match (get("height"), get("width")) {
        (Some(height), Some(width)) if height == width => Some(Resize::Square(height)),
        _ => None,
    }
}

fn colours(json: &Value, key: &str) -> Result<Option<[f32; 3]>, String> {
    let Some(value) = json.get(key).filter(|v| !v.is_null()) else { return Ok(None) };
    let read = <[f32; 3]>::deserialize(value);
    read.map(Some).map_err(|_| format!("{key}: expected three numbers, found {value}"))
}

/// 8-bit RGB of any image; of an extremely long one the middle.
fn on_white(image: &DynamicImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let most = width.min(height).saturating_mul(LONGEST);
    let (w, h) = (width.min(most), height.min(most));
    let part;
    let image = match (w, h) == (width, height) {
        true => image,
        false => {
            part = image.crop_imm((width - w) / 2, (height - h) / 2, w, h);
            &part
        }
    };
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let rgba = image.to_rgba8();
    let mut rgb = RgbImage::new(w, h);
    for (out, pixel) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, alpha] = pixel.0.map(u32::from);
        let over = |colour: u32| ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        *out = Rgb([over(r), over(g), over(b)]);
    }
    rgb
}

/// Along the lines first, then along the columns, rounded to bytes in between: a filter that
/// overshoots is cut off there, too, so the order shows.
fn scaled(rgb: RgbImage, size: [usize; 2], filter: Filter) -> Result<Vec<u8>, String> {
    let (width, height) = rgb.dimensions();
    let (to_width, to_height) = (size[0] as u32, size[1] as u32);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter.of()));
    let pass = |pixels: &[u8], from: [u32; 2], to: [u32; 2]| {
        let source = ImageRef::new(from[0], from[1], pixels, PixelType::U8x3);
        let mut out = Image::new(to[0], to[1], PixelType::U8x3);
        let done = Resizer::new().resize(&source.map_err(|e| e.to_string())?, &mut out, &options);
        done.map_err(|e| e.to_string()).map(|()| out.into_vec())
    };
    let lines = match to_width == width {
        true => rgb.into_raw(),
        false => pass(rgb.as_raw(), [width, height], [to_width, height])?,
    };
    match to_height == height {
        true => Ok(lines),
        false => pass(&lines, [to_width, height], [to_width, to_height]),
    }
}

/// The square in the middle, whose first pixel torchvision rounds to the even one.
fn middle(pixels: &[u8], [width, height]: [usize; 2], side: usize) -> Vec<u8> {
    let first = |length: usize| {
        let rest = length.saturating_sub(side);
        if rest % 4 == 3 { rest / 2 + 1 } else { rest / 2 }
    };
    let (left, top) = (first(width), first(height));
    let lines = pixels.chunks_exact(3 * width.max(1)).skip(top).take(side);
    lines.flat_map(|line| &line[3 * left..3 * (left + side)]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_middle_is_rounded_to_the_even_pixel() {
        // A line of 3n bytes with its place in each.
        let line = |n: u8| (0..n).flat_map(|x| [x; 3]).collect::<Vec<u8>>();
        for (width, first) in [(4, 0), (5, 0), (6, 1), (7, 2), (8, 2), (9, 2), (11, 4)] {
            let cut = middle(&line(width).repeat(4), [width.into(), 4], 4);
            assert_eq!(cut[0], first, "of {width}");
        }
    }

    #[test]
    fn what_the_files_say_is_done() {
        let base = Preprocessing::imagenet(256, 224);
        let clip = json!({
            "size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224},
            "do_center_crop": true, "resample": 3, "image_mean": CLIP[0], "image_std": CLIP[1],
        });
        let clip = base.clone().huggingface(&clip).unwrap();
        assert_eq!((clip.resize, clip.crop), (Resize::Shortest(224), 224));
        assert_eq!((clip.filter, clip.mean), (Filter::Bicubic, CLIP[0]));
        let vit = json!({"size": {"height": 224, "width": 224}, "resample": 2});
        let vit = base.clone().huggingface(&vit).unwrap();
        assert_eq!((vit.resize, vit.crop), (Resize::Square(224), 224));
        let convnext = json!({"size": {"shortest_edge": 224}, "crop_pct": 0.875});
        let convnext = base.clone().huggingface(&convnext).unwrap();
        assert_eq!((convnext.resize, convnext.crop), (Resize::Shortest(256), 224));
        let timm =
            json!({"input_size": [3, 288, 288], "crop_pct": 1.0, "interpolation": "bicubic"});
        let timm = base.clone().timm(&timm).unwrap();
        assert_eq!((timm.resize, timm.crop), (Resize::Shortest(288), 288));
        let wrong = base.huggingface(&json!({"image_mean": [1, 2]})).unwrap_err();
        assert_eq!(wrong, "image_mean: expected three numbers, found [1,2]");
    }

    #[test]
    fn a_line_of_one_pixel_costs_no_more_than_any_image() {
        let line = DynamicImage::new_rgb8(60_000, 1);
        let pixels = Preprocessing::imagenet(256, 224).prepare(&line).unwrap();
        assert_eq!(pixels.rgb.len(), 224 * 224 * 3);
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let of = |resize, crop| Preprocessing::imagenet(resize, crop).validate();
        assert!(of(256, 224).is_ok());
        assert!(of(200, 224).unwrap_err().contains("found 200 and 224"));
        assert!(of(1 << 20, 224).is_err() && of(0, 0).is_err());
    }
}
