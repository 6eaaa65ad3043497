//! Memory of operands and results, the same for every worker in Rust.

use super::{Element, Problem};
use memmap2::MmapMut;
use std::io;
use std::ops::Range;

/// Bytes of a cache line: where every array begins.
const LINE: usize = 64;
/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// `N` arrays one after another, each from a cache line on, all written once by this thread before anything is timed.
///
/// From the size of a huge page on the first begins on one, and huge pages are asked for. So place, pages and first
/// touch are the same for all systems, and differences between them are their own.
pub struct Memory<T, const N: usize> {
    map: MmapMut,
    /// Places in bytes.
    places: [Range<usize>; N],
    element: std::marker::PhantomData<T>,
}

impl<T: Element, const N: usize> Memory<T, N> {
    /// Arrays of these lengths, full of NaN: a result that still has it was not written.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(lengths: [usize; N]) -> io::Result<Self> {
        let mut end = 0;
        let places = lengths.map(|len| {
            let start = end;
            end = (start + len * size_of::<T>()).next_multiple_of(LINE);
            start..start + len * size_of::<T>()
        });
        let huge = end >= HUGE_PAGE;
        let mut map = MmapMut::map_anon(end.max(LINE) + if huge { HUGE_PAGE } else { 0 })?;
        let mut skipped = 0;
        if huge {
            skipped = map.as_ptr().align_offset(HUGE_PAGE);
            // Systems without them refuse; then there are none for anyone.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        let places = places.map(|place| place.start + skipped..place.end + skipped);
        bytemuck::cast_slice_mut::<u8, T>(&mut map[skipped..skipped + end]).fill(T::NAN);
        Ok(Self { map, places, element: std::marker::PhantomData })
    }

    /// Array `i`.
    pub fn array(&self, i: usize) -> &[T] {
        bytemuck::cast_slice(&self.map[self.places[i].clone()])
    }

    /// All arrays.
    pub fn arrays(&mut self) -> [&mut [T]; N] {
        let (mut rest, mut passed) = (&mut self.map[..], 0);
        self.places.clone().map(|place| {
            let (before, after) = std::mem::take(&mut rest).split_at_mut(place.end - passed);
            let array = &mut before[place.start - passed..];
            (rest, passed) = (after, place.end);
            bytemuck::cast_slice_mut(array)
        })
    }

    /// Reads operand `name` of the problem into array `i`.
    ///
    /// # Errors
    /// When its file cannot be read or holds another number of elements.
    pub fn read(&mut self, i: usize, problem: &Problem, name: &str) -> io::Result<()> {
        let place = self.places[i].clone();
        self.map[place.clone()].copy_from_slice(&problem.read(name, place.len())?);
        Ok(())
    }

    /// Array `i`, widened.
    pub fn wide(&self, i: usize) -> Vec<f64> {
        self.array(i).iter().map(|&x| x.into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_aligned_apart_and_as_long_as_asked() {
        for (lengths, alignment) in [([1, 0, 17], 64), ([1000, 24, 3], 64), ([1 << 18, 5, 1 << 18], 2 << 20)]
        {
            let mut memory = Memory::<f32, 3>::new(lengths).unwrap();
            assert_eq!(memory.array(0).as_ptr() as usize % alignment, 0);
            for (i, array) in memory.arrays().into_iter().enumerate() {
                assert!(array.len() == lengths[i] && array.iter().all(|x| x.is_nan()));
                assert_eq!(array.as_ptr() as usize % LINE, 0);
                array.fill(i as f32);
            }
            for (i, len) in lengths.into_iter().enumerate() {
                assert_eq!(memory.wide(i), vec![i as f64; len]);
            }
        }
    }
}
