//! From mono samples to one vector, in constant memory.

use crate::dct::Dct;
use crate::mel::MelFilterbank;
use crate::spectrum::Spectra;
use crate::statistics::Running;

/// Mel bands.
pub(crate) const BANDS: usize = 64;
/// Cepstral coefficients.
pub(crate) const COEFFICIENTS: usize = 20;
/// Zero crossings, loudness, centroid, rolloff, flatness.
const DESCRIPTORS: usize = 5;
/// Upper edge of the highest band and of all spectral descriptors, Hz.
pub(crate) const F_MAX: f64 = 8_000.0;
/// Width of the vectors.
pub(crate) const DIM: usize = 2 * BANDS + 3 * COEFFICIENTS + 2 * DESCRIPTORS;

/// Energies are not taken below this; a level of 0 is 100 dB below a level of 1.
const FLOOR: f64 = 1e-10;
/// The part of the energy that lies below the rolloff.
const ROLLOFF: f64 = 0.85;

/// The logarithm of an energy, `0` at the floor and `1` at an energy of one.
fn level(energy: f64) -> f64 {
    1.0 - energy.max(FLOOR).ln() / FLOOR.ln()
}

/// What one window gives.
pub(crate) struct Window {
    /// Energies of the bands.
    pub(crate) mel: Vec<f64>,
    /// Where the power lies, Hz.
    pub(crate) centroid: f64,
    /// Below which 85 % of the power lies, Hz.
    pub(crate) rolloff: f64,
    /// Geometric by arithmetic mean of the power.
    pub(crate) flatness: f64,
}

/// Takes samples in blocks of any size and summarises the windows.
pub(crate) struct Analyser {
    spectra: Spectra,
    bank: MelFilterbank,
    dct: Dct,
    bin_hz: f64,
    rate: f64,
    /// Samples of the window under way.
    pending: Vec<f32>,
    power: Vec<f64>,
    windows: usize,
    last_cepstrum: Option<Vec<f64>>,
    levels: Running,
    cepstra: Running,
    changes: Running,
    descriptors: Running,
}

impl Analyser {
    /// For samples at `rate` Hz.
    pub(crate) fn new(rate: u32) -> Self {
        let spectra = Spectra::new(rate);
        Self {
            bank: MelFilterbank::new(rate, spectra.window_len(), BANDS, F_MAX),
            dct: Dct::new(BANDS, COEFFICIENTS),
            bin_hz: f64::from(rate) / spectra.window_len() as f64,
            rate: f64::from(rate),
            pending: Vec::with_capacity(2 * spectra.window_len()),
            power: vec![0.0; spectra.bins()],
            windows: 0,
            last_cepstrum: None,
            levels: Running::new(BANDS),
            cepstra: Running::new(COEFFICIENTS),
            changes: Running::new(COEFFICIENTS),
            descriptors: Running::new(DESCRIPTORS),
            spectra,
        }
    }

    /// Takes samples, mono, full scale ±1.
    pub(crate) fn push(&mut self, samples: &[f32]) {
        let (len, hop) = (self.spectra.window_len(), self.spectra.hop());
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(len - self.pending.len()));
            self.pending.extend_from_slice(now);
            rest = later;
            if self.pending.len() == len {
                let frame = std::mem::take(&mut self.pending);
                self.summarise(&frame);
                self.pending = frame;
                self.pending.drain(..hop);
            }
        }
    }

    /// The vector, `[DIM]`. Fewer samples than a window are padded with zeros to one; otherwise
    /// what remains after the last whole window is left out.
    pub(crate) fn finish(mut self) -> Vec<f32> {
        if self.windows == 0 {
            let mut frame = std::mem::take(&mut self.pending);
            frame.resize(self.spectra.window_len(), 0.0);
            self.summarise(&frame);
        }
        self.levels
            .mean()
            .chain(self.levels.deviation())
            .chain(self.cepstra.mean())
            .chain(self.cepstra.deviation())
            .chain(self.changes.mean())
            .chain(self.descriptors.mean())
            .chain(self.descriptors.deviation())
            .map(|v| v as f32)
            .collect()
    }

    fn summarise(&mut self, frame: &[f32]) {
        let window = self.window(frame);
        let levels: Vec<f64> = window.mel.iter().map(|&e| level(e)).collect();
        let mut cepstrum = vec![0.0; COEFFICIENTS];
        self.dct.apply(&levels, &mut cepstrum);
        if let Some(last) = &self.last_cepstrum {
            let change: Vec<f64> = cepstrum.iter().zip(last).map(|(a, b)| (a - b).abs()).collect();
            self.changes.push(&change);
        }
        self.levels.push(&levels);
        self.cepstra.push(&cepstrum);
        self.descriptors.push(&[
            crossings(frame) * self.rate / (2.0 * F_MAX),
            level(mean_square(frame)),
            window.centroid / F_MAX,
            window.rolloff / F_MAX,
            window.flatness,
        ]);
        self.last_cepstrum = Some(cepstrum);
        self.windows += 1;
    }

    /// Spectrum, bands and spectral descriptors of one window. In silence the descriptors are 0.
    pub(crate) fn window(&mut self, frame: &[f32]) -> Window {
        self.spectra.power(frame, &mut self.power);
        let mut mel = vec![0.0; BANDS];
        self.bank.apply(&self.power, &mut mel);
        let below = (F_MAX / self.bin_hz).floor() as usize + 1;
        let power = &self.power[..below.min(self.power.len())];
        let total: f64 = power.iter().sum();
        if total <= FLOOR {
            return Window { mel, centroid: 0.0, rolloff: 0.0, flatness: 0.0 };
        }
        let weighted: f64 = power.iter().enumerate().map(|(b, p)| b as f64 * p).sum();
        let mut sum = 0.0;
        let rolloff = power.iter().position(|p| {
            sum += p;
            sum >= ROLLOFF * total
        });
        let n = power.len() as f64;
        // Far below what any sample format resolves; it keeps the logarithm finite.
        let log_mean = power.iter().map(|p| p.max(1e-30).ln()).sum::<f64>() / n;
        Window {
            mel,
            centroid: weighted / total * self.bin_hz,
            rolloff: rolloff.unwrap_or(power.len() - 1) as f64 * self.bin_hz,
            flatness: log_mean.exp() / (total / n),
        }
    }
}

