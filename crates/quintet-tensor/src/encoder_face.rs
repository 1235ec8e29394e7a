//! The object-safe face of every [`Encoder`]: decoding and preparing on all cores, `forward` on
//! micro-batches of like cost, both at the same time.

use std::any::Any;
use std::borrow::Borrow;

use burn::tensor::Device;
use rayon::prelude::*;

use crate::ahead::{Outcome, in_windows};
use crate::encoder::{FetchMedia, TakeVectors};
use crate::{DecodeKind, EncodeError, Encoder, EncoderInfo, MediaEncoder, RawMedia, tensor_to_vec};

/// Most items of a window, where no other is asked for: what a run that is killed has to do again.
const LONGEST_WINDOW: usize = 128;

/// How raw media becomes what an encoder reads.
pub type Open<O> = fn(&RawMedia) -> Result<O, EncodeError>;

/// What `forward` takes, with the name that errors call it, or why there is none.
type Ready<P> = Result<(P, String), EncodeError>;

/// Gives an [`Encoder`] the object-safe face, once for all: decode and prepare on all cores,
/// forward in micro-batches, one result an item.
pub struct EncoderFace<E, O> {
    encoder: E,
    open: Open<O>,
    micro_batch: usize,
    window: usize,
}

impl<E, O> EncoderFace<E, O>
where
    E: Encoder,
    O: Borrow<E::Raw>,
{
    /// Wraps `encoder`; `open` decodes the media, `micro_batch` items go through `forward` at
    /// once.
    pub fn new(encoder: E, open: Open<O>, micro_batch: usize) -> Self {
        let micro_batch = micro_batch.max(1);
        Self { encoder, open, micro_batch, window: micro_batch.min(LONGEST_WINDOW) }
    }

    /// Looks for inputs of like [`Encoder::cost`] among so many items. About twice as many are in
    /// memory, prepared.
    #[must_use]
    pub fn with_window(mut self, items: usize) -> Self {
        self.window = items.max(1);
        self
    }

    fn ready(&self, media: &RawMedia) -> Ready<E::Prepared> {
        let raw = (self.open)(media)?;
        let origin = media.origin();
        // `prepare` sees the content alone; the error is to name the file.
        let prepared = self.encoder.prepare(raw.borrow()).map_err(|e| e.of(&origin))?;
        Ok((prepared, origin))
    }

    /// One result for each input, in order.
    fn forward(
        &self,
        ready: Vec<Ready<E::Prepared>>,
        device: &Device,
    ) -> Vec<Result<Vec<f32>, EncodeError>> {
        let mut results: Vec<Option<Result<Vec<f32>, EncodeError>>> =
            ready.iter().map(|_| None).collect();
        let mut good = Vec::with_capacity(ready.len());
        for (place, input) in ready.into_iter().enumerate() {
            match input {
                Ok((prepared, origin)) => good.push((place, origin, prepared)),
                Err(e) => results[place] = Some(Err(e)),
            }
        }
        // Stable, so that what costs the same keeps its order.
        good.sort_by_cached_key(|(_, _, prepared)| self.encoder.cost(prepared));
        while !good.is_empty() {
            let rest = good.split_off(self.micro_batch.min(good.len()));
            self.forward_some(good, device, &mut results);
            good = rest;
        }
        let none = || Err(EncodeError::Device("no result was given".to_owned()));
        results.into_iter().map(|r| r.unwrap_or_else(none)).collect()
    }

    fn forward_some(
        &self,
        inputs: Vec<(usize, String, E::Prepared)>,
        device: &Device,
        results: &mut [Option<Result<Vec<f32>, EncodeError>>],
    ) {
        let (places, batch): (Vec<(usize, String)>, Vec<E::Prepared>) =
            inputs.into_iter().map(|(place, origin, prepared)| ((place, origin), prepared)).unzip();
        let dim = self.encoder.info().dim;
        let vectors = self.encoder.forward(&batch, device).and_then(|t| {
            assert_eq!(t.dims(), [batch.len(), dim], "an encoder gives [batch, dim]");
            tensor_to_vec(t).map_err(EncodeError::Device)
        });
        match vectors {
            Ok(flat) => {
                for (row, (place, origin)) in flat.chunks_exact(dim).zip(places) {
                    results[place] = Some(self.checked(row, origin));
                }
            }
            Err(e) => {
                let message = e.to_string();
                for (place, _) in places {
                    results[place] = Some(Err(EncodeError::Device(message.clone())));
                }
            }
        }
    }

    fn checked(&self, row: &[f32], origin: String) -> Result<Vec<f32>, EncodeError> {
        if row.iter().all(|v| v.is_finite()) {
            return Ok(row.to_vec());
        }
        Err(EncodeError::NotFinite { encoder: self.encoder.info().name.clone(), origin })
    }
}

