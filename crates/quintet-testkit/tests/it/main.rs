//! The suites find what is broken: toy implementations with one fault each.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod encoders;
mod fusions;
mod metrics;
mod ratings;
mod recommenders;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a suite that must fail, and checks that it says why.
fn must_find(fault: &str, suite: impl FnOnce(), says: &str) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(suite)) else {
        panic!("the suite passes in spite of the fault {fault:?}");
    };
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    assert!(message.contains(says), "for the fault {fault:?} the suite says: {message}");
}

fn device() -> quintet_tensor::Device {
    quintet_testkit::devices().swap_remove(0)
}

#[test]
fn the_first_device_is_the_cpu_of_the_default_build() {
    assert!(format!("{:?}", device()).contains("Flex"));
}
