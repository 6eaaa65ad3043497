//! Threads: the only file that names rayon.
//!
//! Everything here cuts work by the *shape* of the data and merges results in a *fixed tree*, so that a result has the
//! same bits on one thread, two, or seven. The number of threads decides only who does which piece, and when. (Jobs of a
//! matrix product do follow that number: no sum crosses them.)
//!
//! Starting a task on a sleeping rayon worker was measured at 5 to 20 microseconds, so a piece of work should last at
//! least [`GRAIN_SECONDS`]; callers choose chunk lengths by their bytes or operations for that.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

/// How long a piece of parallel work should last at least, in seconds: a few times a wake-up.
pub const GRAIN_SECONDS: f64 = 50e-6;

/// Bytes of streamed input that take about [`GRAIN_SECONDS`] at 10 GB/s. Smaller inputs stay on one thread.
pub const GRAIN_BYTES: usize = 512 * 1024;

/// How a computation is divided where both ways exist. Each way gives its own bits at any thread count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Chosen by shape alone.
    #[default]
    Auto,
    /// Tasks: components, classes, trees, items of a batch.
    Tasks,
    /// Data: blocks of rows.
    Rows,
}

impl std::str::FromStr for Scheme {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(Self::Auto),
            "tasks" => Ok(Self::Tasks),
            "rows" => Ok(Self::Rows),
            _ => Err(format!("unknown parallel scheme {s:?}: expected auto, tasks or rows")),
        }
    }
}

/// Threads that work started here would run on.
pub fn threads() -> usize {
    if alone() { 1 } else { rayon::current_num_threads() }
}

/// Runs `f` with exactly `threads` threads (at least 1) for everything it starts. Pools are made once per size and kept.
///
/// With one thread that is the calling one. Of several `f` itself runs on one. On Linux, as many threads as processors are bound to one each, but for the one that
/// runs `f`; a pool has the processors of whoever first asked for its size. A process made by `fork` gets pools of its own, as the
/// threads of its parent are not in it.
///
/// ```
/// use tilewise_kernels::parallel;
/// assert_eq!(parallel::with_threads(3, parallel::threads), 3);
/// ```
pub fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    /// By process and size: a fork has the parent's map, and would wait for threads that it has not.
    type Pools = BTreeMap<(u32, usize), Arc<rayon::ThreadPool>>;
    static POOLS: OnceLock<Mutex<Pools>> = OnceLock::new();
    if threads <= 1 {
        // Nobody else has to wake up first, which on a busy machine may take a tick of the scheduler: fits of 0.3 ms took 4.0.
        return on_this_thread(f);
    }
    let key = (std::process::id(), threads);
    let pool = {
        let mut pools =
            POOLS.get_or_init(Default::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match pools.get(&key) {
            Some(pool) => Some(Arc::clone(pool)),
            None => match builder(threads).build() {
                Ok(pool) => Some(Arc::clone(pools.entry(key).or_insert(Arc::new(pool)))),
                // The system refuses more threads: the pool at hand gives the same bits.
                Err(_) => None,
            },
        }
    };
    match pool {
        Some(pool) => pool.install(|| {
            #[cfg(target_os = "linux")]
            let _free = binding::Free::new();
            staying(false, f)
        }),
        None => f(),
    }
}

/// A pool's workers, each bound to a processor of its own when there are as many workers as processors.
///
/// In a virtual machine under KVM, Linux takes a processor that sleeps for one that the host has taken away, and wakes
/// the second worker on the first one's processor: after some single-threaded work, a 256-cubed product took 0.90 ms on
/// two threads and 0.39 on one; bound workers take 0.34. With fewer workers than processors nothing is bound, since
/// other pools would be bound to the same few. The worker that runs the function given to [`with_threads`] is free while
/// it does, so that serial parts move where there is room and threads started there are not bound.
fn builder(threads: usize) -> rayon::ThreadPoolBuilder {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    #[cfg(target_os = "linux")]
    let builder = match binding::allowed() {
        Some(all) => builder.start_handler(move |worker| binding::begin(worker, threads, &all)),
        None => builder,
    };
    builder
}

#[cfg(target_os = "linux")]
mod binding {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
    use std::cell::Cell;

