//! Sequences of ids that lie one after the other.

use burn::prelude::*;
use rayon::prelude::*;

/// Tokens that go through a network at once on a CPU: what a layer needs then stays in the
/// cache, and the groups run side by side.
const GROUP: usize = 256;
/// Tokens at once elsewhere.
const LARGE_GROUP: usize = 16_384;

/// What `network` makes of each group of ids and lengths, in their order: side by side, but for a
/// graph of gradients, which one thread alone may build (parts that share arrays lose nodes else).
pub(crate) fn on_groups(
    sequences: &[&[u32]],
    device: &Device,
    network: impl Fn(&[u32], &[usize]) -> Tensor<2> + Sync,
) -> Vec<Tensor<2>> {
    let of = |group: &[&[u32]]| {
        let lengths: Vec<usize> = group.iter().map(|ids| ids.len()).collect();
        network(&group.concat(), &lengths)
    };
    let groups = groups(sequences, device);
    match device.is_autodiff() {
        true => groups.into_iter().map(of).collect(),
        false => groups.into_par_iter().map(of).collect(),
    }
}

/// Cuts sequences into groups of about so many tokens as suit the device.
fn groups<'s, 'i>(sequences: &'s [&'i [u32]], device: &Device) -> Vec<&'s [&'i [u32]]> {
    let small = quintet_tensor::nn::is_host(device) && !device.is_autodiff();
    let most = if small { GROUP } else { LARGE_GROUP };
    let mut groups = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, sequence) in sequences.iter().enumerate() {
        if at > start && tokens + sequence.len() > most {
            groups.push(&sequences[start..at]);
            (start, tokens) = (at, 0);
        }
        tokens += sequence.len();
    }
    groups.push(&sequences[start..]);
    groups.retain(|group| !group.is_empty());
    groups
}
