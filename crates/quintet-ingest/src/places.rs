//! Which row of which table each event comes from, in a few bytes for millions of them.

use crate::log::{FileId, Origin};

/// Rows of one table whose lines follow each other without a gap.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    origin: Origin,
}

/// The origins of events, by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    runs: Vec<Run>,
    len: u32,
}

impl Places {
    /// Adds the origin of the next event.
    pub(crate) fn push(&mut self, origin: Origin) {
        let follows = self.runs.last().is_some_and(|run| {
            let ahead = u64::from(self.len - run.first);
            run.origin.file == origin.file && run.origin.line + ahead == origin.line
        });
        if !follows {
            self.runs.push(Run { first: self.len, origin });
        }
        self.len += 1;
    }

    /// The origin of an event that was added.
    pub(crate) fn get(&self, position: usize) -> Origin {
        let at = self.runs.partition_point(|run| run.first as usize <= position) - 1;
        let Run { first, origin } = self.runs[at];
        Origin { line: origin.line + (position - first as usize) as u64, ..origin }
    }

    /// The table and how many events of it are marked, for every run.
    pub(crate) fn counts<'a>(
        &'a self,
        marks: &'a [bool],
    ) -> impl Iterator<Item = (FileId, u64)> + 'a {
        self.runs.iter().enumerate().map(move |(at, run)| {
            let end = self.runs.get(at + 1).map_or(self.len, |next| next.first) as usize;
            let marked = marks[run.first as usize..end].iter().filter(|m| **m).count();
            (run.origin.file, marked as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_tables_begin_a_run() {
        let mut places = Places::default();
        let origins = [(0, 2), (0, 3), (0, 5), (1, 6), (1, 7)]
            .map(|(file, line)| Origin { file: FileId(file), line });
        origins.into_iter().for_each(|o| places.push(o));
        assert_eq!(places.runs.len(), 3);
        for (position, origin) in origins.into_iter().enumerate() {
            assert_eq!(places.get(position), origin);
        }
        let counts: Vec<_> = places.counts(&[true, false, true, true, true]).collect();
        assert_eq!(counts, [(FileId(0), 1), (FileId(0), 1), (FileId(1), 2)]);
    }
}
