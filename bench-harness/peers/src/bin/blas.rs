//! Any shared library with the C interface of BLAS: `blas LIBRARY PREFIX NAME`, with NAME openblas, mkl or blis, and
//! PREFIX what the library puts before names, or `-`.

use libloading::Library;
use std::ffi::{CStr, c_char, c_int};
use std::io;
use tilewise_peers::vector::{Pass, Vectors};
use tilewise_peers::{Outcome, mkl, word_after};
use tilewise_report::worker::{Element, Job, Jobs, Problem, Product, serve};

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

fn multiply<T: Element>(function: Gemm<T>, p: &mut Product<T>, times: u64, zero: T, one: T) -> Outcome {
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

struct Multiplication<T> {
    function: Gemm<T>,
    product: Product<T>,
    zero: T,
    one: T,
}

impl<T: Element> Job for Multiplication<T> {
    fn run(&mut self, times: u64) -> Outcome {
        multiply(self.function, &mut self.product, times, self.zero, self.one)
    }
    fn result(&self) -> Vec<f64> {
        self.product.result()
    }
}

type Axpy<T> = unsafe extern "C" fn(c_int, T, *const T, c_int, *mut T, c_int);
type Scale<T> = unsafe extern "C" fn(c_int, T, *mut T, c_int);
type Dot<T> = unsafe extern "C" fn(c_int, *const T, c_int, *const T, c_int) -> T;
type Norm<T> = unsafe extern "C" fn(c_int, *const T, c_int) -> T;

/// The functions for an element type: `names` is what comes before their own names, e.g. `cblas_s`.
struct Blas<'a, T> {
    library: &'a Library,
    names: String,
    zero: T,
    one: T,
    /// The factors of axpy and of scale.
    alpha: T,
    minus: T,
}

impl<T: Element> Blas<'_, T> {
    /// # Safety
    /// `F` is the signature that CBLAS gives the function.
    unsafe fn get<F: Copy>(&self, name: &str) -> Result<F, String> {
        let name = format!("{}{name}", self.names);
        // SAFETY: as the caller says.
        unsafe { self.library.get::<F>(name.as_bytes()).map(|f| *f).map_err(|error| error.to_string()) }
    }

    fn load(&self, problem: &Problem) -> Result<Box<dyn Job>, String> {
        let (zero, one, alpha, minus) = (self.zero, self.one, self.alpha, self.minus);
        // SAFETY: the signatures are those of CBLAS with 32-bit integers.
        let (axpy, scale, dot, norm): (Axpy<T>, Scale<T>, Dot<T>, Norm<T>) =
            unsafe { (self.get("axpy")?, self.get("scal")?, self.get("dot")?, self.get("asum")?) };
        let pass: Pass<T> = match problem.kind.as_str() {
            "gemm" => {
                let product = Product::read(problem).map_err(|error: io::Error| error.to_string())?;
                // SAFETY: as above.
                let function = unsafe { self.get("gemm")? };
                return Ok(Box::new(Multiplication { function, product, zero, one }));
            }
            "axpy" => Box::new(move |x, y, _| {
                // SAFETY: both vectors have as many elements, of distance 1, and do not overlap.
                unsafe { axpy(x.len().min(y.len()) as c_int, alpha, x.as_ptr(), 1, y.as_mut_ptr(), 1) };
                zero
            }),
            "scale" => Box::new(move |x, _, _| {
                // SAFETY: the vector has as many elements, of distance 1.
                unsafe { scale(x.len() as c_int, minus, x.as_mut_ptr(), 1) };
                zero
            }),
            "dot" => Box::new(move |x, y, _| {
                // SAFETY: both vectors have as many elements, of distance 1.
                unsafe { dot(x.len().min(y.len()) as c_int, x.as_ptr(), 1, y.as_ptr(), 1) }
            }),
            "norm1" => Box::new(move |x, _, _| {
                // SAFETY: the vector has as many elements, of distance 1.
                unsafe { norm(x.len() as c_int, x.as_ptr(), 1) }
            }),
            kind => return Err(format!("{kind} is not what this peer does")),
        };
        Ok(Box::new(Vectors::read(problem, pass)?))
    }
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
    let names = |letter| format!("{prefix}cblas_{letter}");
    let singles = Blas::<f32> {
        library: &library,
        names: names('s'),
        zero: 0.0,
        one: 1.0,
        alpha: 1.0 / 1024.0,
        minus: -1.0,
    };
    let doubles = Blas::<f64> {
        library: &library,
        names: names('d'),
        zero: 0.0,
        one: 1.0,
        alpha: 1.0 / 1024.0,
        minus: -1.0,
    };
    let [x, mut y] = [[1f32]; 2];
    // SAFETY: this is the signature of CBLAS; matrices of one element.
    unsafe {
        let sgemm: Gemm<f32> = singles.get("gemm")?;
        sgemm(ROW_MAJOR, 111, 111, 1, 1, 1, 1.0, x.as_ptr(), 1, x.as_ptr(), 1, 0.0, y.as_mut_ptr(), 1);
    }
    let (version, configuration) = match name.as_str() {
        "mkl" => mkl::told(&library),
        "openblas" => {
            let config = told(&library, &format!("{prefix}openblas_get_config"));
            let core = told(&library, &format!("{prefix}openblas_get_corename"));
            (word_after(&config, "OpenBLAS"), format!("{config}, core {core}"))
        }
        _ => (told(&library, "bli_info_get_version_str"), blis_configuration(&library)),
    };
    let load = |problem: &Problem| match problem.element.as_str() {
        "f32" => singles.load(problem),
        _ => doubles.load(problem),
    };
    serve(&mut Jobs::new(version, configuration, load), io::stdin().lock(), io::stdout().lock())?;
    Ok(())
}
