//! Any shared library with the C interface of BLAS: `blas LIBRARY PREFIX NAME`, with NAME openblas or mkl, and PREFIX
//! what the library puts before names, or `-`.

use libloading::{Library, Symbol};
use std::ffi::{CStr, c_char, c_int};
use tilewise_peers::{Product, serve_gemm};

type Gemm<T> = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    T,
    *const T,
    c_int,
    *const T,
    c_int,
    T,
    *mut T,
    c_int,
);

/// CBLAS's numbers for row-major and not transposed.
const ROW_MAJOR: c_int = 101;
const NO_TRANSPOSE: c_int = 111;

fn multiply<T: Copy>(function: &Symbol<'_, Gemm<T>>, p: &mut Product<T>, zero: T, one: T) {
    let (m, n, k) = (p.m as c_int, p.n as c_int, p.k as c_int);
    let (a, b, c) = (p.a.as_ptr(), p.b.as_ptr(), p.c.as_mut_ptr());
    // SAFETY: the function has CBLAS's signature; the slices hold m * k, k * n and m * n packed elements.
    unsafe { function(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, m, n, k, one, a, k, b, n, zero, c, n) };
}

/// The word after `mark` in the long text with which libraries introduce themselves.
fn word_after(text: &str, mark: &str) -> String {
    text.split_whitespace().skip_while(|word| *word != mark).nth(1).unwrap_or("unknown").into()
}

fn version(library: &Library, name: &str, prefix: &str) -> String {
    let mut buffer = [0 as c_char; 256];
    if name == "mkl" {
        // SAFETY: MKL documents mkl_get_version_string(char *, int).
        let found =
            unsafe { library.get::<unsafe extern "C" fn(*mut c_char, c_int)>(b"mkl_get_version_string") };
        if let Ok(function) = found {
            // SAFETY: the buffer has one byte more than is told.
            unsafe { function(buffer.as_mut_ptr(), 255) };
        }
    } else {
        // SAFETY: OpenBLAS documents const char *openblas_get_config(void).
        let found = unsafe {
            library.get::<unsafe extern "C" fn() -> *const c_char>(
                format!("{prefix}openblas_get_config").as_bytes(),
            )
        };
        if let Ok(function) = found {
            // SAFETY: the function takes nothing and answers a static text.
            let text = unsafe { CStr::from_ptr(function()) };
            return word_after(&text.to_string_lossy(), "OpenBLAS");
        }
    }
    // SAFETY: the last byte was never written, so the text ends.
    let text = unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_string_lossy();
    word_after(&text, "Version")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, prefix, name] = arguments.as_slice() else {
        return Err("expected: blas LIBRARY PREFIX NAME".into());
    };
    let prefix = if prefix == "-" { "" } else { prefix };
    // SAFETY: a BLAS library only sets up its threads when loaded.
    let library = unsafe { Library::new(path)? };
    // SAFETY: these are the signatures of CBLAS with 32-bit integers.
    let (sgemm, dgemm) = unsafe {
        let sgemm: Symbol<'_, Gemm<f32>> = library.get(format!("{prefix}cblas_sgemm").as_bytes())?;
        let dgemm: Symbol<'_, Gemm<f64>> = library.get(format!("{prefix}cblas_dgemm").as_bytes())?;
        (sgemm, dgemm)
    };
    let f32 = |p: &mut Product<f32>| multiply(&sgemm, p, 0.0, 1.0);
    let f64 = |p: &mut Product<f64>| multiply(&dgemm, p, 0.0, 1.0);
    serve_gemm(version(&library, name, prefix), f32, f64)?;
    Ok(())
}
