//! Sounds of one second, 16 kHz mono: sixteen notes, each in the look of one theme.

use std::f32::consts::PI;
use std::io::Cursor;

use anyhow::Result;
use hound::{SampleFormat, WavSpec, WavWriter};
use rand::RngExt;

use super::SeedStream;
use super::view::{Lens, allocate};

/// Samples per second.
const RATE: u32 = 16_000;
/// Notes per sound.
const NOTES: usize = 16;
/// Samples per note: 62.5 ms.
const NOTE: usize = RATE as usize / NOTES;
/// Harmonics per tone; the highest is below half of [`RATE`] for the highest pitch.
const HARMONICS: usize = 4;

/// How a theme sounds: everything here depends on its place on the scale of looks alone.
struct Voice {
    /// Fundamental in Hz, 150 to 1200: three octaves.
    pitch: f32,
    /// Ratio of the second tone of the chord to the first.
    interval: f32,
    /// Loudness of each harmonic.
    timbre: [f32; HARMONICS],
    /// How fast a note dies away, per note length.
    decay: f32,
    /// Every how many steps of the sound there is an accent.
    accent: usize,
}

impl Voice {
    fn of(place: usize, themes: usize) -> Self {
        let share = place as f32 / themes as f32;
        let timbre = match place % 3 {
            0 => [1.0, 0.5, 0.33, 0.25],
            1 => [1.0, 0.0, 0.6, 0.0],
            _ => [1.0, 0.15, 0.05, 0.0],
        };
        Self {
            pitch: 150.0 * 2f32.powf(3.0 * share),
            interval: [1.5, 1.25, 4.0 / 3.0, 1.2][place % 4],
            timbre,
            decay: [0.5, 2.0, 5.0][place / 2 % 3],
            accent: 2 + place % 3,
        }
    }
}

/// The bytes of a WAV file (16-bit PCM).
pub(super) fn render(lens: &Lens, view: &[f32], item: usize, seeds: SeedStream) -> Result<Vec<u8>> {
    let mut rng = seeds.rng("world/audio", item as u64);
    let notes = allocate(view, NOTES, &mut rng);
    let loudness: f32 = rng.random_range(0.4..0.8);
    let hiss: f32 = rng.random_range(0.005..0.03);
    let spec = WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::with_capacity(44 + 2 * RATE as usize));
    let mut writer = WavWriter::new(&mut bytes, spec)?;
    for (step, &theme) in notes.iter().enumerate() {
        let voice = Voice::of(lens.look[theme], lens.themes());
        let pitch = voice.pitch * rng.random_range(0.98..1.02);
        let strength = if step % voice.accent == 0 { 1.0 } else { 0.6 };
        for n in 0..NOTE {
            let part = n as f32 / NOTE as f32;
            // A short attack keeps notes from clicking.
            let envelope = (part * 20.0).min(1.0) * (-voice.decay * part).exp();
            let seconds = n as f32 / RATE as f32;
            let tone = tone(&voice, pitch, seconds) + tone(&voice, pitch * voice.interval, seconds);
            let sound = 0.25 * loudness * strength * envelope * tone;
            let sample = sound + rng.random_range(-hiss..hiss);
            writer.write_sample((sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16)?;
        }
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}

/// One tone of a voice at a time after the note's start.
fn tone(voice: &Voice, pitch: f32, seconds: f32) -> f32 {
    let phase = 2.0 * PI * pitch * seconds;
    (1..).zip(voice.timbre).map(|(h, loud)| loud * (phase * h as f32).sin()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Energy of one note near `pitch`, within the 2 % that pitches vary.
    fn energy(note: &[f32], pitch: f32) -> f32 {
        let near = (-4..=4).map(|n| pitch * (1.0 + 0.005 * n as f32));
        near.map(|hertz| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in note.iter().enumerate() {
                let phase = 2.0 * PI * hertz * n as f32 / RATE as f32;
                re += sample * phase.cos();
                im += sample * phase.sin();
            }
            re * re + im * im
        })
        .fold(0.0, f32::max)
    }

    #[test]
    fn a_sound_is_one_second_and_its_lowest_pitch_belongs_to_its_theme() {
        let seeds = SeedStream::new(5);
        let lens = Lens::new(8, 2, seeds);
        for theme in 0..8 {
            let mut view = vec![0.0; 8];
            view[theme] = 1.0;
            let bytes = render(&lens, &view, theme, seeds).unwrap();
            let reader = hound::WavReader::new(Cursor::new(bytes)).unwrap();
            assert_eq!((reader.spec().sample_rate, reader.len()), (RATE, RATE));
            let samples: Vec<f32> =
                reader.into_samples::<i16>().map(|s| f32::from(s.unwrap())).collect();
            let at: Vec<f32> = (0..8)
                .map(|place| Voice::of(place, 8).pitch)
                .map(|pitch| samples.chunks(NOTE).map(|note| energy(note, pitch)).sum())
                .collect();
            // Above its pitch a sound has its second tone and harmonics; below it, nothing.
            let loudest = at.iter().copied().fold(0.0, f32::max);
            let lowest = at.iter().position(|e| *e > 0.3 * loudest);
            assert_eq!(lowest, Some(lens.look[theme]), "{at:?}");
        }
    }
}
