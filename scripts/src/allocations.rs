//! Counts the allocations of each thread, so that `abs bench control` can say that the control thread makes none.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Allocations of the calling thread so far.
pub fn of_this_thread() -> u64 {
    ALLOCATIONS.get()
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get().wrapping_add(1));
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counter is a plain thread-local cell with
// a constant initializer and no destructor, and so allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[cfg(test)]
mod tests {
    #[test]
    fn allocations_are_counted_on_the_thread_that_makes_them() {
        let before = super::of_this_thread();
        let elsewhere = std::thread::spawn(|| {
            let before = super::of_this_thread();
            drop(std::hint::black_box(vec![1, 2, 3]));
            super::of_this_thread() - before
        });
        let here = super::of_this_thread();
        assert_eq!(elsewhere.join().unwrap(), 1);
        assert!(here > before, "starting a thread allocates");
        drop(std::hint::black_box(vec![1, 2, 3]));
        assert!(super::of_this_thread() > here);
    }
}
