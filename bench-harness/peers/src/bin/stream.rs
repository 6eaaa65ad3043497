//! What memory gives to plain loops: `stream read|copy|triad|update`, on vectors as long as those of the problem.
//! Stores of copies and triads go past the caches; updates are in place.

use std::hint::black_box;
use std::io;
use tilewise_report::worker::{Job, Jobs, Memory, Problem, serve};

/// Bytes of a part that a loop takes at once: whole cache lines.
const LINE: usize = 64;

struct Stream {
    which: String,
    threads: usize,
    memory: Memory<f64, 3>,
}

impl Job for Stream {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let [x, y, z] = self.memory.arrays();
        let part = x.len().div_ceil(self.threads).next_multiple_of(LINE).max(LINE);
        let which = self.which.as_str();
        // One start of the threads for all repetitions.
        std::thread::scope(|scope| {
            for ((x, y), z) in x.chunks(part).zip(y.chunks_mut(part)).zip(z.chunks_mut(part)) {
                scope.spawn(move || (0..times).for_each(|_| pass(which, x, y, z)));
            }
        });
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        Vec::new()
    }
}

fn pass(which: &str, x: &[f64], y: &mut [f64], z: &mut [f64]) {
    match which {
        "read" => read(x),
        "update" => update(x, y),
        "copy" => streamed(x, x, z, false),
        _ => streamed(x, y, z, true),
    }
}

/// A loop that the compiler may write with the widest vectors of the processor.
macro_rules! widest {
    ($name:ident, ($($argument:ident: $type:ty),*), $body:block) => {
        fn $name($($argument: $type),*) {
            #[inline(always)]
            fn plain($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn avx512($($argument: $type),*) {
                    plain($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    plain($($argument),*)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has it.
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has both.
                    return unsafe { avx2($($argument),*) };
                }
            }
            plain($($argument),*)
        }
    };
}

widest!(read, (x: &[f64]), {
    let mut sums = [0.0; 64];
    for x in x.chunks_exact(64) {
        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
    }
    black_box(sums);
});
widest!(update, (x: &[f64], y: &mut [f64]), { y.iter_mut().zip(x).for_each(|(y, x)| *y = 0.5 * *y + x) });

/// z = x + y / 2, or z = x.
#[cfg(target_arch = "x86_64")]
fn streamed(x: &[f64], y: &[f64], z: &mut [f64], triad: bool) {
    use std::arch::x86_64::{
        _mm_sfence, _mm256_add_pd, _mm256_loadu_pd, _mm256_mul_pd, _mm256_set1_pd, _mm256_stream_pd,
    };

    #[target_feature(enable = "avx")]
    fn run(x: &[f64], y: &[f64], z: &mut [f64], triad: bool) {
        assert!(x.len() == z.len() && y.len() == z.len() && z.as_ptr().addr().is_multiple_of(32));
        for i in (0..z.len() / 4 * 4).step_by(4) {
            // SAFETY: four elements begin at i in all slices, those of z at a multiple of 32 bytes.
            unsafe {
                let mut sum = _mm256_loadu_pd(x.as_ptr().add(i));
                if triad {
                    let y = _mm256_loadu_pd(y.as_ptr().add(i));
                    sum = _mm256_add_pd(sum, _mm256_mul_pd(y, _mm256_set1_pd(0.5)));
                }
                _mm256_stream_pd(z.as_mut_ptr().add(i), sum);
            }
        }
        _mm_sfence();
    }
    assert!(is_x86_feature_detected!("avx"));
    // SAFETY: the processor has AVX.
    unsafe { run(x, y, z, triad) }
}

/// Other processors see whole lines written and do not read them first.
#[cfg(not(target_arch = "x86_64"))]
fn streamed(x: &[f64], y: &[f64], z: &mut [f64], triad: bool) {
    if triad {
        z.iter_mut().zip(x.iter().zip(y)).for_each(|(z, (x, y))| *z = x + 0.5 * y);
    } else {
        z.copy_from_slice(x);
    }
}

fn main() -> io::Result<()> {
    let which = std::env::args().nth(1).unwrap_or_default();
    let threads = tilewise_peers::threads();
    let load = |problem: &Problem| -> Result<Box<dyn Job>, String> {
        let &[n] = problem.shape.as_slice() else { return Err("expected vectors".into()) };
        // As many bytes as the problem has; the type does not matter.
        let n = if problem.element == "f32" { n / 2 } else { n };
        let mut memory = Memory::<f64, 3>::new([n; 3]).map_err(|error| error.to_string())?;
        memory.arrays().into_iter().for_each(|array| array.fill(1.0));
        Ok(Box::new(Stream { which: which.clone(), threads, memory }))
    };
    let mut worker = Jobs::new("plain loops", format!("{which}, {threads} threads"), load);
    serve(&mut worker, io::stdin().lock(), io::stdout().lock())
}
