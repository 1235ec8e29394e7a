//! `quintet doctor`: what this machine and this binary can do.

use quintet::tensor::{DeviceChoice, DeviceReport};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::print;

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    threads: usize,
    cores: usize,
    cpu_flags: Vec<&'static str>,
    devices: Vec<DeviceReport>,
    advice: Vec<String>,
}

/// Probes every device and prints what to change.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let devices: Vec<DeviceReport> = DeviceChoice::ALL
        .into_iter()
        .filter(|c| *c != DeviceChoice::Auto)
        .map(DeviceReport::probe)
        .collect();
    let threads = rayon::current_num_threads();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        threads,
        cores,
        cpu_flags: cpu_flags(),
        advice: advice(&devices, threads, cores),
        devices,
    };
    if args.json {
        return print::json(&report);
    }
    print::line(&format!(
        "quintet {}; {} threads on {} cores; {}",
        report.version,
        report.threads,
        report.cores,
        if report.cpu_flags.is_empty() {
            "no CPU flags known".into()
        } else {
            report.cpu_flags.join(" ")
        },
    ));
    let yes = |b: bool| if b { "yes" } else { "no" }.to_owned();
    let rows = report
        .devices
        .iter()
        .map(|d| vec![d.device.to_string(), yes(d.compiled), yes(d.usable), d.note.clone()])
        .collect();
    print::table(&["device", "compiled", "usable", "note"], rows, 99);
    report.advice.iter().for_each(|a| print::line(&format!("- {a}")));
    let usable = report.devices.iter().any(|d| d.usable);
    anyhow::ensure!(usable, "no device can be used; build with `--features flex`");
    Ok(())
}

fn advice(devices: &[DeviceReport], threads: usize, cores: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if threads < cores {
        lines.push(format!("{threads} of {cores} cores are used: leave out --threads"));
    }
    let gpu = |d: &&DeviceReport| d.device.is_gpu();
    if !devices.iter().filter(gpu).any(|d| d.compiled) {
        lines.push("for a GPU, build with `--features vulkan` (or wgpu, cuda)".into());
    }
    for d in devices.iter().filter(gpu).filter(|d| d.compiled && !d.usable) {
        lines.push(format!("{}: {}", d.device, d.note));
    }
    lines
}

#[cfg(target_arch = "x86_64")]
fn cpu_flags() -> Vec<&'static str> {
    let mut flags = Vec::new();
    if std::is_x86_feature_detected!("avx2") {
        flags.push("avx2");
    }
    if std::is_x86_feature_detected!("fma") {
        flags.push("fma");
    }
    if std::is_x86_feature_detected!("avx512f") {
        flags.push("avx512f");
    }
    flags
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_flags() -> Vec<&'static str> {
    Vec::new()
}