    /// What a worker is bound to, and where it may run when it is free.
    #[derive(Clone, Copy)]
    struct Binding {
        own: CpuSet,
        all: CpuSet,
        /// Functions of `with_threads` that it is running, one inside the other.
        free: usize,
    }

    thread_local! {
        static BINDING: Cell<Option<Binding>> = const { Cell::new(None) };
    }

    /// Where this thread, were it not bound, may run.
    pub(super) fn allowed() -> Option<CpuSet> {
        BINDING.get().map(|binding| binding.all).or_else(|| sched_getaffinity(None).ok())
    }

    /// Binds a new worker, or makes it as free as the thread that asked for the pool.
    pub(super) fn begin(worker: usize, threads: usize, all: &CpuSet) {
        let processors = || (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu));
        let mut own = *all;
        if let Some(processor) = processors().nth(worker).filter(|_| threads == processors().count()) {
            own.clear();
            own.set(processor);
            BINDING.set(Some(Binding { own, all: *all, free: 0 }));
        }
        // Where the system refuses, the worker runs wherever it is put.
        let _ = sched_setaffinity(None, &own);
    }

    /// While this lives, a bound worker may run anywhere.
    pub(super) struct Free;

    impl Free {
        pub(super) fn new() -> Self {
            change(1, 0);
            Self
        }
    }

    impl Drop for Free {
        fn drop(&mut self) {
            change(0, 1);
        }
    }

    /// Takes a free worker back to its own processor before it shares work: after waiting, for a file say, the system may have
    /// woken it on that of another worker, and then leaves both there for many milliseconds, one at a time. Products of
    /// some milliseconds took as long as on one thread, in half of all runs.
    pub(super) fn settle() {
        if let Some(Binding { own, all, free: 1.. }) = BINDING.get()
            && !own.is_set(sched_getcpu())
        {
            let _ = sched_setaffinity(None, &own);
            let _ = sched_setaffinity(None, &all);
        }
    }

    fn change(more: usize, less: usize) {
        let Some(mut binding) = BINDING.get() else { return };
        let before = binding.free;
        binding.free = before + more - less;
        BINDING.set(Some(binding));
        if (before == 0) != (binding.free == 0) {
            let _ = sched_setaffinity(None, if binding.free > 0 { &binding.all } else { &binding.own });
        }
    }
}

/// Runs `f` without other threads: [`map_reduce`] and its kin inside run here. For work too small to share, or for a task
/// that other tasks of its size keep company.
pub fn on_this_thread<R>(f: impl FnOnce() -> R) -> R {
    staying(true, f)
}

/// Runs `f` here, where work that it starts stays or is shared.
fn staying<R>(alone: bool, f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _restore = Restore(ALONE.replace(alone));
    f()
}

thread_local! {
    /// Whether work started by this thread stays on it.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Whether there is nobody to share with.
fn alone() -> bool {
    ALONE.get() || rayon::current_num_threads() == 1
}

/// Whether the threads that work started here would go to are those of a process that this one was forked from: they are not in it, and it
/// would wait for them for ever. So such work is done where it is started, outside of [`with_threads`].
fn is_orphan() -> bool {
    /// The process whose threads they are; 0 before there are any.
    static OF_PROCESS: AtomicU32 = AtomicU32::new(0);
    if rayon::current_thread_index().is_some() {
        return false;
    }
    let own = std::process::id();
    OF_PROCESS.compare_exchange(0, own, Relaxed, Relaxed).is_err_and(|of| of != own)
}

/// Whether work is to be shared, which begins now.
fn sharing() -> bool {
    // Asked here alone: a call of the system takes as long as a small product.
    let sharing = !alone() && !is_orphan();
    #[cfg(target_os = "linux")]
    if sharing {
        binding::settle();
    }
    sharing
}

/// Runs both closures, perhaps at the same time.
pub fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if sharing() { rayon::join(a, b) } else { (a(), b()) }
}

/// `f(i)` on every thread i that work started here would run on, at the same time where the machine has as many
/// processors. For measuring; work is divided by the others.
pub fn on_every_thread<A: Send>(f: impl Fn(usize) -> A + Sync) -> Vec<A> {
    if alone() || is_orphan() { vec![f(0)] } else { rayon::broadcast(|thread| f(thread.index())) }
}

