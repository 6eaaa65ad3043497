//! What the machine itself can do, measured in turn with what is judged by it: fused multiply-adds in registers, and
//! bytes from memory.

use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::time::Instant;
use tilewise_kernels::Float;
use tilewise_kernels::parallel::{on_every_thread, with_threads};
use tilewise_kernels::roofline::{fma_chain, stream_add, stream_read};
use tilewise_report::Entrant;

/// How carefully to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Seconds of multiply-adds in a sample: long enough that a burst of the clock does not make a peak which no longer
    /// work can reach.
    pub seconds: f64,
    /// Bytes of each streamed array: several times the last cache.
    pub bytes: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { seconds: 0.02, bytes: 128 << 20 }
    }
}

/// Operations or bytes per second at one thread count, a sample for every round of a measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roof {
    /// Multiply-adds of the judged element type, two operations each.
    pub flops: Vec<f64>,
    /// Bytes of a read from end to end.
    pub read: Vec<f64>,
    /// Bytes (two read, one written) of c = a + b with streaming stores.
    pub add: Vec<f64>,
}

/// Entrants of a measurement for each thread count.
pub const PROBES: usize = 3;

/// The pieces of work that show what the machine can do, and the arrays they stream.
pub struct Probes {
    effort: Effort,
    steps: [u64; 2],
    arrays: Mutex<[Vec<f32>; 3]>,
}

impl Probes {
    /// Takes memory and finds out how much work fills the time.
    pub fn new(effort: Effort) -> Self {
        let n = effort.bytes / size_of::<f32>();
        let arrays = Mutex::new([vec![1f32; n], vec![2f32; n], vec![0f32; n]]);
        Self { effort, steps: [steps::<f32>(effort.seconds), steps::<f64>(effort.seconds)], arrays }
    }

    /// The [`PROBES`] entrants for an element type at a thread count.
    pub fn entrants(&self, element: &str, threads: usize) -> [Entrant<'_>; PROBES] {
        let threads = threads.max(1);
        let steps = self.steps_of(element);
        let f32s = element == "f32";
        let multiply = move |repetitions: u64| {
            let chain = |_| {
                for _ in 0..repetitions {
                    if f32s {
                        black_box(fma_chain::<f32>(black_box(steps)));
                    } else {
                        black_box(fma_chain::<f64>(black_box(steps)));
                    }
                }
            };
            Ok(self.together(threads, chain))
        };
        let read = move |repetitions: u64| {
            let Ok(arrays) = self.arrays.lock() else { return Ok(f64::NAN) };
            let parts = parts(arrays[0].len(), threads);
            Ok(self.together(threads, |thread| {
                for _ in 0..repetitions {
                    black_box(stream_read(black_box(&arrays[0][parts(thread)])));
                }
            }))
        };
        let add = move |repetitions: u64| {
            let Ok(mut arrays) = self.arrays.lock() else { return Ok(f64::NAN) };
            let [a, b, c] = &mut *arrays;
            let parts = parts(a.len(), threads);
            let mut rest = &mut c[..];
            let mut slices = Vec::new();
            for thread in 0..threads {
                let (slice, others) = rest.split_at_mut(parts(thread).len());
                slices.push(Mutex::new(slice));
                rest = others;
            }
            Ok(self.together(threads, |thread| {
                if let Ok(mut c) = slices[thread].lock() {
                    (0..repetitions).for_each(|_| stream_add(&a[parts(thread)], &b[parts(thread)], &mut c));
                }
            }))
        };
        let name = |what: &str| format!("{what} on {threads} threads");
        [
            Entrant::timed(name("multiply-adds"), multiply),
            Entrant::timed(name("reads"), read),
            Entrant::timed(name("additions"), add),
        ]
    }

