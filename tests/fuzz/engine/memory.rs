//! How much memory a thread holds.
#![allow(unsafe_code, reason = "an allocator is made of such functions; these two only count")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, which counts for each thread what it holds and the most that it has held.
pub struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: isize) {
    // gone when the thread ends: then nobody asks
    let _ = HELD.try_with(|held| {
        held.set(held.get() + sign * bytes.cast_signed());
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What this thread took since a moment.
pub struct Meter(isize);

impl Meter {
    pub fn start() -> Self {
        let held = HELD.get();
        MOST.set(held);
        Self(held)
    }

    /// The most that it held at once, beyond what it held at the start.
    pub fn peak(&self) -> usize {
        usize::try_from(MOST.get() - self.0).unwrap_or(0)
    }
}