/// Calls `f(i)` for every i in `0..items`, in any order, perhaps at the same time.
pub fn for_each(items: usize, f: impl Fn(usize) + Sync) {
    if items <= 1 || !sharing() {
        (0..items).for_each(f);
    } else {
        use rayon::prelude::*;
        (0..items).into_par_iter().with_max_len(1).for_each(&f);
    }
}

/// `f(i)` for every i in `0..items`, in order of i.
pub fn map<A: Send>(items: usize, f: impl Fn(usize) -> A + Sync) -> Vec<A> {
    if items <= 1 || !sharing() {
        (0..items).map(f).collect()
    } else {
        use rayon::prelude::*;
        (0..items).into_par_iter().with_max_len(1).map(&f).collect()
    }
}

/// Calls `f(chunk number, chunk)` for consecutive chunks of `chunk_len` elements (the last may be shorter).
pub fn for_each_chunk_mut<T: Send>(data: &mut [T], chunk_len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let chunk_len = chunk_len.max(1);
    if data.len() <= chunk_len || !sharing() {
        data.chunks_mut(chunk_len).enumerate().for_each(|(i, chunk)| f(i, chunk));
    } else {
        use rayon::prelude::*;
        data.par_chunks_mut(chunk_len).enumerate().with_max_len(1).for_each(|(i, chunk)| f(i, chunk));
    }
}

/// Cuts `0..len` into chunks of `chunk_len` (the last may be shorter), maps each, and merges the results in a fixed
/// binary tree over the chunks: the left half always holds the largest power of two of chunks. `None` when `len` is 0.
///
/// The tree and the chunks depend on `len` and `chunk_len` only, so the result has the same bits at any thread count,
/// whatever `merge` does. At most O(log chunks) results per thread are alive at a time.
///
/// ```
/// use tilewise_kernels::parallel;
/// let x: Vec<f32> = (0..100_000).map(|i| 1.0 / (i as f32 + 1.0)).collect();
/// let sum = || parallel::map_reduce(x.len(), 1000, |r| x[r].iter().sum::<f32>(), |a, b| a + b).unwrap();
/// let one = parallel::with_threads(1, sum);
/// assert_eq!(one.to_bits(), parallel::with_threads(3, sum).to_bits());
/// ```
pub fn map_reduce<A: Send>(
    len: usize,
    chunk_len: usize,
    map: impl Fn(Range<usize>) -> A + Sync,
    merge: impl Fn(A, A) -> A + Sync,
) -> Option<A> {
    let chunk_len = chunk_len.max(1);
    let chunks = len.div_ceil(chunk_len);
    let leaf = |chunk: usize| map(chunk * chunk_len..((chunk + 1) * chunk_len).min(len));
    (chunks > 0).then(|| tree(0..chunks, &leaf, &merge, chunks == 1 || !sharing()))
}

fn tree<A: Send>(
    chunks: Range<usize>,
    leaf: &(impl Fn(usize) -> A + Sync),
    merge: &(impl Fn(A, A) -> A + Sync),
    serial: bool,
) -> A {
    if chunks.len() == 1 {
        return leaf(chunks.start);
    }
    let mid = chunks.start + left_half(chunks.len());
    let (left, right) = if serial {
        let left = tree(chunks.start..mid, leaf, merge, serial);
        (left, tree(mid..chunks.end, leaf, merge, serial))
    } else {
        rayon::join(
            || tree(chunks.start..mid, leaf, merge, serial),
            || tree(mid..chunks.end, leaf, merge, serial),
        )
    };
    merge(left, right)
}

/// The largest power of two below `chunks` (2 or more): where the fixed tree divides.
fn left_half(chunks: usize) -> usize {
    1 << (usize::BITS - 1 - (chunks - 1).leading_zeros())
}

