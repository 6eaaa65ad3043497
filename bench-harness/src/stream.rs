//! The plain loops that a roofline is made of.

use tilewise_kernels::Float;

/// Many independent chains of multiply-adds, `iterations` long: the operations made, and a value that depends on all.
pub(crate) fn fma_chain<T: Float>(iterations: u64) -> (f64, T) {
    const CHAINS: usize = 64;
    let mut chains = [T::ONE; CHAINS];
    let (factor, term) = (T::from_f64(0.999), T::from_f64(1e-3));
    for _ in 0..iterations {
        chains.iter_mut().for_each(|x| *x = *x * factor + term);
    }
    (2.0 * CHAINS as f64 * iterations as f64, chains.iter().fold(T::ZERO, |a, &b| a + b))
}

/// Reads everything: the sum.
pub(crate) fn stream_read<T: Float>(x: &[T]) -> T {
    let mut lanes = [T::ZERO; 64];
    let chunks = x.chunks_exact(64);
    let rest = chunks.remainder().iter().fold(T::ZERO, |a, &b| a + b);
    chunks.for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(a, &b)| *a += b));
    lanes.iter().fold(rest, |a, &b| a + b)
}

/// c = a + b.
pub(crate) fn stream_add<T: Float>(a: &[T], b: &[T], c: &mut [T]) {
    c.iter_mut().zip(a.iter().zip(b)).for_each(|(c, (&a, &b))| *c = a + b);
}
