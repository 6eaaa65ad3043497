//! The histogram of one child from those of its parent and its sibling.

use super::Cell;
use crate::ShapeError;
use crate::matrix::same;
use crate::simd::{Lanes, LanesOfEverySet, Task};

/// parent -= child, cell by cell: what is left is the histogram of the other child, exactly. So only the smaller child is
/// ever summed over its rows. Runs on the calling thread.
///
/// ```
/// use tilewise_kernels::tree::subtract;
/// let mut counts = [5u32, 7];
/// subtract(&mut counts, &[2, 7]).unwrap();
/// assert_eq!(counts, [3, 0]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn subtract<C: Cell>(parent: &mut [C], child: &[C]) -> Result<(), ShapeError> {
    same("cells of the child against the parent", parent.len(), child.len())?;
    f32::dispatch(Subtract { parent, child });
    Ok(())
}

struct Subtract<'a, C> {
    parent: &'a mut [C],
    child: &'a [C],
}

impl<C: Cell> Task<f32> for Subtract<'_, C> {
    type Output = ();
    /// A plain loop, which the compiler vectorises for the set.
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) {
        for (a, &b) in self.parent.iter_mut().zip(self.child) {
            *a = a.minus(b);
        }
    }
}
