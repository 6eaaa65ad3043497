//! Any shared library with the C interface of BLAS: `blas LIBRARY PREFIX NAME`, with NAME openblas, mkl or blis, and
//! PREFIX what the library puts before names, or `-`.

use libloading::{Library, Symbol};
use std::ffi::{CStr, c_char, c_int};
use tilewise_peers::{Outcome, mkl, serve_gemm, word_after};
use tilewise_report::worker::{Element, Product};

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

/// CBLAS's numbers for row-major, not transposed and transposed.
const ROW_MAJOR: c_int = 101;
const TRANSPOSE: [c_int; 2] = [111, 112];

fn multiply<T: Element>(
    function: &Symbol<'_, Gemm<T>>,
    p: &mut Product<T>,
    times: u64,
    zero: T,
    one: T,
) -> Outcome {
    let ((m, n, k), sa, sb, sc) = (p.shape(), p.a, p.b, p.c);
    let (m, n, k) = (m as c_int, n as c_int, k as c_int);
    let (lda, ldb, ldc) = (sa.leading as c_int, sb.leading as c_int, sc.leading as c_int);
    let (ta, tb) = (TRANSPOSE[usize::from(sa.transposed)], TRANSPOSE[usize::from(sb.transposed)]);
    let (a, b, c) = p.arrays();
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    for _ in 0..times {
        // SAFETY: the function has CBLAS's signature; the arrays hold m x k, k x n and m x n elements, stored by rows, or
        // by columns where transposed, with these leading dimensions, and C overlaps neither.
        unsafe { function(ROW_MAJOR, ta, tb, m, n, k, one, a, lda, b, ldb, zero, c, ldc) };
    }
    Ok(())
}

/// Functions that tell a text.
type Text = unsafe extern "C" fn() -> *const c_char;

/// What `name`, a function without arguments that answers a static text, says; empty without such a function.
fn told(library: &Library, name: &str) -> String {
    // SAFETY: the callers name functions whose documented signature is const char *(void).
    unsafe {
        match library.get::<Text>(name.as_bytes()) {
            Ok(function) => CStr::from_ptr(function()).to_string_lossy().trim().into(),
            Err(_) => String::new(),
        }
    }
}

/// What BLIS took this processor for.
fn blis_configuration(library: &Library) -> String {
    // SAFETY: BLIS declares arch_t bli_arch_query_id(void) and char *bli_arch_string(arch_t), an enum being an int.
    unsafe {
        let id = library.get::<unsafe extern "C" fn() -> c_int>(b"bli_arch_query_id");
        let name = library.get::<unsafe extern "C" fn(c_int) -> *const c_char>(b"bli_arch_string");
        match (id, name) {
            (Ok(id), Ok(name)) => {
                format!("configuration {}", CStr::from_ptr(name(id())).to_string_lossy())
            }
            _ => String::new(),
        }
    }
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
    let [x, mut y] = [[1f32]; 2];
    // SAFETY: matrices of one element.
    unsafe { sgemm(ROW_MAJOR, 111, 111, 1, 1, 1, 1.0, x.as_ptr(), 1, x.as_ptr(), 1, 0.0, y.as_mut_ptr(), 1) };
    let (version, configuration) = match name.as_str() {
        "mkl" => mkl::told(&library),
        "openblas" => {
            let config = told(&library, &format!("{prefix}openblas_get_config"));
            let core = told(&library, &format!("{prefix}openblas_get_corename"));
            (word_after(&config, "OpenBLAS"), format!("{config}, core {core}"))
        }
        _ => (told(&library, "bli_info_get_version_str"), blis_configuration(&library)),
    };
    let f32 = |p: &mut Product<f32>, times| multiply(&sgemm, p, times, 0.0, 1.0);
    let f64 = |p: &mut Product<f64>, times| multiply(&dgemm, p, times, 0.0, 1.0);
    serve_gemm(version, configuration, f32, f64)?;
    Ok(())
}
