//! Reductions: many elements folded into a few numbers, in one order for all of them.
//!
//! **Order.** Elements are cut into leaves of 4096. Inside a leaf, element i goes to a virtual lane, i modulo the number
//! of lanes: those of 256 bytes where a lane holds one number (64 of f32, 32 of f64: 8 registers of AVX2, 4 of AVX-512,
//! 16 of NEON), half as many where it holds two or three. Lanes are then merged by halves, leaves in the fixed tree of
//! [`parallel::map_reduce`]. So the bits depend on the length alone, not on threads or instruction set (portable code
//! without FMA excepted where products are added), and the error of a sum grows with the logarithm of the length.

use crate::simd::{Lanes, Task};
use crate::{Float, parallel};
use std::ops::Range;

/// Elements folded in one go.
pub(crate) const LEAF: usize = 4096;

/// Elements of a task: whole leaves, a power of two of them so that the tree is that of the leaves.
pub(crate) const TASK: usize = 16 * LEAF;

/// What a lane remembers of the elements it has seen: `N` numbers. A type, not a closure: functions passed as values were
/// not inlined into the instruction set's trampoline, and every operation became a call.
///
/// As written here the numbers are sums; what is not a sum says how two of them become one.
pub(crate) trait Reduction<const N: usize>: 'static {
    /// What a lane holds before its first element.
    #[inline(always)]
    fn start<T: Float>() -> [T; N] {
        [T::ZERO; N]
    }
    /// What x is filled up with where elements do not fill a vector; y is filled up with zeros. Must change nothing.
    #[inline(always)]
    fn filler<T: Float>() -> T {
        T::ZERO
    }
    /// One more element of x, and the element of y that belongs to it.
    fn step<T: Float, S: Lanes<T>>(simd: S, acc: [S::V; N], x: S::V, y: S::V) -> [S::V; N];
    /// What two vectors of lanes know together.
    #[inline(always)]
    fn merge<T: Float, S: Lanes<T>>(simd: S, mut a: [S::V; N], b: [S::V; N]) -> [S::V; N] {
        for k in 0..N {
            a[k] = simd.add(a[k], b[k]);
        }
        a
    }
    /// The same of two lanes.
    #[inline(always)]
    fn join<T: Float>(a: [T; N], b: [T; N]) -> [T; N] {
        std::array::from_fn(|k| a[k] + b[k])
    }
}

/// The sum of x y.
pub(crate) struct Products;
impl Reduction<1> for Products {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, [acc]: [S::V; 1], x: S::V, y: S::V) -> [S::V; 1] {
        [simd.mul_add(x, y, acc)]
    }
}

/// The sum of x.
pub(crate) struct Terms;
impl Reduction<1> for Terms {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, [acc]: [S::V; 1], x: S::V, _: S::V) -> [S::V; 1] {
        [simd.add(acc, x)]
    }
}

/// Where the second operand of a step comes from.
pub(crate) trait Second<T>: Copy {
    /// Its elements from `i` on; the first `n` of a vector, zeros behind.
    ///
    /// # Safety
    /// It must reach to `i + n` elements, and `n` be at most `LANES`.
    unsafe fn at<S: Lanes<T>>(self, simd: S, i: usize, n: usize) -> S::V;
    /// Whether it has an element beside each of `len`.
    fn reaches(self, len: usize) -> bool;
    /// What lies beside a range of elements.
    fn part(self, range: Range<usize>) -> Self;
}

impl<T: Float> Second<T> for &[T] {
    #[inline(always)]
    unsafe fn at<S: Lanes<T>>(self, simd: S, i: usize, n: usize) -> S::V {
        // SAFETY: the caller promises that these elements exist.
        unsafe { simd.load_first(self.as_ptr().add(i), n) }
    }
    #[inline(always)]
    fn reaches(self, len: usize) -> bool {
        self.len() == len
    }
    #[inline(always)]
    fn part(self, range: Range<usize>) -> Self {
        &self[range]
    }
}

/// The same value beside every element.
#[derive(Clone, Copy)]
pub(crate) struct Everywhere<T>(pub(crate) T);
impl<T: Float> Second<T> for Everywhere<T> {
    #[inline(always)]
    unsafe fn at<S: Lanes<T>>(self, simd: S, _: usize, n: usize) -> S::V {
        if n == S::LANES {
            return simd.splat(self.0);
        }
        // SAFETY: no set has more than 16 lanes.
        unsafe { simd.load_first([self.0; 16].as_ptr(), n) }
    }
    #[inline(always)]
    fn reaches(self, _: usize) -> bool {
        true
    }
    #[inline(always)]
    fn part(self, _: Range<usize>) -> Self {
        self
    }
}

