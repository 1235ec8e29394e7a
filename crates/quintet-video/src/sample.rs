//! Which frames stand for a clip.

/// For each of `slots` equal spans of time, the frame that is shown in its middle.
///
/// `delays` are the times the frames are shown, in any unit; the result ascends and may name a
/// frame more than once.
///
/// # Panics
/// When there are no frames or no slots.
pub(crate) fn slots(delays: &[u32], slots: usize) -> Vec<usize> {
    assert!(!delays.is_empty() && slots > 0, "a clip has frames and slots");
    let total: u64 = delays.iter().map(|&d| u64::from(d)).sum();
    let (mut frame, mut end) = (0, u64::from(delays[0]));
    let doubled = 2 * slots as u64;
    (0..slots as u64)
        .map(|s| {
            // The middle lies at (2 s + 1) / (2 slots) of the total.
            while (2 * s + 1) * total >= end * doubled && frame + 1 < delays.len() {
                frame += 1;
                end += u64::from(delays[frame]);
            }
            frame
        })
        .collect()
}

/// The frames named by slots, each once, and for every slot the place of its frame among them.
pub(crate) fn distinct(slots: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut frames: Vec<usize> = Vec::new();
    let places = slots
        .iter()
        .map(|&s| {
            if frames.last() != Some(&s) {
                frames.push(s);
            }
            frames.len() - 1
        })
        .collect();
    (frames, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_time_not_numbers() {
        assert_eq!(slots(&[5; 4], 4), [0, 1, 2, 3]);
        // 8 units in 4 slots: middles 1, 3, 5, 7; frame 0 ends at 6, frame 1 at 7, frame 2 at 8.
        assert_eq!(slots(&[6, 1, 1], 4), [0, 0, 0, 2]);
        assert_eq!(slots(&[7], 3), [0, 0, 0]);
        // 8 frames in 2 slots: middles at 2 and 6 of 8, where frames 2 and 6 begin.
        assert_eq!(slots(&[1; 8], 2), [2, 6]);
        assert_eq!(slots(&[0, 0], 2), [1, 1], "times of zero stay in bounds");
    }

    #[test]
    fn distinct_frames_keep_their_order() {
        assert_eq!(distinct(&[0, 0, 3, 3, 7]), (vec![0, 3, 7], vec![0, 0, 1, 1, 2]));
    }
}
