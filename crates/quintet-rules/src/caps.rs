//! At most so many items of a category.
//!
//! Candidates go in in their order; one that would be the `max + 1`-th of any of its categories
//! waits. When the list would stay short, those that waited follow in their order: a full list
//! matters more than the cap.

use quintet_core::Scored;

use crate::context::RuleContext;

pub(crate) fn cap(context: &RuleContext, list: &[Scored], k: usize, max: usize) -> Vec<Scored> {
    let mut counts = vec![0usize; context.n_categories()];
    let (mut shown, mut waiting) = (Vec::with_capacity(k.min(list.len())), Vec::new());
    for scored in list {
        if shown.len() == k {
            break;
        }
        let shares = context.shares(scored.item);
        if shares.iter().any(|(c, _)| counts[*c as usize] >= max) {
            waiting.push(*scored);
            continue;
        }
        shares.iter().for_each(|(c, _)| counts[*c as usize] += 1);
        shown.push(*scored);
    }
    let missing = k - shown.len();
    shown.extend(waiting.into_iter().take(missing));
    shown
}
