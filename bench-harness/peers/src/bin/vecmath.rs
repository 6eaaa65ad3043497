//! Elementary functions of a shared library: `vecmath LIBRARY PREFIX NAME`, with NAME sleef, mkl_ha or mkl_la; PREFIX is
//! not used.

use libloading::Library;
use std::ffi::c_int;
use std::io;
use tilewise_report::worker::{Element, Job, Jobs, Memory, Problem, serve};

/// y = f(x), element by element, a part that one thread takes.
type Part<T> = Box<dyn Fn(&[T], &mut [T]) + Sync>;

struct Map<T> {
    part: Part<T>,
    /// Threads among which the elements are divided here; 1 where the library divides them.
    threads: usize,
    memory: Memory<T, 2>,
}

impl<T: Element> Job for Map<T> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let (part, threads) = (&self.part, self.threads);
        let [x, y] = self.memory.arrays();
        let each = x.len().div_ceil(threads).next_multiple_of(64).max(64);
        if threads == 1 || x.len() <= each {
            (0..times).for_each(|_| part(x, y));
            return Ok(());
        }
        // One start of the threads for all repetitions and no barrier between them: a library without threads is not
        // charged for what we would add.
        std::thread::scope(|scope| {
            for (x, y) in x.chunks(each).zip(y.chunks_mut(each)) {
                scope.spawn(move || (0..times).for_each(|_| part(x, y)));
            }
        });
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        self.memory.wide(1)
    }
}

fn map<T: Element>(problem: &Problem, part: Part<T>, threads: usize) -> Result<Box<dyn Job>, String> {
    let &[n] = problem.shape.as_slice() else { return Err("expected vectors".into()) };
    let text = |error: io::Error| error.to_string();
    let mut memory = Memory::new([n; 2]).map_err(text)?;
    memory.read(0, problem, "x").map_err(text)?;
    Ok(Box::new(Map { part, threads, memory }))
}

/// Applies `$function`, of `$lanes` elements in a register, to all elements; the last ones by way of a padded array.
#[cfg(target_arch = "x86_64")]
macro_rules! vectors {
    ($name:ident, $feature:literal, $element:ty, $vector:ident, $lanes:literal, $load:ident, $store:ident) => {
        #[expect(
            improper_ctypes_definitions,
            reason = "the ABI of processors with the feature has these types"
        )]
        /// # Safety
        /// The processor has the feature, and the function takes and gives such vectors.
        #[target_feature(enable = $feature)]
        unsafe fn $name(
            function: unsafe extern "C" fn(std::arch::x86_64::$vector) -> std::arch::x86_64::$vector,
            x: &[$element],
            y: &mut [$element],
        ) {
            use std::arch::x86_64::{$load, $store};
            let whole = x.len().min(y.len()) / $lanes * $lanes;
            for i in (0..whole).step_by($lanes) {
                // SAFETY: a whole vector begins at i in both slices.
                unsafe { $store(y.as_mut_ptr().add(i), function($load(x.as_ptr().add(i)))) };
            }
            let mut rest = [<$element>::default(); $lanes];
            let count = x.len().min(y.len()) - whole;
            rest[..count].copy_from_slice(&x[whole..whole + count]);
            // SAFETY: the array is a vector long.
            unsafe { $store(rest.as_mut_ptr(), function($load(rest.as_ptr()))) };
            y[whole..whole + count].copy_from_slice(&rest[..count]);
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod sleef {
    use super::{Library, Part};

    vectors!(f32x16, "avx512f", f32, __m512, 16, _mm512_loadu_ps, _mm512_storeu_ps);
    vectors!(f64x8, "avx512f", f64, __m512d, 8, _mm512_loadu_pd, _mm512_storeu_pd);
    vectors!(f32x8, "avx2,fma", f32, __m256, 8, _mm256_loadu_ps, _mm256_storeu_ps);
    vectors!(f64x4, "avx2,fma", f64, __m256d, 4, _mm256_loadu_pd, _mm256_storeu_pd);

    /// The function of this name and type, on the widest vectors of this processor.
    macro_rules! parts {
        ($name:ident, $element:ty, $wide:literal, $of_wide:ident, $narrow:literal, $of_narrow:ident) => {
            pub(super) fn $name(library: &Library, function: &str) -> Result<Part<$element>, String> {
                let wide = is_x86_feature_detected!("avx512f");
                let ending = if wide { $wide } else { $narrow };
                if !wide && !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
                    return Err("the processor has neither AVX-512 nor AVX2".into());
                }
                let symbol = format!("Sleef_{function}{ending}");
                // SAFETY: SLEEF's manual gives its functions of one vector these types; the processor has the set of
                // instructions that the name tells.
                unsafe {
                    if wide {
                        let f = *library.get(symbol.as_bytes()).map_err(|error| error.to_string())?;
                        Ok(Box::new(move |x, y| $of_wide(f, x, y)))
                    } else {
                        let f = *library.get(symbol.as_bytes()).map_err(|error| error.to_string())?;
                        Ok(Box::new(move |x, y| $of_narrow(f, x, y)))
                    }
                }
            }
        };
    }
    parts!(f32s, f32, "f16_u10avx512f", f32x16, "f8_u10avx2", f32x8);
    parts!(f64s, f64, "d8_u10avx512f", f64x8, "d4_u10avx2", f64x4);
}

