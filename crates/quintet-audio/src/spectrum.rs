//! Short-time power spectra.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Length of a window, seconds.
const WINDOW_SECONDS: f64 = 0.025;
/// Distance of two windows, seconds.
const HOP_SECONDS: f64 = 0.010;

/// Power spectra of windows of 25 ms, one every 10 ms, at one rate.
///
/// The window is a periodic Hann window, rounded to an even number of samples; the transform has
/// exactly its length, so that bins lie 40 Hz apart at every rate. The power is divided by the
/// squared sum of the window: a tone of amplitude 1 peaks at 1/4 whatever the rate.
pub(crate) struct Spectra {
    window: Vec<f64>,
    hop: usize,
    scale: f64,
    plan: Arc<dyn RealToComplex<f64>>,
    input: Vec<f64>,
    output: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl Spectra {
    /// For samples at `rate` Hz, at least 100.
    pub(crate) fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        let len = 2 * ((rate * WINDOW_SECONDS / 2.0).round() as usize).max(1);
        let hop = ((rate * HOP_SECONDS).round() as usize).max(1);
        let window: Vec<f64> =
            (0..len).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f64 / len as f64).cos()).collect();
        let sum: f64 = window.iter().sum();
        let plan = RealFftPlanner::new().plan_fft_forward(len);
        let (input, output) = (plan.make_input_vec(), plan.make_output_vec());
        let scratch = plan.make_scratch_vec();
        Self { window, hop, scale: 1.0 / (sum * sum), plan, input, output, scratch }
    }

    /// Samples in a window.
    pub(crate) fn window_len(&self) -> usize {
        self.window.len()
    }

    /// Samples from one window to the next.
    pub(crate) fn hop(&self) -> usize {
        self.hop
    }

    /// Bins of a spectrum.
    pub(crate) fn bins(&self) -> usize {
        self.window.len() / 2 + 1
    }

    /// The spectrum, `out`: `[bins]`, of one window of samples, `frame`: `[window_len]`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub(crate) fn power(&mut self, frame: &[f32], out: &mut [f64]) {
        assert_eq!((frame.len(), out.len()), (self.window_len(), self.bins()));
        for ((i, &s), w) in self.input.iter_mut().zip(frame).zip(&self.window) {
            *i = f64::from(s) * w;
        }
        let done =
            self.plan.process_with_scratch(&mut self.input, &mut self.output, &mut self.scratch);
        assert!(done.is_ok(), "the buffers have the planned lengths");
        for (o, c) in out.iter_mut().zip(&self.output) {
            *o = c.norm_sqr() * self.scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_peaks_at_its_bin_with_a_quarter_of_its_squared_amplitude() {
        // 1,000 Hz is bin 25 at 40 Hz a bin; amplitude 0.5 gives 0.25 · 0.25 = 0.0625.
        for rate in [8_000u32, 16_000, 48_000] {
            let mut spectra = Spectra::new(rate);
            let frame: Vec<f32> = (0..spectra.window_len())
                .map(|n| (2.0 * PI * 1_000.0 * n as f64 / f64::from(rate)).sin() as f32 * 0.5)
                .collect();
            let mut out = vec![0.0; spectra.bins()];
            spectra.power(&frame, &mut out);
            assert!((out[25] - 0.0625).abs() < 1e-6, "{rate}: {}", out[25]);
            assert!(out.iter().all(|&p| p <= out[25]));
        }
    }

    #[test]
    fn windows_are_25_ms_every_10_ms_at_any_rate() {
        for (rate, window, hop) in [(16_000, 400, 160), (44_100, 1_102, 441), (11_025, 276, 110)] {
            let s = Spectra::new(rate);
            assert_eq!((s.window_len(), s.hop(), s.bins()), (window, hop, window / 2 + 1));
        }
    }
}
