//! What the machine can do at most: the ceilings that reports measure kernels against. Single-threaded each.

use crate::Float;
use crate::simd::{Lanes, Task};

/// Runs `steps` rounds of as many independent fused multiply-adds as the register tile of a product has (12 on AVX2, 24 on
/// AVX-512, 16 on NEON: at least pipes times latency of the CPUs of each set), and gives the number of floating-point operations done (and a value, so that they are done).
pub fn fma_chain<T: Float>(steps: u64) -> (f64, T) {
    T::dispatch(FmaChain { steps })
}

struct FmaChain {
    steps: u64,
}

impl<T: Float> Task<T> for FmaChain {
    type Output = (f64, T);
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> (f64, T) {
        // 24: AVX-512. Chains beyond `chains` stay unused and vanish.
        let chains = 2 * S::TILE_ROWS;
        let mut acc = [simd.splat(T::ONE); 24];
        let x = simd.splat(std::hint::black_box(T::from_f64(0.999)));
        for _ in 0..self.steps {
            for acc in &mut acc[..chains] {
                *acc = simd.mul_add(*acc, x, x);
            }
        }
        let mut total = acc[0];
        for acc in &acc[1..chains] {
            total = simd.add(total, *acc);
        }
        let mut out = [T::ZERO; 16];
        // SAFETY: no set has more than 16 lanes.
        unsafe { simd.store(out.as_mut_ptr(), total) };
        (self.steps as f64 * (2 * chains * S::LANES) as f64, out[0])
    }
}

/// Reads `x` from end to end as fast as loads go; the value is the largest of some lanes.
pub fn stream_read<T: Float>(x: &[T]) -> T {
    T::dispatch(StreamRead { x })
}

struct StreamRead<'a, T> {
    x: &'a [T],
}

impl<T: Float> Task<T> for StreamRead<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> T {
        let step = 8 * S::LANES;
        let mut acc = [simd.splat(T::ZERO); 8];
        for chunk in self.x.chunks_exact(step) {
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the chunk holds 8 vectors.
                *acc = simd.max(*acc, unsafe { simd.load(chunk.as_ptr().add(r * S::LANES)) });
            }
        }
        let mut out = [T::ZERO; 16];
        let mut all = acc[0];
        for acc in &acc[1..] {
            all = simd.max(all, *acc);
        }
        // SAFETY: no set has more than 16 lanes.
        unsafe { simd.store(out.as_mut_ptr(), all) };
        out[0]
    }
}

/// c = a + b with streaming stores, nothing else: the fastest addition of large arrays there is.
///
/// # Panics
/// When the lengths differ.
pub fn stream_add<T: Float>(a: &[T], b: &[T], c: &mut [T]) {
    assert!(a.len() == c.len() && b.len() == c.len());
    T::dispatch(StreamAdd { a, b, c });
}

struct StreamAdd<'a, T> {
    a: &'a [T],
    b: &'a [T],
    c: &'a mut [T],
}

impl<T: Float> Task<T> for StreamAdd<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { a, b, c } = self;
        let n = c.len();
        let head = c.as_ptr().align_offset(S::LANES * size_of::<T>()).min(n);
        let step = 4 * S::LANES;
        let whole = head + (n - head) / step * step;
        for i in (0..head).chain(whole..n) {
            c[i] = a[i] + b[i];
        }
        for i in (head..whole).step_by(step) {
            for at in [i, i + S::LANES, i + 2 * S::LANES, i + 3 * S::LANES] {
                // SAFETY: at + LANES <= n, the length of all three; c + head is a multiple of the vector size.
                unsafe {
                    let v = simd.add(simd.load(a.as_ptr().add(at)), simd.load(b.as_ptr().add(at)));
                    simd.stream(c.as_mut_ptr().add(at), v);
                }
            }
        }
        simd.fence();
    }
}