/// Other processors have other widths, of which nothing has been measured yet.
#[cfg(not(target_arch = "x86_64"))]
mod sleef {
    use super::{Library, Part};

    pub(super) fn f32s(_: &Library, _: &str) -> Result<Part<f32>, String> {
        Err("only on x86-64".into())
    }
    pub(super) fn f64s(_: &Library, _: &str) -> Result<Part<f64>, String> {
        Err("only on x86-64".into())
    }
}

/// A function of MKL's vector mathematics: length, arguments, values, mode.
type Vm<T> = unsafe extern "C" fn(c_int, *const T, *mut T, i64);

/// Numbers of MKL's modes.
const LOW: i64 = 1;
const HIGH: i64 = 2;

fn mkl<T: Element>(library: &Library, letter: char, kind: &str, mode: i64) -> Result<Part<T>, String> {
    let function = match kind {
        "exp" => "Exp",
        "log" => "Ln",
        "tanh" => "Tanh",
        "erf" => "Erf",
        _ => return Err(format!("{kind} is not offered")),
    };
    let symbol = format!("vm{letter}{function}");
    // SAFETY: MKL documents this signature for its functions of one vector, with 32-bit lengths by default.
    let f: Vm<T> = unsafe { *library.get(symbol.as_bytes()).map_err(|error| error.to_string())? };
    Ok(Box::new(move |x: &[T], y: &mut [T]| {
        // SAFETY: both arrays have at least as many elements as told and do not overlap.
        unsafe { f(x.len().min(y.len()) as c_int, x.as_ptr(), y.as_mut_ptr(), mode) }
    }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, _, name] = arguments.as_slice() else {
        return Err("expected: vecmath LIBRARY PREFIX NAME".into());
    };
    // SAFETY: these libraries only look at the processor when loaded.
    let library = unsafe { Library::new(path)? };
    let threads = tilewise_peers::threads();
    let (version, configuration) = if name == "sleef" {
        // There is no function that tells; the name of the file does.
        let file = std::fs::canonicalize(path)?;
        let file = file.file_name().map_or(String::new(), |name| name.to_string_lossy().into());
        let version = file.trim_start_matches("libsleef.so.").to_string();
        (version, format!("u10, {}; divided among threads by us", tilewise_peers::vectors()))
    } else {
        let accuracy = if name == "mkl_ha" { "VML_HA" } else { "VML_LA" };
        let exp = mkl::<f32>(&library, 's', "exp", HIGH)?;
        exp(&[0.0], &mut [0.0]);
        let (version, text) = tilewise_peers::mkl::told(&library);
        (version, format!("{accuracy}, {text}"))
    };
    let mode = if name == "mkl_la" { LOW } else { HIGH };
    let load = |problem: &Problem| -> Result<Box<dyn Job>, String> {
        let kind = problem.kind.as_str();
        match (name.as_str(), problem.element.as_str()) {
            ("sleef", "f32") => map(problem, sleef::f32s(&library, kind)?, threads),
            ("sleef", _) => map(problem, sleef::f64s(&library, kind)?, threads),
            (_, "f32") => map(problem, mkl::<f32>(&library, 's', kind, mode)?, 1),
            _ => map(problem, mkl::<f64>(&library, 'd', kind, mode)?, 1),
        }
    };
    serve(&mut Jobs::new(version, configuration, load), io::stdin().lock(), io::stdout().lock())?;
    Ok(())
}