/// Merges values that are already there in the same fixed tree as [`map_reduce`].
pub fn reduce<A>(values: Vec<A>, mut merge: impl FnMut(A, A) -> A) -> Option<A> {
    // The counter trick: a stack whose entries hold sizes as in a binary number merges as the tree does.
    let mut stack: Vec<(u32, A)> = Vec::new();
    for value in values {
        let mut top = (0, value);
        while stack.last().is_some_and(|(height, _)| *height == top.0) {
            let (height, left) = stack.pop()?;
            top = (height + 1, merge(left, top.1));
        }
        stack.push(top);
    }
    let mut result = stack.pop()?.1;
    while let Some((_, left)) = stack.pop() {
        result = merge(left, result);
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_is_fixed() {
        let shape = |chunks: usize| {
            let text = |r: Range<usize>| format!("{}", r.start);
            map_reduce(chunks, 1, text, |a, b| format!("({a} {b})")).unwrap()
        };
        assert_eq!(shape(1), "0");
        assert_eq!(shape(5), "(((0 1) (2 3)) 4)");
        assert_eq!(shape(7), "(((0 1) (2 3)) ((4 5) 6))");
        for chunks in 1..70 {
            let one = with_threads(1, || shape(chunks));
            assert_eq!(one, with_threads(3, || shape(chunks)));
            let values = (0..chunks).map(|i| i.to_string()).collect();
            assert_eq!(one, reduce(values, |a, b| format!("({a} {b})")).unwrap());
        }
        assert!(map_reduce(0, 4, |_| 0, |a, _| a).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_as_many_workers_as_processors_are_bound() {
        let allowed = || rustix::thread::sched_getaffinity(None).map_or(0, |set| set.count() as usize);
        let all = allowed();
        for threads in [all, all + 1, 2 * all + 1] {
            let inside = || with_threads(threads, || rayon::broadcast(|_| allowed()));
            // From outside, and from workers, whose processor must not be handed down.
            let both = [inside(), with_threads(all, || map(2 * all, |_| inside())).concat()].concat();
            let bound = both.iter().filter(|&&count| count < all).count();
            assert!(bound == 0 || threads == all, "{threads} of {all}: {both:?}");
        }
        let spawned = || std::thread::spawn(allowed).join().unwrap();
        assert_eq!(with_threads(all, spawned), all);
        // Whoever was free is bound again. Other tests use the same pool, so this may have to wait for them.
        let others_bound = || {
            let masks = with_threads(all, || rayon::broadcast(|_| allowed()));
            masks.iter().filter(|&&count| count == 1).count() >= all - 1
        };
        assert!((0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            others_bound()
        }));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_worker_elsewhere_comes_back_before_it_shares_work() {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let all = sched_getaffinity(None).unwrap();
        let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
        let count = |items: usize| {
            with_threads(processors.len(), || {
                let own = rayon::current_thread_index().unwrap();
                let mut other = CpuSet::new();
                other.set(processors[(own + 1) % processors.len()]);
                sched_setaffinity(None, &other).unwrap();
                for_each(items, |_| ());
                let count = sched_getaffinity(None).unwrap().count() as usize;
                sched_setaffinity(None, &all).unwrap();
                count
            })
        };
        // Back, and as free as before; a single item is not shared.
        assert_eq!([count(2), count(1)], [processors.len(), 1]);
    }

    #[test]
    fn one_thread_is_the_calling_one_and_no_other_is_so_inside() {
        let here = || std::thread::current().id();
        assert_eq!(with_threads(1, || (here(), threads())), (here(), 1));
        assert_eq!(with_threads(1, || with_threads(3, threads)), 3);
        let again =
            with_threads(3, || with_threads(1, || with_threads(3, || [threads(), map(9, |i| i).len()])));
        assert_eq!(again, [3, 9]);
        assert!(!ALONE.get());
    }

    #[test]
    fn every_thread_is_told_its_number() {
        for threads in [1, 2, 5] {
            assert_eq!(with_threads(threads, || on_every_thread(|i| i)), (0..threads).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_item_is_visited_once() {
        for threads in [1, 2, 3, 7] {
            with_threads(threads, || {
                let mut seen = vec![0; 1001];
                for_each_chunk_mut(&mut seen, 10, |i, chunk| chunk.iter_mut().for_each(|x| *x += i + 1));
                assert!(seen.iter().enumerate().all(|(i, &x)| x == i / 10 + 1));
                assert_eq!(map(100, |i| i * i), (0..100).map(|i| i * i).collect::<Vec<_>>());
            });
        }
    }
}
