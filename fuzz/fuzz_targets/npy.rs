//! Arrays in `.npy` files of any shape and type.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    quintet_data::fuzz_npy(data);
});
