//! One seed, many independent generators.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Derives a generator for every purpose from one seed.
///
/// A generator depends on the seed, the purpose and a counter only, never on what was drawn
/// before or on which thread: work can run in any order and be resumed at any step.
///
/// ```
/// use quintet_core::SeedStream;
/// use rand::Rng;
/// let s = SeedStream::new(7);
/// assert_eq!(s.rng("init", 0).next_u64(), s.rng("init", 0).next_u64());
/// assert_ne!(s.rng("init", 0).next_u64(), s.rng("init", 1).next_u64());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedStream {
    seed: u64,
}

impl SeedStream {
    /// The family of generators of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The generator for `purpose`, `counter` (an epoch, a shard, a trial).
    pub fn rng(&self, purpose: &str, counter: u64) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&fnv1a(purpose.as_bytes()).to_le_bytes());
        key[16..24].copy_from_slice(&counter.to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }
}

/// FNV-1a, 64 bits: a fixed hash, so that seeds mean the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn purposes_and_counters_are_independent_and_fixed() {
        let s = SeedStream::new(42);
        let first = |p, c| s.rng(p, c).next_u64();
        assert_ne!(first("negatives", 0), first("shuffle", 0));
        assert_ne!(first("negatives", 0), first("negatives", 1));
        // Pinned: a change here changes every published run.
        assert_eq!(first("negatives", 0), SeedStream::new(42).rng("negatives", 0).next_u64());
    }
}