/// Folds `x`, with `y` (of equal length) beside it, as a task of its own.
///
/// One place for the task to be made, in registers: copied to two callers' it was written and read again in other
/// pieces, and a sum of ten elements took 18 ns, not 6.
#[inline(never)]
pub(crate) fn fold<T: Float, K: Reduction<N>, const N: usize>(x: &[T], y: impl Second<T>) -> [T; N] {
    T::dispatch(Fold::<_, _, K, N> { x, y, how: std::marker::PhantomData })
}

struct Fold<'a, T, Y, K, const N: usize> {
    x: &'a [T],
    y: Y,
    how: std::marker::PhantomData<K>,
}

impl<T: Float, Y: Second<T>, K: Reduction<N>, const N: usize> Task<T> for Fold<'_, T, Y, K, N> {
    type Output = [T; N];
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> [T; N] {
        leaves::<T, S, K, N>(simd, self.x, self.y)
    }
}

/// Tasks over `0..len` merged in the fixed tree, on one thread when there is little to read; `None` of nothing.
pub(crate) fn in_parallel<A: Send>(
    len: usize,
    bytes: usize,
    task: impl Fn(Range<usize>) -> A + Sync,
    merge: impl Fn(A, A) -> A + Sync,
) -> Option<A> {
    if len <= TASK {
        return (len > 0).then(|| task(0..len));
    }
    let total = || parallel::map_reduce(len, TASK, &task, &merge);
    // 2 MiB: below, waking a worker costs more than it saves.
    if bytes < 4 * parallel::GRAIN_BYTES { parallel::on_this_thread(total) } else { total() }
}

/// All of `x` folded, on several threads where it is long.
pub(crate) fn fold_all<T: Float, K: Reduction<N>, const N: usize>(
    x: &[T],
    y: impl Second<T> + Sync,
) -> [T; N] {
    // Without the closures of what is long: a sum of ten elements takes a few nanoseconds.
    if x.len() <= TASK {
        return fold::<T, K, N>(x, y);
    }
    let task = |range: Range<usize>| fold::<T, K, N>(&x[range.clone()], y.part(range));
    in_parallel(x.len(), size_of_val(x), task, K::join).unwrap_or_else(K::start)
}

/// Leaves of `x` and `y` (of equal length) added in the tree of [`parallel::map_reduce`].
#[inline(always)]
pub(crate) fn in_tree<T: Float, S: Lanes<T>, K: Reduction<1>>(simd: S, x: &[T], y: &[T]) -> T {
    leaves::<T, S, K, 1>(simd, x, y)[0]
}

/// Leaves of `x` merged in the tree of [`parallel::map_reduce`].
#[inline(always)]
pub(crate) fn leaves<T: Float, S: Lanes<T>, K: Reduction<N>, const N: usize>(
    simd: S,
    x: &[T],
    y: impl Second<T>,
) -> [T; N] {
    if x.len() <= LEAF {
        return leaf::<T, S, K, N>(simd, x, y);
    }
    // The tree as a binary counter: `partial[h]` holds 2^h leaves where bit h of `done` is set.
    let mut partial = [K::start::<T>(); usize::BITS as usize];
    let mut done = 0usize;
    for (i, x) in x.chunks(LEAF).enumerate() {
        let mut value = leaf::<T, S, K, N>(simd, x, y.part(i * LEAF..i * LEAF + x.len()));
        let height = done.trailing_ones() as usize;
        for left in &partial[..height] {
            value = K::join(*left, value);
        }
        partial[height] = value;
        done += 1;
    }
    let mut heights = (0..usize::BITS as usize).filter(|h| done >> h & 1 == 1);
    let lowest = heights.next().unwrap_or(0);
    heights.fold(partial[lowest], |right, h| K::join(partial[h], right))
}

/// At most [`LEAF`] elements.
#[inline(always)]
fn leaf<T: Float, S: Lanes<T>, K: Reduction<N>, const N: usize>(
    simd: S,
    x: &[T],
    y: impl Second<T>,
) -> [T; N] {
    let v = leaf_lanes::<T, S, K, N>(simd, x, y);
    let mut lanes = [[T::ZERO; 16]; N];
    for (lanes, v) in lanes.iter_mut().zip(v) {
        // SAFETY: LANES <= 16.
        unsafe { simd.store(lanes.as_mut_ptr(), v) };
    }
    let mut half = S::LANES / 2;
    while half > 0 {
        for i in 0..half {
            let both = K::join(
                std::array::from_fn(
                    #[inline(always)]
                    |k| lanes[k][i],
                ),
                std::array::from_fn(
                    #[inline(always)]
                    |k| lanes[k][i + half],
                ),
            );
            for k in 0..N {
                lanes[k][i] = both[k];
            }
        }
        half /= 2;
    }
    // Products may underflow to -0, and how many zeros then fill up lanes depends on the set: zero is +0.
    lanes.map(|lane| lane[0] + T::ZERO)
}

