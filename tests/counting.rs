//! An allocator that counts, so that tests can bound what a call allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes this thread holds, counted from an arbitrary start, and the most it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    // Fails only while the thread ends, when nobody looks any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = now + change;
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged, whose promises are ours; counting touches a
// thread-local integer and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `pointer` came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What `f` returns, and the most bytes that this thread held meanwhile beyond what it held before.
pub(crate) fn peak<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get().0;
    HELD.set((before, before));
    let result = f();
    (result, (HELD.get().1 - before).max(0) as usize)
}

#[test]
fn peaks_are_counted() {
    let (kept, bytes) = peak(|| {
        drop(vec![1u8; 5000]);
        vec![2u8; 1000]
    });
    assert_eq!((kept.len(), bytes), (1000, 5000));
}
