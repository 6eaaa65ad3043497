//! Operands between pages that may not be touched: a read or write one element outside ends the process.

/// A slice that ends (or begins) exactly where a forbidden page begins (or ends).
pub(crate) struct Guarded<T> {
    map: *mut libc::c_void,
    bytes: usize,
    data: *mut T,
    len: usize,
}

/// Which end of the slice touches the forbidden page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edge {
    Front,
    Back,
}

impl<T: Copy> Guarded<T> {
    pub(crate) fn new(values: &[T], edge: Edge) -> Self {
        // SAFETY: sysconf only reads.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let size = size_of_val(values);
        let inner = size.div_ceil(page) * page;
        let bytes = inner + 2 * page;
        // SAFETY: a fresh anonymous mapping; the result is checked. The inner pages are made accessible, the first and
        // last stay forbidden. `data` is inside the inner pages, which hold `size` bytes from either end, and is
        // aligned: pages are, and sizes are multiples of the element's size.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let map = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
            assert!(map != libc::MAP_FAILED, "no memory for a guarded operand");
            let first = map.cast::<u8>().add(page);
            if inner > 0 {
                assert_eq!(libc::mprotect(first.cast(), inner, libc::PROT_READ | libc::PROT_WRITE), 0);
            }
            let data = match edge {
                Edge::Front => first.cast::<T>(),
                Edge::Back => first.add(inner - size).cast::<T>(),
            };
            std::ptr::copy_nonoverlapping(values.as_ptr(), data, values.len());
            Self { map, bytes, data, len: values.len() }
        }
    }
}

impl<T> std::ops::Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: new() made len initialised elements at data, which live until drop.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}
impl<T> std::ops::DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}
impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that new() made, unmapped once.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}
