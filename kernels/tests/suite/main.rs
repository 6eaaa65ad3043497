//! Every kernel against its naive twin, on every instruction set of this CPU: sizes around lane counts, misaligned and
//! guarded operands, negative strides, NaN and infinity, and the same bits at any thread count.

mod bits;
mod conv;
mod elementary;
mod fixed;
mod fused;
mod grams;
mod guard;
mod inputs;
mod lanes;
mod mixed;
mod plans;
mod products;
mod quantised;
mod reductions;
mod softmax;
mod trees;
mod vectors;
mod walks;

use tilewise_kernels::simd::{Isa, with_isa};

/// Runs `f` on every instruction set that this CPU has (or the one that `TILEWISE_ISA` pins).
fn on_every_isa(f: impl Fn(Isa)) {
    let pinned = std::env::var_os("TILEWISE_ISA").map(|_| Isa::current());
    for isa in Isa::available().filter(|isa| pinned.is_none_or(|p| p == *isa)) {
        with_isa(isa, || f(isa));
    }
}

/// Lengths around the lane counts of all sets, around the virtual lanes and around a leaf of 4096.
const LENGTHS: [usize; 30] = [
    0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 95, 127, 128, 129, 255, 257, 1000, 4095,
    4096, 4097, 8192, 12_345,
];
