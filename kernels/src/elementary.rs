//! Elementary functions, element by element, and the softmax of rows: the same operations in the same order on every
//! instruction set, so the same bits everywhere, for `f32` and `f64`.
//!
//! A function of one vector is a type that implements [`Function`]: whatever has a vector in a register can apply it there.
//! Each states its largest error (`EXP_ULP`, ...) in units of the last place of the true value; below the smallest normal
//! number that unit is the smallest number there is. The tests assert it, for `f32` on all numbers.

use crate::matrix::same;
use crate::simd::{Lanes, Task};
use crate::{Float, ShapeError, parallel};
use std::marker::PhantomData;

mod erf;
mod exp;
mod log;
mod polynomial;
mod sigmoid;
mod softmax;
mod softsign;

pub(crate) use erf::Gelu;
pub use erf::{ERF_ULP, GELU_ULP, erf, gelu};
pub use exp::{EXP_ULP, exp};
pub use log::{LOG_ULP, log};
pub use sigmoid::{SIGMOID_ULP, SOFTPLUS_ULP, TANH_ULP, sigmoid, softplus, tanh};
pub(crate) use sigmoid::{Sigmoid, Softplus, Tanh};
pub use softmax::{log_softmax, softmax};
pub use softsign::{SOFTSIGN_ULP, softsign};

/// Elements of a task.
const TASK: usize = 16 * 1024;

/// A function of one vector.
pub(crate) trait Function {
    /// Its value at each lane; implementations must be `#[inline(always)]`.
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V;
}

/// The elementwise functions as values: for a choice at run time, and for results that take the place of their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elementary {
    /// [`exp`]
    Exp,
    /// [`log`]
    Log,
    /// [`sigmoid`]
    Sigmoid,
    /// [`tanh`]
    Tanh,
    /// [`softplus`]
    Softplus,
    /// [`erf`]
    Erf,
    /// [`gelu`]
    Gelu,
    /// [`softsign`]
    Softsign,
}

impl Elementary {
    /// Replaces every x by the function of it: the same bits as the function of that name gives.
    ///
    /// ```
    /// let mut x = [0.0f32, 1.0];
    /// tilewise_kernels::Elementary::Tanh.in_place(&mut x);
    /// assert_eq!(x, [0.0, 0.7615942]);
    /// ```
    pub fn in_place<T: Float>(self, x: &mut [T]) {
        match self {
            Self::Exp => in_place::<T, exp::Exp>(x),
            Self::Log => in_place::<T, log::Log>(x),
            Self::Sigmoid => in_place::<T, sigmoid::Sigmoid>(x),
            Self::Tanh => in_place::<T, sigmoid::Tanh>(x),
            Self::Softplus => in_place::<T, sigmoid::Softplus>(x),
            Self::Erf => in_place::<T, erf::Erf>(x),
            Self::Gelu => in_place::<T, erf::Gelu>(x),
            Self::Softsign => in_place::<T, softsign::Softsign>(x),
        }
    }
}

/// out = F(x), element by element.
fn map<T: Float, F: Function>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    same("length of out", x.len(), out.len())?;
    if x.len() <= TASK {
        T::dispatch(Map { x, out, function: PhantomData::<F> });
    } else {
        parallel::for_each_chunk_mut(out, TASK, |i, out| {
            T::dispatch(Map { x: &x[i * TASK..][..out.len()], out, function: PhantomData::<F> });
        });
    }
    Ok(())
}

/// x = F(x), element by element.
fn in_place<T: Float, F: Function>(x: &mut [T]) {
    if x.len() <= TASK {
        T::dispatch(InPlace { x, function: PhantomData::<F> });
    } else {
        parallel::for_each_chunk_mut(x, TASK, |_, x| T::dispatch(InPlace { x, function: PhantomData::<F> }));
    }
}

struct Map<'a, T, F> {
    x: &'a [T],
    out: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Float, F: Function> Task<T> for Map<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        assert!(self.x.len() == self.out.len());
        // SAFETY: as many elements in both, which as a shared and a unique slice are apart.
        unsafe { apply::<T, S, F>(simd, self.x.as_ptr(), self.out.as_mut_ptr(), self.x.len()) }
    }
}

struct InPlace<'a, T, F> {
    x: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Float, F: Function> Task<T> for InPlace<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let x = self.x.as_mut_ptr();
        // SAFETY: the elements of one slice, from one pointer.
        unsafe { apply::<T, S, F>(simd, x, x, self.x.len()) }
    }
}

/// Vector by vector.
///
/// # Safety
/// `x` must be valid for reading and `out` for writing `len` elements; they are equal or their elements apart.
#[inline(always)]
unsafe fn apply<T: Float, S: Lanes<T>, F: Function>(simd: S, x: *const T, out: *mut T, len: usize) {
    let whole = len - len % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        // SAFETY: i + LANES <= len.
        unsafe { simd.store(out.add(i), F::of(simd, simd.load(x.add(i)))) };
    }
    if whole < len {
        // SAFETY: whole + (len - whole) = len, and fewer than LANES.
        unsafe {
            let v = simd.load_first(x.add(whole), len - whole);
            simd.store_first(out.add(whole), F::of(simd, v), len - whole);
        }
    }
}
