//! Arrays in `.npy` files: the first two bytes are the shape that is asked for, the rest is the
//! file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// The reader takes a path, and each process has its own file.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("quintet-fuzz-{}.npy", std::process::id())));

fuzz_target!(|data: &[u8]| {
    let [rows, columns, file @ ..] = data else { return };
    if fs::write(&*FILE, file).is_ok() {
        let _ = quintet_data::fuzzing::npy(&FILE, &[usize::from(*rows), usize::from(*columns)]);
    }
});
