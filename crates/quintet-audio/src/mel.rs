//! The mel filterbank: triangles that are equally spaced as the ear hears.
//!
//! The mel scale and the area normalisation are those of Slaney, "Auditory Toolbox", Technical
//! Report 1998-010, Interval Research, 1998: linear below 1 kHz, logarithmic above. librosa's
//! default filters are the same and serve as the reference in the tests.

/// Slope of the linear part, Hz a mel.
const HZ_A_MEL: f64 = 200.0 / 3.0;
/// Where the logarithmic part begins, Hz.
const BREAK_HZ: f64 = 1_000.0;
/// The same place in mel.
const BREAK_MEL: f64 = BREAK_HZ / HZ_A_MEL;

/// Mels a factor of e in the logarithmic part: 27 mel a factor of 6.4.
fn mels_an_e() -> f64 {
    27.0 / 6.4f64.ln()
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz / HZ_A_MEL } else { BREAK_MEL + (hz / BREAK_HZ).ln() * mels_an_e() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < BREAK_MEL {
        mel * HZ_A_MEL
    } else {
        BREAK_HZ * ((mel - BREAK_MEL) / mels_an_e()).exp()
    }
}

/// One triangle, stored from its first bin with a weight.
#[derive(Debug, Clone)]
struct Band {
    first: usize,
    weights: Vec<f64>,
}

/// Filters from power spectra to mel bands.
#[derive(Debug, Clone)]
pub(crate) struct MelFilterbank {
    bands: Vec<Band>,
}

impl MelFilterbank {
    /// `n_bands` filters from 0 Hz to `f_max` Hz for spectra of `n_fft / 2 + 1` bins at `rate` Hz.
    ///
    /// The edges depend on `n_bands` and `f_max` alone, so that a band means the same at every
    /// rate; bands above half the rate are empty.
    pub(crate) fn new(rate: u32, n_fft: usize, n_bands: usize, f_max: f64) -> Self {
        let top = hz_to_mel(f_max);
        let edge = |i: usize| mel_to_hz(top * i as f64 / (n_bands + 1) as f64);
        let bin_hz = f64::from(rate) / n_fft as f64;
        let n_bins = n_fft / 2 + 1;
        let bands = (0..n_bands)
            .map(|b| triangle([edge(b), edge(b + 1), edge(b + 2)], bin_hz, n_bins))
            .collect();
        Self { bands }
    }

    /// Energies of the bands, `out`: `[n_bands]`, from a power spectrum, `[n_fft / 2 + 1]`.
    pub(crate) fn apply(&self, power: &[f64], out: &mut [f64]) {
        for (band, o) in self.bands.iter().zip(out) {
            let bins = power.iter().skip(band.first);
            *o = band.weights.iter().zip(bins).map(|(w, p)| w * p).sum();
        }
    }

    /// The weights of one band over all `n_bins` bins.
    #[cfg(test)]
    pub(crate) fn row(&self, band: usize, n_bins: usize) -> Vec<f64> {
        let mut row = vec![0.0; n_bins];
        let b = &self.bands[band];
        row[b.first..b.first + b.weights.len()].copy_from_slice(&b.weights);
        row
    }

    /// The bands whose triangle covers `hz`, for tests.
    #[cfg(test)]
    pub(crate) fn bands_at(n_bands: usize, f_max: f64, hz: f64) -> Vec<usize> {
        let place = hz_to_mel(hz) / hz_to_mel(f_max) * (n_bands + 1) as f64;
        (0..n_bands).filter(|&b| (place - (b + 1) as f64).abs() < 1.0).collect()
    }
}

/// A triangle of area one (in Hz) over the bins that lie inside it.
fn triangle([low, centre, high]: [f64; 3], bin_hz: f64, n_bins: usize) -> Band {
    let height = 2.0 / (high - low);
    let weight = |bin: usize| {
        let hz = bin as f64 * bin_hz;
        let up = (hz - low) / (centre - low);
        let down = (high - hz) / (high - centre);
        up.min(down).max(0.0) * height
    };
    let first = (0..n_bins).find(|&b| weight(b) > 0.0).unwrap_or(0);
    let weights = (first..n_bins).map(weight).take_while(|&w| w > 0.0).collect();
    Band { first, weights }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_the_values_of_its_definition() {
        // 66.67 Hz a mel up to 1 kHz = 15 mel; 6.4 kHz lies 27 mel above it.
        assert!((hz_to_mel(200.0) - 3.0).abs() < 1e-12);
        assert!((hz_to_mel(1_000.0) - 15.0).abs() < 1e-12);
        assert!((hz_to_mel(6_400.0) - 42.0).abs() < 1e-12);
        for hz in [0.0, 60.0, 999.0, 1_000.0, 7_999.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-9, "{hz}");
        }
    }

    #[test]
    fn bands_above_half_the_rate_are_empty_and_the_others_are_not() {
        let bank = MelFilterbank::new(8_000, 200, 64, 8_000.0);
        let mut out = vec![0.0; 64];
        bank.apply(&[1.0; 101], &mut out);
        // 4 kHz lies at 15 + ln 4 · 27 / ln 6.4 = 35.16 of 45.25 mel: edge 50.5 of 65.
        assert!(out[..50].iter().all(|&e| e > 0.0), "{out:?}");
        assert!(out[51..].iter().all(|&e| e == 0.0), "{out:?}");
    }
}