    /// Multiply-adds alone.
    pub fn peak(&self, element: &str, threads: usize) -> Option<Entrant<'_>> {
        self.entrants(element, threads).into_iter().next()
    }

    /// Operations per second of multiply-adds from the seconds that they took.
    pub fn flops(&self, element: &str, threads: usize, seconds: &[f64]) -> Vec<f64> {
        let lanes = if element == "f32" { fma_chain::<f32>(1).0 } else { fma_chain::<f64>(1).0 };
        let flops = lanes * self.steps_of(element) as f64 * threads.max(1) as f64;
        seconds.iter().map(|s| flops / s).collect()
    }

    /// Rates from the seconds that the entrants took.
    pub fn roof(&self, element: &str, threads: usize, seconds: [&[f64]; PROBES]) -> Roof {
        let bytes = (self.effort.bytes / size_of::<f32>() * size_of::<f32>()) as f64;
        let rates = |work: f64, seconds: &[f64]| seconds.iter().map(|s| work / s).collect();
        Roof {
            flops: self.flops(element, threads, seconds[0]),
            read: rates(bytes, seconds[1]),
            add: rates(3.0 * bytes, seconds[2]),
        }
    }

    /// Keeps this thread's processor busy until it runs at its full clock: one that slept is slow for milliseconds in a
    /// virtual machine, longer than a sample of short work lasts.
    pub fn warm_up(&self) {
        const SECONDS: f64 = 5e-3;
        let share = (SECONDS / self.effort.seconds).min(1.0);
        black_box(fma_chain::<f64>(black_box((self.steps[1] as f64 * share) as u64)));
    }

    /// Runs `work(thread)` on all threads of the pool that judged work runs on, which binds them as there; seconds from
    /// the first start to the last end. The threads look at the clock themselves: whoever waits for them may get no
    /// processor before they have done half of their work.
    fn together(&self, threads: usize, work: impl Fn(usize) + Sync) -> f64 {
        let barrier = Barrier::new(threads);
        let run = |thread| {
            self.warm_up();
            barrier.wait();
            let start = Instant::now();
            work(thread);
            (start, Instant::now())
        };
        let times = with_threads(threads, || on_every_thread(run));
        let (start, end) = (times.iter().map(|t| t.0).min(), times.iter().map(|t| t.1).max());
        start.zip(end).map_or(f64::NAN, |(start, end)| (end - start).as_secs_f64())
    }

    fn steps_of(&self, element: &str) -> u64 {
        self.steps[usize::from(element != "f32")]
    }
}

/// The range of `n` elements that each of `threads` takes.
fn parts(n: usize, threads: usize) -> impl Fn(usize) -> std::ops::Range<usize> + Copy + Sync {
    let part = n.div_ceil(threads);
    move |thread| (thread * part).min(n)..((thread + 1) * part).min(n)
}

/// Steps of multiply-adds that take about `seconds` on one thread.
fn steps<T: Float>(seconds: f64) -> u64 {
    let mut steps = 1_000u64;
    loop {
        let start = Instant::now();
        black_box(fma_chain::<T>(black_box(steps)));
        let took = start.elapsed().as_secs_f64();
        let factor = (seconds / took.max(1e-9)).clamp(0.5, 100.0);
        steps = (steps as f64 * factor) as u64;
        if took >= seconds / 2.0 {
            return steps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_report::{Settings, measure};

    #[test]
    fn rates_are_those_of_a_computer() {
        let probes = Probes::new(Effort { seconds: 2e-3, bytes: 4 << 20 });
        for element in ["f32", "f64"] {
            let settings = Settings { rounds: 3, ..Settings::default() };
            let measured = measure(&settings, &mut probes.entrants(element, 2)).unwrap();
            let roof = probes.roof(element, 2, [0, 1, 2].map(|i| &measured[i].seconds[..]));
            for rates in [&roof.flops, &roof.read, &roof.add] {
                assert!(rates.len() == 3 && rates.iter().all(|r| (1e7..1e14).contains(r)), "{roof:?}");
            }
        }
    }

    #[test]
    fn parts_cover_everything_once() {
        for (n, threads) in [(10, 3), (2, 5), (0, 1), (8, 8)] {
            let parts = parts(n, threads);
            let all: Vec<usize> = (0..threads).flat_map(parts).collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }
}