/// `LANES` leaves at once from what [`leaf_lanes`] gave of each, merged as [`leaf`] merges them.
#[inline(always)]
pub(crate) fn fold_leaves<T: Float, S: Lanes<T>, K: Reduction<N>, const N: usize>(
    simd: S,
    mut leaves: [[S::V; 16]; N],
) -> [S::V; N] {
    for leaves in &mut leaves {
        simd.transpose(leaves);
    }
    let mut half = S::LANES / 2;
    while half > 0 {
        for i in 0..half {
            let (mut a, mut b) = ([simd.splat(T::ZERO); N], [simd.splat(T::ZERO); N]);
            for k in 0..N {
                (a[k], b[k]) = (leaves[k][i], leaves[k][i + half]);
            }
            let both = K::merge(simd, a, b);
            for k in 0..N {
                leaves[k][i] = both[k];
            }
        }
        half /= 2;
    }
    let mut out = [simd.splat(T::ZERO); N];
    for k in 0..N {
        out[k] = simd.add(leaves[k][0], out[k]);
    }
    out
}

/// At most [`LEAF`] elements: the virtual lanes, merged by halves until they fill one register.
#[inline(always)]
pub(crate) fn leaf_lanes<T: Float, S: Lanes<T>, K: Reduction<N>, const N: usize>(
    simd: S,
    x: &[T],
    y: impl Second<T>,
) -> [S::V; N] {
    let virtual_lanes = const { (if N == 1 { 256 } else { 128 }) / size_of::<T>() };
    let registers = virtual_lanes / S::LANES;
    assert!(y.reaches(x.len()));
    let mut start = [simd.splat(T::ZERO); N];
    for (v, x) in start.iter_mut().zip(K::start()) {
        *v = simd.splat(x);
    }
    // 16: NEON f32 needs 64 / 4. Registers beyond `registers` stay unused and vanish.
    let mut acc = [start; 16];
    let whole = x.len() - x.len() % virtual_lanes;
    for i in (0..whole).step_by(virtual_lanes) {
        for (r, acc) in acc[..registers].iter_mut().enumerate() {
            let at = i + r * S::LANES;
            // SAFETY: i + virtual_lanes <= the length of x, and y is as long.
            unsafe { *acc = K::step(simd, *acc, simd.load(x.as_ptr().add(at)), y.at(simd, at, S::LANES)) };
        }
    }
    let rest = x.len() - whole;
    if rest > 0 {
        // Over all registers with tests inside: an index known only at run time would keep them in memory. The zeros
        // that fill up the last one change at most the sign of a zero, which is settled at the end of a leaf.
        for (r, acc) in acc[..registers].iter_mut().enumerate() {
            let at = r * S::LANES;
            if at < rest {
                let n = (rest - at).min(S::LANES);
                // SAFETY: whole + at + n <= the length of both.
                unsafe {
                    let x = filled::<T, S, K, N>(simd, x.as_ptr().add(whole + at), n);
                    *acc = K::step(simd, *acc, x, y.at(simd, whole + at, n));
                }
            }
        }
    }
    let mut half = registers / 2;
    while half > 0 {
        for r in 0..half {
            acc[r] = K::merge(simd, acc[r], acc[r + half]);
        }
        half /= 2;
    }
    // Sets with fewer lanes do more halvings among registers and fewer among lanes; all sets do the same ones.
    acc[0]
}

/// The `n` elements at `p` and what fills them up.
///
/// # Safety
/// `n` must be at most `LANES`, and `p` valid for reading `n` elements.
#[inline(always)]
pub(crate) unsafe fn filled<T: Float, S: Lanes<T>, K: Reduction<N>, const N: usize>(
    simd: S,
    p: *const T,
    n: usize,
) -> S::V {
    // SAFETY: the caller promises it.
    let x = unsafe { simd.load_first(p, n) };
    if K::filler::<T>() == T::ZERO || n == S::LANES {
        return x;
    }
    let signs: *const T = if size_of::<T>() == 4 { SIGNS.0.as_ptr().cast() } else { SIGNS.1.as_ptr().cast() };
    // SAFETY: T is f32 or f64, so these are its elements, and 16 - n + LANES <= 32.
    let signs = unsafe { simd.load(signs.add(16 - n)) };
    simd.select_sign(signs, simd.splat(K::filler()), x)
}

/// From 16 - n on: the signs of n lanes that stay, then of those to be filled up. Static: built where it is needed, it
/// was read in other pieces than it had been written in, which took 15 ns.
static SIGNS: ([f32; 32], [f64; 32]) = {
    let mut signs = ([1.0; 32], [1.0; 32]);
    let mut i = 16;
    while i < 32 {
        (signs.0[i], signs.1[i]) = (-1.0, -1.0);
        i += 1;
    }
    signs
};