/// Changes of sign a sample; zero counts as positive.
fn crossings(frame: &[f32]) -> f64 {
    let changes = frame.windows(2).filter(|w| (w[0] < 0.0) != (w[1] < 0.0)).count();
    changes as f64 / (frame.len() - 1).max(1) as f64
}

fn mean_square(frame: &[f32]) -> f64 {
    frame.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / frame.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, seconds: f64) -> Vec<f32> {
        let n = (f64::from(rate) * seconds) as usize;
        (0..n)
            .map(|i| {
                (2.0 * std::f64::consts::PI * hz * i as f64 / f64::from(rate)).sin() as f32 * 0.5
            })
            .collect()
    }

    fn vector(samples: &[f32], rate: u32) -> Vec<f32> {
        let mut a = Analyser::new(rate);
        a.push(samples);
        a.finish()
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(p, q)| p * q).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn a_tone_of_440_hz_peaks_in_a_band_that_covers_it() {
        for rate in [8_000, 16_000, 44_100] {
            let v = vector(&tone(440.0, rate, 0.5), rate);
            let loudest = (0..BANDS).max_by(|&a, &b| v[a].total_cmp(&v[b])).unwrap();
            let covering = MelFilterbank::bands_at(BANDS, F_MAX, 440.0);
            assert!(covering.contains(&loudest), "{rate}: {loudest} not in {covering:?}");
            // Descriptors: 880 crossings a second of 16,000; −9.03 dB of 100; 440 Hz of 8,000.
            let d = &v[2 * BANDS + 3 * COEFFICIENTS..];
            assert!((d[0] - 880.0 / 16_000.0).abs() < 0.003, "{d:?}");
            assert!((d[1] - (1.0 - 0.0903)).abs() < 0.002, "{d:?}");
            assert!((d[2] - 440.0 / 8_000.0).abs() < 0.002, "{d:?}");
            assert!(d[4] < 0.01, "a tone is not flat: {d:?}");
        }
    }

    #[test]
    fn the_same_tone_is_alike_at_two_rates_and_another_tone_is_less_so() {
        let low = vector(&tone(440.0, 16_000, 0.5), 16_000);
        let high = vector(&tone(440.0, 44_100, 0.5), 44_100);
        let other = vector(&tone(3_000.0, 44_100, 0.5), 44_100);
        let same = cosine(&low, &high);
        assert!(same > 0.95, "{same}");
        assert!(cosine(&low, &other) < same - 0.05, "{same} {}", cosine(&low, &other));
    }

    #[test]
    fn silence_and_a_single_sample_give_finite_vectors() {
        let silence = vector(&[0.0; 16_000], 16_000);
        assert_eq!(silence.len(), DIM);
        assert!(silence.iter().all(|v| v.abs() < 1e-12), "silence is the origin");
        let click = vector(&[0.7], 16_000);
        assert!(click.len() == DIM && click.iter().all(|v| v.is_finite()));
        let huge = vector(&[f32::MAX; 1_000], 16_000);
        assert!(huge.iter().all(|v| v.is_finite()), "the loudest samples stay finite");
    }

    #[test]
    fn the_size_of_the_blocks_does_not_matter() {
        let samples = tone(1_234.5, 16_000, 0.2);
        let whole = vector(&samples, 16_000);
        for size in [1, 7, 160, 401] {
            let mut a = Analyser::new(16_000);
            samples.chunks(size).for_each(|c| a.push(c));
            assert_eq!(a.finish(), whole, "{size}");
        }
    }

    #[test]
    fn windows_are_counted_without_padding() {
        for (samples, windows) in [(400, 1), (559, 1), (560, 2), (720, 3)] {
            let mut a = Analyser::new(16_000);
            a.push(&vec![0.1; samples]);
            assert_eq!(a.windows, windows, "{samples}");
        }
    }

    #[test]
    fn a_change_of_sound_shows_in_the_spread_and_the_changes() {
        let mut samples = tone(300.0, 16_000, 0.25);
        samples.extend(tone(3_000.0, 16_000, 0.25));
        let changing = vector(&samples, 16_000);
        let steady = vector(&tone(300.0, 16_000, 0.5), 16_000);
        let total = |v: &[f32], from: usize, n: usize| v[from..from + n].iter().sum::<f32>();
        assert!(total(&changing, BANDS, BANDS) > 5.0 * total(&steady, BANDS, BANDS));
        let changes = 2 * BANDS + 2 * COEFFICIENTS;
        assert!(
            total(&changing, changes, COEFFICIENTS) > 2.0 * total(&steady, changes, COEFFICIENTS)
        );
    }
}