/// A decoder that panics on a stranger's file costs that file, not the run.
fn survived<P>(outcome: Outcome<Ready<P>>, fetch: &FetchMedia<'_>, item: usize) -> Ready<P> {
    outcome.unwrap_or_else(|panic| {
        Err(EncodeError::Decode {
            origin: fetch(item).map_or_else(|_| "a medium".to_owned(), |m| m.origin()),
            kind: DecodeKind::Corrupt,
            expected: "content that its decoder survives".to_owned(),
            found: format!("a panic: {}", said(panic.as_ref())),
        })
    })
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl<E, O> MediaEncoder for EncoderFace<E, O>
where
    E: Encoder,
    O: Borrow<E::Raw>,
{
    fn info(&self) -> &EncoderInfo {
        self.encoder.info()
    }

    fn encode(&self, media: &[&RawMedia], device: &Device) -> Vec<Result<Vec<f32>, EncodeError>> {
        self.forward(media.par_iter().map(|m| self.ready(m)).collect(), device)
    }

    fn window(&self) -> usize {
        self.window
    }

    fn encode_windows(
        &self,
        windows: &[Vec<usize>],
        fetch: &FetchMedia<'_>,
        device: &Device,
        take: &mut TakeVectors<'_>,
    ) {
        let threads = rayon::current_num_threads();
        let ahead = 2 * self.window + threads;
        let work = |item: usize| self.ready(&fetch(item)?);
        in_windows(windows, (threads, ahead), work, |at, outcomes| {
            let items = windows[at].iter().zip(outcomes);
            let ready = items.map(|(&item, outcome)| survived(outcome, fetch, item)).collect();
            take(at, self.forward(ready, device))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use burn::tensor::Tensor;
    use quintet_core::{Matrix, Modality};

    use super::*;
    use crate::matrix_to_tensor;

    /// The length of a text and its first byte; a text that begins with `!` makes it panic.
    struct Lengths {
        info: EncoderInfo,
        /// Lengths of the texts of each call.
        calls: Mutex<Vec<Vec<usize>>>,
        /// Whether a text was prepared while `forward` ran.
        side_by_side: AtomicBool,
        forward: AtomicBool,
    }

    impl Lengths {
        fn new() -> Self {
            let info = EncoderInfo {
                name: "lengths".to_owned(),
                modality: Modality::Text,
                dim: 2,
                limits: String::new(),
            };
            let (side_by_side, forward) = (AtomicBool::new(false), AtomicBool::new(false));
            Self { info, calls: Mutex::new(Vec::new()), side_by_side, forward }
        }
    }

    impl Encoder for Lengths {
        type Raw = str;
        type Prepared = [f32; 2];

        fn info(&self) -> &EncoderInfo {
            &self.info
        }

        fn prepare(&self, text: &str) -> Result<[f32; 2], EncodeError> {
            assert!(!text.starts_with('!'), "an exclamation");
            if self.forward.load(Ordering::SeqCst) {
                self.side_by_side.store(true, Ordering::SeqCst);
            }
            let first = *text.as_bytes().first().ok_or(EncodeError::Decode {
                origin: "text".to_owned(),
                kind: DecodeKind::Empty,
                expected: "a letter".to_owned(),
                found: "none".to_owned(),
            })?;
            Ok([text.len() as f32, f32::from(first)])
        }

        fn forward(&self, batch: &[[f32; 2]], device: &Device) -> Result<Tensor<2>, EncodeError> {
            self.forward.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            self.forward.store(false, Ordering::SeqCst);
            self.calls.lock().unwrap().push(batch.iter().map(|b| b[0] as usize).collect());
            let matrix = Matrix::from_vec(batch.len(), 2, batch.concat()).unwrap();
            Ok(matrix_to_tensor(&matrix, device))
        }

        fn cost(&self, prepared: &[f32; 2]) -> usize {
            prepared[0] as usize
        }
    }

    fn open(media: &RawMedia) -> Result<String, EncodeError> {
        match media {
            RawMedia::Text(text) => Ok(text.clone()),
            RawMedia::File(_) => unreachable!("only texts are tested"),
        }
    }

    fn encode(face: &EncoderFace<Lengths, String>, texts: &[String]) -> Vec<String> {
        let items: Vec<usize> = (0..texts.len()).collect();
        let windows: Vec<Vec<usize>> = items.chunks(face.window()).map(<[usize]>::to_vec).collect();
        let mut all = Vec::new();
        let fetch = |item: usize| Ok(RawMedia::Text(texts[item].clone()));
        face.encode_windows(&windows, &fetch, &Device::flex(), &mut |_, results| {
            all.extend(results.into_iter().map(|r| match r {
                Ok(vector) => format!("{vector:?}"),
                Err(e) => e.to_string(),
            }));
            true
        });
        all
    }

    #[test]
    fn like_lengths_share_a_batch_and_the_order_stays() {
        let texts: Vec<String> = [9, 1, 8, 2, 7, 3, 6, 4].map(|n| "x".repeat(n)).into();
        let face = EncoderFace::new(Lengths::new(), open, 2).with_window(4);
        let expected: Vec<String> =
            texts.iter().map(|t| format!("{:?}", [t.len() as f32, 120.0])).collect();
        assert_eq!(encode(&face, &texts), expected);
        let calls = face.encoder.calls.into_inner().unwrap();
        assert_eq!(calls, [[1, 2], [8, 9], [3, 4], [6, 7]]);
    }

    #[test]
    fn a_bad_or_hostile_item_costs_itself_only() {
        let texts: Vec<String> = ["a", "", "!", "bb"].map(str::to_owned).into();
        let results = encode(&EncoderFace::new(Lengths::new(), open, 8), &texts);
        assert_eq!(results[0], "[1.0, 97.0]");
        assert_eq!(results[1], "text: empty: expected a letter, found none");
        assert!(results[2].contains("found a panic: an exclamation"), "{}", results[2]);
        assert_eq!(results[3], "[2.0, 98.0]");
    }

    #[test]
    fn preparing_goes_on_while_the_device_works() {
        let texts: Vec<String> = (0..60).map(|i| "y".repeat(1 + i % 7)).collect();
        let face = EncoderFace::new(Lengths::new(), open, 4);
        let within = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| encode(&face, &texts))
        };
        assert_eq!(within(1), within(3));
        assert!(face.encoder.side_by_side.load(Ordering::SeqCst));
        let media: Vec<RawMedia> = texts.iter().map(|t| RawMedia::Text(t.clone())).collect();
        let media: Vec<&RawMedia> = media.iter().collect();
        let at_once = face.encode(&media, &Device::flex());
        let at_once: Vec<String> =
            at_once.into_iter().map(|r| format!("{:?}", r.unwrap())).collect();
        assert_eq!(at_once, within(2));
    }
}
