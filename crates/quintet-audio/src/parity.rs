//! Agreement with librosa 0.11.0 on the fixture in `tests/fixtures/librosa`.

use std::f64::consts::PI;
use std::path::Path;

use serde_json::Value;

use crate::dct::Dct;
use crate::features::{Analyser, BANDS, COEFFICIENTS, F_MAX};
use crate::mel::MelFilterbank;

const RATE: u32 = 16_000;
const WINDOW: usize = 400;
const HOP: usize = 160;
/// As in the fixture's manifest.
const RELATIVE: f64 = 1e-4;
const ABSOLUTE: f64 = 1e-9;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/librosa/signal.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn rows(fixture: &Value, key: &str) -> Vec<Vec<f64>> {
    serde_json::from_value(fixture[key].clone()).unwrap()
}

/// The formula of `generate.py`, rounded to f32 as samples of a file are.
fn signal(samples: usize) -> Vec<f32> {
    let mut state = 1u64;
    (0..samples)
        .map(|n| {
            let t = n as f64 / f64::from(RATE);
            let chirp = 0.5 * (2.0 * PI * (200.0 * t + 4_000.0 * t * t)).sin();
            state = (1_103_515_245 * state + 12_345) % 2_147_483_648;
            (chirp + 0.02 * (state as f64 / 2_147_483_648.0 - 0.5)) as f32
        })
        .collect()
}

fn assert_close(what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let allowed = ABSOLUTE + RELATIVE * b.abs();
        assert!((a - b).abs() <= allowed, "{what}[{i}]: {a}, librosa {b}");
    }
}

#[test]
fn the_filters_are_those_of_librosa() {
    let fixture = fixture();
    let bank = MelFilterbank::new(RATE, WINDOW, BANDS, F_MAX);
    let theirs = rows(&fixture, "filters");
    assert_eq!(theirs.len(), BANDS);
    for (band, row) in theirs.iter().enumerate() {
        assert_close(&format!("band {band}"), &bank.row(band, WINDOW / 2 + 1), row);
    }
    let bank = MelFilterbank::new(44_100, 1_102, BANDS, F_MAX);
    let ours: Vec<Vec<f64>> = (0..BANDS).map(|b| bank.row(b, 552)).collect();
    let sums: Vec<f64> = ours.iter().map(|r| r.iter().sum()).collect();
    assert_close("sums at 44.1 kHz", &sums, &rows(&fixture, "filters_44100_sums")[0]);
    let peak = |r: &Vec<f64>| (0..r.len()).rev().max_by(|&a, &b| r[a].total_cmp(&r[b])).unwrap();
    let peaks: Vec<f64> = ours.iter().map(|r| peak(r) as f64).collect();
    assert_eq!(peaks, rows(&fixture, "filters_44100_peaks")[0]);
}

#[test]
fn bands_coefficients_and_descriptors_are_those_of_librosa() {
    let fixture = fixture();
    let samples = signal(fixture["samples"].as_u64().unwrap() as usize);
    let (mel, mfcc) = (rows(&fixture, "mel"), rows(&fixture, "mfcc"));
    let mut analyser = Analyser::new(RATE);
    let dct = Dct::new(BANDS, COEFFICIENTS);
    let (mut centroid, mut rolloff, mut flatness) = (vec![], vec![], vec![]);
    for (t, frame) in samples.windows(WINDOW).step_by(HOP).enumerate() {
        let window = analyser.window(frame);
        assert_close(&format!("mel of window {t}"), &window.mel, &mel[t]);
        let logs: Vec<f64> = window.mel.iter().map(|e| e.max(1e-10).ln()).collect();
        let mut ours = vec![0.0; COEFFICIENTS];
        dct.apply(&logs, &mut ours);
        assert_close(&format!("coefficients of window {t}"), &ours, &mfcc[t]);
        centroid.push(window.centroid);
        rolloff.push(window.rolloff);
        flatness.push(window.flatness);
    }
    assert_eq!(centroid.len(), mel.len(), "windows");
    assert_close("centroid", &centroid, &rows(&fixture, "centroid")[0]);
    assert_close("rolloff", &rolloff, &rows(&fixture, "rolloff")[0]);
    assert_close("flatness", &flatness, &rows(&fixture, "flatness")[0]);
}
