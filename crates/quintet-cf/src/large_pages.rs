//! Numbers in large pages where there are many.
//!
//! Training on sparse matrices reads rows of a table in no order. With pages of 4 KiB nearly every
//! such row of a large table is in a page that the processor has to look up in memory first; with
//! 2 MiB whole tables fit in its cache of pages. Linux gives large pages to memory that asks for
//! them, so large tables lie in a mapping of their own that does.

use std::fmt;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Tables of so many bytes ask for large pages; smaller ones fit in what processors keep.
const LARGE: usize = 4 << 20;

/// Zeroed numbers; in large pages from [`LARGE`] bytes on, where the system has them.
pub(crate) enum Numbers {
    Heap(Vec<f32>),
    Mapped(MmapMut),
}

impl Numbers {
    pub(crate) fn zeros(len: usize) -> Self {
        match len.checked_mul(size_of::<f32>()).filter(|bytes| *bytes >= LARGE).and_then(mapping) {
            Some(mapping) => Self::Mapped(mapping),
            None => Self::Heap(vec![0.0; len]),
        }
    }
}

/// A mapping that asks for large pages. None where there is none to be had, which the heap may
/// still serve.
#[cfg(target_os = "linux")]
fn mapping(bytes: usize) -> Option<MmapMut> {
    let mapping = MmapMut::map_anon(bytes).ok()?;
    // Refused where the kernel is built without them: the mapping is as good as the heap then.
    mapping.advise(memmap2::Advice::HugePage).ok();
    Some(mapping)
}

#[cfg(not(target_os = "linux"))]
fn mapping(_: usize) -> Option<MmapMut> {
    None
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Heap(numbers) => numbers,
            Self::Mapped(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl DerefMut for Numbers {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Heap(numbers) => numbers,
            Self::Mapped(bytes) => bytemuck::cast_slice_mut(bytes),
        }
    }
}

impl Clone for Numbers {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_tables_begin_at_zero_and_are_copied_whole() {
        for len in [0, 7, LARGE / 4 - 1, LARGE / 4, LARGE / 2 + 3] {
            let mut numbers = Numbers::zeros(len);
            assert_eq!(numbers.len(), len);
            assert!(numbers.iter().all(|x| *x == 0.0));
            if let Some(last) = numbers.last_mut() {
                *last = 2.0;
            }
            let copy = numbers.clone();
            assert_eq!(copy, numbers);
            assert!(len == 0 || copy[len - 1] == 2.0);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_large_tables_leave_the_heap() {
        assert!(matches!(Numbers::zeros(LARGE / 4 - 1), Numbers::Heap(_)));
        assert!(matches!(Numbers::zeros(LARGE / 4), Numbers::Mapped(_)));
    }
}
