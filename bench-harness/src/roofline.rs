//! What the machine itself can do, measured in the same run as what is judged by it: fused multiply-adds in registers,
//! and bytes from memory.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;
use tilewise_kernels::Float;
use tilewise_kernels::roofline::{fma_chain, stream_add, stream_read};
use tilewise_report::median;

/// The best of a machine at one thread count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roofline {
    /// Threads that worked at the same time.
    pub threads: usize,
    /// f32 operations per second.
    pub flops_f32: f64,
    /// f64 operations per second.
    pub flops_f64: f64,
    /// Bytes per second of a sum over memory.
    pub read: f64,
    /// Bytes per second (two read, one written) of c = a + b with streaming stores.
    pub add: f64,
}

/// How carefully to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Samples; the median counts.
    pub samples: usize,
    /// Seconds of multiply-adds in a sample.
    pub seconds: f64,
    /// Bytes of each streamed array: several times the last cache.
    pub bytes: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { samples: 7, seconds: 0.05, bytes: 128 << 20 }
    }
}

impl Roofline {
    /// Measures with `threads` threads of our own, so that no thread pool stands between.
    pub fn measure(threads: usize, effort: &Effort) -> Self {
        let threads = threads.max(1);
        let (read, add) = stream(threads, effort);
        Self {
            threads,
            flops_f32: flops::<f32>(threads, effort),
            flops_f64: flops::<f64>(threads, effort),
            read,
            add,
        }
    }

    /// The multiply-add peak of an element type.
    pub fn flops(&self, element: &str) -> f64 {
        if element == "f32" { self.flops_f32 } else { self.flops_f64 }
    }
}

/// Runs `work(thread)` on all threads at once; seconds from the common start to the last end.
fn together(threads: usize, work: impl Fn(usize) + Sync) -> f64 {
    let barrier = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(thread);
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for handle in handles {
            // A thread that panicked makes the scope panic too; nothing else can go wrong here.
            let _ = handle.join();
        }
        start.elapsed().as_secs_f64()
    })
}

fn flops<T: Float>(threads: usize, effort: &Effort) -> f64 {
    // How many iterations fill the time, found on one thread.
    let mut iterations = 1_000u64;
    let flops = loop {
        let start = Instant::now();
        let (flops, _) = black_box(fma_chain::<T>(black_box(iterations)));
        let seconds = start.elapsed().as_secs_f64();
        if seconds >= effort.seconds / 2.0 {
            break flops;
        }
        iterations = (iterations as f64 * (effort.seconds / seconds.max(1e-9)).clamp(2.0, 100.0)) as u64;
    };
    let chain = |_| {
        black_box(fma_chain::<T>(black_box(iterations)));
    };
    let rates: Vec<f64> =
        (0..effort.samples).map(|_| flops * threads as f64 / together(threads, chain)).collect();
    median(&rates)
}

fn stream(threads: usize, effort: &Effort) -> (f64, f64) {
    let n = effort.bytes / size_of::<f32>();
    let (a, b, mut c) = (vec![1f32; n], vec![2f32; n], vec![0f32; n]);
    let part = n.div_ceil(threads);
    let (mut reads, mut adds) = (Vec::new(), Vec::new());
    for _ in 0..effort.samples {
        let seconds = together(threads, |thread| {
            black_box(a.chunks(part).nth(thread).map(stream_read));
        });
        reads.push((n * size_of::<f32>()) as f64 / seconds);
        let parts: Vec<_> = c.chunks_mut(part).map(std::sync::Mutex::new).collect();
        let seconds = together(threads, |thread| {
            let (from, to) = ((thread * part).min(n), ((thread + 1) * part).min(n));
            if let Some(Ok(mut c)) = parts.get(thread).map(std::sync::Mutex::lock) {
                stream_add(&a[from..to], &b[from..to], &mut c);
            }
        });
        adds.push((3 * n * size_of::<f32>()) as f64 / seconds);
        black_box(&c);
    }
    (median(&reads), median(&adds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_a_computer() {
        let effort = Effort { samples: 3, seconds: 2e-3, bytes: 4 << 20 };
        let roof = Roofline::measure(2, &effort);
        for rate in [roof.flops_f32, roof.flops_f64, roof.read, roof.add] {
            assert!((1e7..1e14).contains(&rate), "{roof:?}");
        }
    }
}
