//! Counts the allocations of each thread.

use std::{
    alloc::{GlobalAlloc, Layout as MemoryLayout, System},
    cell::Cell,
};

use policies::Linear;

struct Counting;

thread_local! {
    /// Allocations of this thread so far.
    pub static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counter is a plain thread-local cell with
// a constant initializer and no destructor, and so allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: MemoryLayout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: MemoryLayout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Layers of the given widths with weights that are neither zero nor equal.
pub fn layers(widths: &[usize]) -> Vec<Linear> {
    let layer = |pair: &[usize]| Linear {
        weight: (0..pair[0] * pair[1])
            .map(|k| 0.05 * (k as f32).sin())
            .collect(),
        bias: vec![0.0; pair[1]],
        inputs: pair[0],
    };
    widths.windows(2).map(layer).collect()
}
