//! The fit loop from outside: stopping, resuming, damaged checkpoints, settings.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod damage;
mod events;
mod resume;
mod searching;
mod settings;
mod stopping;
mod support;
