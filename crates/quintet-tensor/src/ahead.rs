//! Work on many threads, a bounded way ahead of one consumer.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many jobs may run, and which are taken.
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Jobs that have been taken.
    taken: usize,
    /// Jobs that may be taken so far.
    allowed: usize,
    /// All of them.
    total: usize,
    stopped: bool,
}

impl Gate {
    fn new(total: usize, allowed: usize) -> Self {
        let state = State { taken: 0, allowed, total, stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next job, once it may run; `None` when there is nothing more to do.
    fn next(&self) -> Option<usize> {
        let mut state = self.lock();
        while !state.stopped && state.taken < state.total && state.taken >= state.allowed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped || state.taken == state.total {
            return None;
        }
        state.taken += 1;
        Some(state.taken - 1)
    }

    fn allow(&self, more: usize) {
        self.lock().allowed += more;
        self.changed.notify_all();
    }
}

/// Lets the workers go, also when the consumer panics.
struct Stop<'a>(&'a Gate);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

/// A result, or what its panic said.
pub(crate) type Outcome<T> = std::thread::Result<T>;

/// Results of one window so far, `None` where one is still to come.
struct Open<T> {
    results: Vec<Option<Outcome<T>>>,
    missing: usize,
}

/// Calls `work` on every item, on `threads` threads and at most about `ahead` items before those
/// that `take` has done with; calls `take` with the number and the results of one window after the
/// other, in order, until it gives `false`.
///
/// The threads are not those of rayon: a consumer that waits in rayon's pool would keep a thread
/// from the very work that it waits for.
pub(crate) fn in_windows<T: Send>(
    windows: &[Vec<usize>],
    (threads, ahead): (usize, usize),
    work: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, Vec<Outcome<T>>) -> bool,
) {
    let longest = windows.iter().map(Vec::len).max().unwrap_or(0);
    // Window and place of each job.
    let jobs: Vec<(usize, usize)> = (0..windows.len())
        .flat_map(|window| (0..windows[window].len()).map(move |place| (window, place)))
        .collect();
    // The window that is waited for is always allowed as a whole.
    let gate = Gate::new(jobs.len(), ahead.max(longest));
    std::thread::scope(|scope| {
        let _stop = Stop(&gate);
        let (send, receive) = channel();
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            let (send, gate, jobs, work) = (send.clone(), &gate, &jobs, &work);
            scope.spawn(move || {
                while let Some(job) = gate.next() {
                    let (window, place) = jobs[job];
                    let item = windows[window][place];
                    // A worker that died would leave the consumer waiting for ever.
                    let result = catch_unwind(AssertUnwindSafe(|| work(item)));
                    if send.send((window, place, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut open = BTreeMap::new();
        for (at, window) in windows.iter().enumerate() {
            let Some(results) = wait_for(at, windows, &receive, &mut open) else { return };
            if !take(at, results) {
                return;
            }
            gate.allow(window.len());
        }
    });
}

/// The results of one window, when all of them have come.
fn wait_for<T>(
    at: usize,
    windows: &[Vec<usize>],
    receive: &Receiver<(usize, usize, Outcome<T>)>,
    open: &mut BTreeMap<usize, Open<T>>,
) -> Option<Vec<Outcome<T>>> {
    let fresh = |window: usize| {
        let missing = windows[window].len();
        Open { results: (0..missing).map(|_| None).collect(), missing }
    };
    open.entry(at).or_insert_with(|| fresh(at));
    while open.get(&at).is_some_and(|w| w.missing > 0) {
        let (window, place, result) = receive.recv().ok()?;
        let slot = open.entry(window).or_insert_with(|| fresh(window));
        slot.results[place] = Some(result);
        slot.missing -= 1;
    }
    Some(open.remove(&at)?.results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn windows(n: usize, size: usize) -> Vec<Vec<usize>> {
        let items: Vec<usize> = (0..n).collect();
        items.chunks(size).map(<[usize]>::to_vec).collect()
    }

    #[test]
    fn results_come_in_order_whoever_is_first() {
        for (threads, ahead) in [(1, 0), (3, 4), (8, 1000)] {
            let windows = windows(50, 7);
            let mut seen = Vec::new();
            let work = |item: usize| {
                // Early items are the slowest.
                std::thread::sleep(Duration::from_micros(500 / (item as u64 + 1)));
                item * item
            };
            in_windows(&windows, (threads, ahead), work, |at, results| {
                assert_eq!(results.len(), windows[at].len());
                seen.extend(results.into_iter().map(Result::unwrap));
                true
            });
            assert_eq!(seen, (0..50).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_workers_stay_within_the_bound() {
        let (begun, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let windows = windows(60, 5);
        let work = |_| {
            let begun = begun.fetch_add(1, Ordering::SeqCst) + 1;
            let most = taken.load(Ordering::SeqCst) + 10;
            assert!(begun <= most, "{begun} begun, {most} allowed");
        };
        in_windows(&windows, (4, 10), work, |_, results| {
            std::thread::sleep(Duration::from_millis(1));
            results.iter().for_each(|r| assert!(r.is_ok()));
            taken.fetch_add(results.len(), Ordering::SeqCst);
            true
        });
        assert_eq!(begun.into_inner(), 60);
    }

    #[test]
    fn a_panic_is_the_result_of_its_item_and_a_consumer_may_leave() {
        let windows = windows(40, 4);
        let mut calls = 0;
        let work = |item: usize| assert_ne!(item, 5, "five");
        in_windows(&windows, (2, 8), work, |at, results| {
            calls += 1;
            let bad: Vec<bool> = results.iter().map(Result::is_err).collect();
            assert_eq!(bad, [false, at == 1, false, false]);
            at < 2
        });
        assert_eq!(calls, 3);
        in_windows(&[], (2, 8), |_| (), |_, _| unreachable!("there is no window"));
    }
}
