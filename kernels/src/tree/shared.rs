//! Elements that no longer change, wherever they lie.

use std::fmt::Debug;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Elements that are read for as long as somebody wants them: those of a vector, or of a file that is mapped and that other
/// processes read too. Clones share them. Where they lie is asked once, so reading them costs what reading a slice does.
///
/// ```
/// use tilewise_kernels::tree::Shared;
/// let shared = Shared::new(vec![1.5, 2.5]);
/// assert_eq!(shared.clone()[1], 2.5);
/// ```
pub struct Shared<T> {
    elements: NonNull<[T]>,
    holder: Arc<dyn Send + Sync>,
}

// SAFETY: elements are only read, through `&[T]`, which threads may share and pass on where `T` is `Sync`; the holder is both.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Those that `holder` gives when it is asked here; it is kept for as long as they or a clone of them are there.
    pub fn new(holder: impl AsRef<[T]> + Send + Sync + 'static) -> Self {
        let holder = Arc::new(holder);
        // Asked where it stays: elements of an array would move with it.
        let elements = NonNull::from((*holder).as_ref());
        Self { elements, holder }
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the slice was borrowed from `holder`, which neither moves nor is dropped while this is there, and which nobody
        // can reach to change it: there is no way from here to a `&mut` of it. Through `&` alone it may not end or change what it
        // lent, since whoever lends from `&self` cannot know how long that lasts. The `&T` live no longer than this.
        unsafe { self.elements.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { elements: self.elements, holder: Arc::clone(&self.holder) }
    }
}

impl<T> Default for Shared<T>
where
    Vec<T>: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T> From<Vec<T>> for Shared<T>
where
    Vec<T>: Send + Sync + 'static,
{
    fn from(elements: Vec<T>) -> Self {
        Self::new(elements)
    }
}

impl<T: Debug> Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells when it is dropped.
    struct Held {
        numbers: [u8; 3],
        _alive: Arc<()>,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.numbers
        }
    }

    #[test]
    fn elements_are_there_until_the_last_that_reads_them_is_gone() {
        let alive = Arc::new(());
        let first = Shared::new(Held { numbers: [1, 2, 3], _alive: Arc::clone(&alive) });
        let second = first.clone();
        let moved = Box::new((first, 7));
        assert_eq!((&*moved.0, &*second), (&[1, 2, 3][..], &[1, 2, 3][..]));
        drop(moved);
        let read = std::thread::spawn(move || (second[2], Arc::strong_count(&alive)));
        assert_eq!(read.join().unwrap(), (3, 2));
        let alive = Arc::new(());
        drop(Shared::new(Held { numbers: [0; 3], _alive: Arc::clone(&alive) }));
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
