//! Numbers of Python's arrays, read where they lie while nobody holds the interpreter's lock.

use numpy::ndarray::ArrayView1;
use pyo3::prelude::*;
use tilewise_base::Array;
use tilewise_base::mapped::Plain;

/// Numbers in the memory of an object of Python.
struct Lent<T> {
    start: *const T,
    len: usize,
    /// Keeps the memory. NumPy moves none that somebody refers to.
    _owner: Py<PyAny>,
}

// SAFETY: the numbers are only read, and whoever holds the owner may be on any thread.
unsafe impl<T: Sync> Send for Lent<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Lent<T> {}

impl<T> AsRef<[T]> for Lent<T> {
    fn as_ref(&self) -> &[T] {
        // SAFETY: start and length are those of a slice in the memory of the owner, which is kept. That a program writes into an array
        // while it is read, from another thread, is ruled out by what the module's documentation says, as for NumPy's own functions.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// The numbers of `x`, a view of the array `owner`, where they lie; `None` where they do not follow each other.
pub(crate) fn lent<T: Plain>(x: ArrayView1<'_, T>, owner: &Bound<'_, PyAny>) -> Option<Array<T>> {
    let numbers = x.to_slice()?;
    Some(Array::shared(Lent { start: numbers.as_ptr(), len: numbers.len(), _owner: owner.clone().unbind() }))
}
