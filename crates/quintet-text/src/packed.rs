//! Sequences of ids that lie one after the other.

/// Tokens that go through a network at once on a CPU: what a layer needs then stays in the
/// cache, and the groups run side by side.
const GROUP: usize = 256;
/// Tokens at once elsewhere.
const LARGE_GROUP: usize = 16_384;

/// Cuts sequences into groups of about so many tokens as suit the device.
pub(crate) fn groups<'s, 'i>(
    sequences: &'s [&'i [u32]],
    device: &quintet_tensor::Device,
) -> Vec<&'s [&'i [u32]]> {
    let most = if quintet_tensor::nn::is_host(device) { GROUP } else { LARGE_GROUP };
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
