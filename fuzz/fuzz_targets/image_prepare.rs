//! Pictures of any format, decoded and described.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quintet_image::{ColourGradient, Preprocessing, decode_image};
use quintet_tensor::Encoder;

fuzz_target!(|data: &[u8]| {
    // What is larger takes seconds and shows nothing else.
    let Ok(image) = decode_image(data, "fuzz") else { return };
    if u64::from(image.width()) * u64::from(image.height()) > 1 << 22 {
        return;
    }
    let vector = ColourGradient::default().prepare(&image).expect("an image with pixels");
    assert!(vector.iter().all(|v| v.is_finite()));
    let pixels = Preprocessing::imagenet(36, 32).prepare(&image).expect("an image with pixels");
    assert_eq!(pixels.rgb.len(), 32 * 32 * 3);
});
