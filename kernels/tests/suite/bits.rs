//! The same bits at 1, 2, 3 and 7 threads, alone and in a batch, and on every instruction set that has fused
//! multiply-add.

use crate::inputs::normal;
use crate::on_every_isa;
use std::cell::RefCell;
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::simd::Isa;
use tilewise_kernels::*;

/// Results by name.
type Bits = Vec<(&'static str, Vec<u64>)>;

/// The bits of everything the kernels make of one set of inputs, large enough that threads share each.
fn everything<T: Float>() -> Bits {
    let bits = |x: &[T]| x.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
    let x: Vec<T> = normal(1 << 20, 1);
    let y: Vec<T> = normal(1 << 20, 2);
    let mut out = Vec::new();
    out.push(("sum", bits(&[sum(&x)])));
    out.push(("dot", bits(&[dot(&x, &y).unwrap()])));
    let mut z = y.clone();
    axpy(T::from_f64(0.3), &x, &mut z).unwrap();
    out.push(("axpy", bits(&z)));
    scale(T::from_f64(0.3), &mut z);
    out.push(("scale", bits(&z)));
    out.push(("norms", bits(&[norm1(&x), norm2(&x), norm_inf(&x)])));
    out.push(("extremes", [arg_max(&x), arg_min(&x)].map(|at| at.unwrap() as u64).to_vec()));
    let (least, most) = min_max(&x).unwrap();
    out.push(("min_max", bits(&[least, most])));
    let of_moments = |all: &[Moments]| {
        let both = all.iter().flat_map(|one| [one.mean, one.squares]);
        both.map(f64::to_bits).collect::<Vec<_>>()
    };
    out.push(("moments", of_moments(&[moments(&x)])));
    // Products that underflow to -0.
    let next_to_nothing = if size_of::<T>() == 4 { 1e-30 } else { 1e-200 };
    let (small, negative) =
        (vec![T::from_f64(next_to_nothing); 100], vec![T::from_f64(-next_to_nothing); 100]);
    for n in 0..100 {
        let (a, x) = (MatRef::new(&small[..n], 1, n).unwrap(), &negative[..n]);
        let mut y = [T::ONE];
        gemv(T::ONE, a, x, T::ZERO, &mut y).unwrap();
        out.push(("dot of next to nothing", bits(&[dot(&small[..n], x).unwrap(), y[0]])));
    }
    let square = |data, rows| MatRef::new(data, rows, (1 << 20) / rows).unwrap();
    add(square(&x, 64), square(&y, 64), MatMut::new(&mut z, 64, 1 << 14).unwrap()).unwrap();
    out.push(("add", bits(&z)));
    for rows in [8, 1 << 10, 1 << 17] {
        let a = square(&x, rows);
        let mut by_rows = vec![T::ZERO; a.rows()];
        gemv(T::ONE, a, &y[..a.cols()], T::ZERO, &mut by_rows).unwrap();
        let mut by_columns = vec![T::ZERO; a.cols()];
        gemv(T::ONE, a.transpose(), &y[..a.rows()], T::ZERO, &mut by_columns).unwrap();
        out.push(("gemv", bits(&by_rows)));
        out.push(("gemv transposed", bits(&by_columns)));
    }
    for rows in [8, 1 << 10, 1 << 17] {
        let a = square(&x, rows);
        let mut by_rows = vec![T::ZERO; a.rows()];
        row_sums(a, &mut by_rows).unwrap();
        out.push(("row_sums", bits(&by_rows)));
        row_max(a, &mut by_rows).unwrap();
        out.push(("row_max", bits(&by_rows)));
        let mut places = vec![0; a.rows()];
        row_arg_max(a, &mut places).unwrap();
        out.push(("row_arg_max", places.iter().map(|&place| place as u64).collect()));
        let mut by_columns = vec![T::ZERO; a.cols()];
        column_sums(a, &mut by_columns).unwrap();
        out.push(("column_sums", bits(&by_columns)));
        row_max(a.transpose(), &mut by_columns).unwrap();
        out.push(("row_max of columns", bits(&by_columns)));
        let mut columns = vec![Moments::default(); a.cols()];
        column_moments(a, &mut columns).unwrap();
        out.push(("column_moments", of_moments(&columns)));
    }
    for (m, n, k) in [(1, 1000, 1000), (60, 500, 1000), (500, 60, 1000), (400, 500, 300)] {
        let (a, b) = (MatRef::new(&x[..m * k], m, k).unwrap(), MatRef::new(&y[..k * n], k, n).unwrap());
        let packed = PackedB::new(b);
        let mut c = vec![T::ZERO; m * n];
        for right in [RightSide::from(b), RightSide::from(&packed)] {
            let product = Gemm::new().bias(&x[..n]).activation(Activation::Gelu);
            product.run(a, right, MatMut::new(&mut c, m, n).unwrap()).unwrap();
            out.push(("Gemm", bits(&c)));
        }
    }
    let mut sums = vec![T::ZERO; 1000];
    let a = MatRef::new(&x[..1_000_000], 1000, 1000).unwrap();
    centred_sums(a, &y[..1000], [&y[1000..2000]], [&mut sums]).unwrap();
    out.push(("centred_sums", bits(&sums)));
    let mut squares = vec![T::ZERO; 1000];
    centred_squares(a, &y[..1000], &y[1000..2000], &mut sums, &mut squares).unwrap();
    out.push(("centred_squares", bits(&squares)));
    for (m, n, k) in [(300, 200, 400), (1000, 20, 300), (7, 1000, 600)] {
        let mut c = vec![T::ZERO; m * n];
        let (a, b) = (MatRef::new(&x[..m * k], m, k).unwrap(), MatRef::new(&y[..k * n], k, n).unwrap());
        gemm(T::from_f64(1.1), a, b, T::ZERO, MatMut::new(&mut c, m, n).unwrap()).unwrap();
        out.push(("gemm", bits(&c)));
    }
    let mut g = vec![0.0; 600 * 600];
    for cols in [8, 64, 600] {
        let a = MatRef::new(&x[..(1 << 20) / cols * cols], (1 << 20) / cols, cols).unwrap();
        let g = &mut g[..cols * cols];
        let factors: Vec<f64> = y[..a.rows()].iter().map(|y| y.to_f64()).collect();
        let [sums] = gram_and_sums(a, None, None, MatMut::new(g, cols, cols).unwrap(), [&factors]).unwrap();
        out.push(("gram", g.iter().chain(&sums).map(|x| x.to_bits()).collect()));
    }
    let mut c = vec![T::ZERO; 1000 * 256];
    let items = |data| TensorRef::new(data, 1000, 256, 16, 16).unwrap();
    gemm_batched(T::ONE, items(&x), items(&y), T::ZERO, TensorMut::new(&mut c, 1000, 256, 16, 16).unwrap())
        .unwrap();
    out.push(("gemm_batched", bits(&c)));
    let (single, mut narrow) = (x.iter().map(|x| x.to_f64() as f32), vec![Bf16::default(); x.len()]);
    narrow_bf16(&single.collect::<Vec<_>>(), &mut narrow).unwrap();
    out.push(("narrow_bf16", narrow.iter().map(|x| x.to_bits().into()).collect()));
    let mut c = vec![T::ZERO; 300 * 200];
    let (a, b) = (MatRef::new(&narrow[..300 * 400], 300, 400), MatRef::new(&y[..400 * 200], 400, 200));
    gemm_mixed(T::ONE, a.unwrap(), b.unwrap(), T::ZERO, MatMut::new(&mut c, 300, 200).unwrap()).unwrap();
    out.push(("gemm_mixed", bits(&c)));
    let mut bytes = vec![0u8; x.len()];
    let (single, by) = (narrow.iter().map(|x| x.to_f32()), Quantisation { scale: 0.02, zero_point: 128 });
    quantise(&single.collect::<Vec<_>>(), by, &mut bytes).unwrap();
    out.push(("quantise", bytes.iter().map(|&x| x.into()).collect()));
    let signed: Vec<i8> = bytes.iter().map(|&x| x as i8).collect();
    let mut c = vec![0.0; 300 * 200];
    let (a, b) = (MatRef::new(&bytes[..300 * 400], 300, 400), MatRef::new(&signed[..400 * 200], 400, 200));
    let c_mut = MatMut::new(&mut c, 300, 200).unwrap();
    gemm_i8_scaled(a.unwrap(), by, b.unwrap(), 1, Scales::Same(0.1), c_mut).unwrap();
    out.push(("gemm_i8_scaled", c.iter().map(|x| x.to_bits().into()).collect()));
    for (name, function) in [
        ("exp", exp as fn(&[T], &mut [T]) -> Result<(), ShapeError>),
        ("sigmoid", sigmoid),
        ("tanh", tanh),
        ("softplus", softplus),
        ("erf", erf),
        ("gelu", gelu),
        ("softsign", softsign),
    ] {
        function(&x, &mut z).unwrap();
        out.push((name, bits(&z)));
    }
    // Of positive numbers.
    Elementary::Exp.in_place(&mut z);
    Elementary::Log.in_place(&mut z);
    out.push(("log", bits(&z)));
    softmax(square(&x, 1 << 16), MatMut::new(&mut z, 1 << 16, 16).unwrap()).unwrap();
    out.push(("softmax", bits(&z)));
    log_softmax(square(&x, 1 << 16), MatMut::new(&mut z, 1 << 16, 16).unwrap()).unwrap();
    out.push(("log_softmax", bits(&z)));
    out
}

fn compare(name: &str, a: &[(&str, Vec<u64>)], b: &[(&str, Vec<u64>)]) {
    for ((kernel, a), (_, b)) in a.iter().zip(b) {
        assert!(a == b, "{kernel} differs {name}");
    }
}

#[test]
fn same_bits_at_any_thread_count() {
    on_every_isa(|isa| {
        let (one32, one64) = with_threads(1, || (everything::<f32>(), everything::<f64>()));
        for threads in [2, 3, 7] {
            let name = format!("on {} at {threads} threads", isa.name());
            let (many32, many64) = with_threads(threads, || (everything::<f32>(), everything::<f64>()));
            compare(&name, &one32, &many32);
            compare(&name, &one64, &many64);
        }
    });
}

#[test]
fn same_bits_on_every_set_with_fused_multiply_add() {
    let first: RefCell<Option<[Bits; 2]>> = RefCell::new(None);
    on_every_isa(|isa| {
        if isa != Isa::Portable {
            let both = [everything::<f32>(), everything::<f64>()];
            if let Some([one32, one64]) = &*first.borrow() {
                compare(&format!("on {}", isa.name()), one32, &both[0]);
                compare(&format!("on {}", isa.name()), one64, &both[1]);
            }
            first.borrow_mut().get_or_insert(both);
        }
    });
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_batch() {
    on_every_isa(|isa| {
        for (m, n, k) in
            [(50, 40, 300), (50, 1, 77), (200, 3, 5000), (20, 1300, 4096), (20, 33, 2), (20, 33, 1)]
        {
            let (a, b): (Vec<f32>, Vec<f32>) = (normal(m * k, 1), normal(k * n, 2));
            let b = MatRef::new(&b, k, n).unwrap();
            let product = |rows: std::ops::Range<usize>| {
                let mut c = vec![0.3; rows.len() * n];
                let part = MatRef::new(&a, m, k).unwrap().row_range(rows.clone());
                gemm(1.1, part, b, 0.7, MatMut::new(&mut c, rows.len(), n).unwrap()).unwrap();
                c
            };
            let all = product(0..m);
            for rows in [0..1, 3..10, m - 1..m, 5..m - 1] {
                let alone = product(rows.clone());
                assert_eq!(
                    alone,
                    all[rows.start * n..rows.end * n],
                    "{} rows {rows:?} of {m}x{n}x{k}",
                    isa.name()
                );
            }
        }
    });
}
