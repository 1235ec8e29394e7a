//! The fit loop from outside: stopping, resuming, damaged checkpoints, settings.

mod damage;
mod resume;
mod settings;
mod stopping;
mod support;
