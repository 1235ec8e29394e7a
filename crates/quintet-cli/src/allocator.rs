//! The program's allocator.
//!
//! Every tensor operation allocates its output and frees its inputs, megabytes each time. Given
//! back to the system, such memory costs a page fault for every 4 KiB when it is taken again, and
//! faults of one thread wait for those of another: a third of the time of training.

/// mimalloc takes 10–15 % off a forward pass.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc, versions 2 and 3; the binding does not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps memory that was freed for the next allocation instead of giving it back to the system.
#[allow(unsafe_code)]
pub(crate) fn keep_freed_memory() {
    // SAFETY: the function writes one entry of a table of whole numbers, and is not safe beside
    // other threads, of which there are none yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
