//! The program from outside: what it prints, how it ends, what it leaves on the disk.

mod bad_input;
mod bad_media;
mod bad_run_file;
mod help;
mod support;
mod whole_way;
