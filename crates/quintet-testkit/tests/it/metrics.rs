//! Metrics: those of the library pass, three wrong ones do not.

use quintet_metrics::{MetricEntry, MetricKind, RankedUser};
use quintet_testkit::check_metric;

use crate::must_find;

#[test]
fn the_metrics_of_the_library_pass() {
    for entry in quintet_metrics::registry().unwrap().iter() {
        check_metric(entry);
    }
}

fn faulty(f: fn(&RankedUser<'_>) -> f64) -> MetricEntry {
    MetricEntry { name: "faulty", summary: "wrong on purpose", kind: MetricKind::PerUser(f) }
}

#[test]
fn wrong_metrics_are_found() {
    let count = faulty(|user| user.n_hits() as f64);
    must_find("a count, not a share", || check_metric(&count), "not within 0 and 1");
    let last = faulty(|user| user.hit_ranks().last().unwrap_or(0) as f64 / user.k() as f64);
    must_find("later is better", || check_metric(&last), "an earlier hit");
    let short = faulty(|user| user.n_hits() as f64 / user.hits().len().max(1) as f64);
    must_find("divides by the list", || check_metric(&short), "misses at the end");
    let half = faulty(|user| 0.5 * user.n_hits() as f64 / user.k() as f64);
    must_find("half of everything", || check_metric(&half), "not 1");
}
