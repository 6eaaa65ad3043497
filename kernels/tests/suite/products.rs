//! Products against their naive twins.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, Layout, normal, small_integers, strides, view, view_mut};
use crate::on_every_isa;
use proptest::prelude::*;
use tilewise_kernels::{
    Float, GemmPlan, MatMut, MatRef, TensorMut, TensorRef, centred_squares, centred_sums, gemm, gemm_batched,
    gemv, gram, naive, syrk,
};

/// gamma_n = n u / (1 - n u): the bound of Higham, "Accuracy and stability of numerical algorithms", for a sum of
/// products in any order; k + 2 of them because of alpha and beta. Twice, because the twin rounds too.
pub(crate) fn gamma<T: Float>(n: usize) -> f64 {
    let nu = (n + 2) as f64 * T::EPSILON.to_f64() / 2.0;
    2.0 * nu / (1.0 - nu)
}

/// One product in guarded operands of the given layouts, compared element by element with the definition within
/// gamma (|alpha| |A| |B| + |beta| |C|).
#[allow(clippy::too_many_arguments, reason = "one product has this many properties")]
fn check_gemm<T: Float>(
    (m, n, k): (usize, usize, usize),
    layouts: [Layout; 3],
    (alpha, beta): (f64, f64),
    edge: Edge,
    make: impl Fn(usize, u64) -> Vec<T>,
    exact: bool,
    name: &str,
) {
    let lens = [strides(layouts[0], m, k).3, strides(layouts[1], k, n).3, strides(layouts[2], m, n).3];
    let a_data = Guarded::new(&make(lens[0], 1), edge);
    let b_data = Guarded::new(&make(lens[1], 2), edge);
    let mut old = make(lens[2], 3);
    if beta == 0.0 {
        old.fill(T::from_f64(f64::NAN));
    }
    let mut got = Guarded::new(&old, edge);
    let mut expected = old.clone();
    let (a, b) = (view(&a_data, layouts[0], m, k), view(&b_data, layouts[1], k, n));
    let (alpha, beta) = (T::from_f64(alpha), T::from_f64(beta));
    naive::gemm(alpha, a, b, beta, view_mut(&mut expected, layouts[2], m, n));
    gemm(alpha, a, b, beta, view_mut(&mut got, layouts[2], m, n)).unwrap();
    let (got_view, expected_view) = (view(&got, layouts[2], m, n), view(&expected, layouts[2], m, n));
    let old_view = view(&old, layouts[2], m, n);
    for i in 0..m {
        for j in 0..n {
            let (x, y) = (got_view.get(i, j).to_f64(), expected_view.get(i, j).to_f64());
            let absolute: f64 = (0..k).map(|l| (a.get(i, l).to_f64() * b.get(l, j).to_f64()).abs()).sum();
            let kept = if beta == T::ZERO { 0.0 } else { (beta * old_view.get(i, j)).to_f64().abs() };
            let bound = if exact { 0.0 } else { gamma::<T>(k) * (alpha.to_f64().abs() * absolute + kept) };
            assert!(
                (x - y).abs() <= bound,
                "{name} {m}x{n}x{k} {layouts:?} alpha {alpha} beta {beta} at ({i}, {j}): {x} but {y}, bound {bound:e}"
            );
        }
    }
    // What lies between the elements of C is not touched.
    let mut touched = vec![false; old.len()];
    let (offset, rs, cs, _) = strides(layouts[2], m, n);
    for i in 0..m as isize {
        for j in 0..n as isize {
            touched[(offset as isize + i * rs + j * cs) as usize] = true;
        }
    }
    for (i, (new, old)) in got.iter().zip(&old).enumerate() {
        assert!(
            touched[i] || new == old || (new.to_f64().is_nan() && old.to_f64().is_nan()),
            "gap element {i} written"
        );
    }
}

#[test]
fn gemm_is_exact_on_small_integers() {
    on_every_isa(|isa| {
        for m in [1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 24, 25] {
            for n in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40] {
                for k in [1, 2, 5, 40] {
                    let rm = [Layout::RowMajor; 3];
                    check_gemm::<f32>(
                        (m, n, k),
                        rm,
                        (1.0, 0.0),
                        Edge::Back,
                        small_integers,
                        true,
                        isa.name(),
                    );
                    check_gemm::<f64>(
                        (m, n, k),
                        rm,
                        (1.0, 1.0),
                        Edge::Front,
                        small_integers,
                        true,
                        isa.name(),
                    );
                }
            }
        }
    });
}

/// Tiles of every height and width, whole and ragged, at the end of readable memory.
#[test]
fn gemm_with_every_tile() {
    on_every_isa(|isa| {
        for m in 1..=13 {
            for vectors in 1..=12 {
                for n in [16 * vectors - 1, 8 * vectors + 1, 4 * vectors] {
                    let (rm, name) = ([Layout::RowMajor; 3], isa.name());
                    check_gemm::<f32>((m, n, 3), rm, (1.0, 1.0), Edge::Back, small_integers, true, name);
                    check_gemm::<f64>((m, n, 3), rm, (3.0, 0.0), Edge::Back, small_integers, true, name);
                }
            }
        }
    });
}

fn every_shape_is_exact<T: Float>(most: usize, name: &str) {
    let (a_data, b_data): (Vec<T>, Vec<T>) = (small_integers(most * most, 1), small_integers(most * most, 2));
    let view = |data, rows, cols| MatRef::with_strides(data, 0, rows, cols, most as isize, 1).unwrap();
    let mut largest = vec![T::ZERO; most * most];
    for k in 1..=most {
        // The product of the largest shape holds those of all others.
        let (a, b) = (view(&a_data, most, k), view(&b_data, k, most));
        naive::gemm(T::ONE, a, b, T::ZERO, MatMut::new(&mut largest, most, most).unwrap());
        for m in 1..=most {
            for n in 1..=most {
                let (a, b) = (view(&a_data, m, k), view(&b_data, k, n));
                let mut c = vec![T::from_f64(f64::NAN); m * n];
                gemm(T::ONE, a, b, T::ZERO, MatMut::new(&mut c, m, n).unwrap()).unwrap();
                for (row, expected) in c.chunks_exact(n).zip(largest.chunks_exact(most)) {
                    assert_eq!(row, &expected[..n], "{name} {m}x{n}x{k}");
                }
                let plan = GemmPlan::new(m, n, k);
                c.fill(T::from_f64(f64::NAN));
                plan.run(T::ONE, a, b, T::ZERO, MatMut::new(&mut c, m, n).unwrap()).unwrap();
                for (row, expected) in c.chunks_exact(n).zip(largest.chunks_exact(most)) {
                    assert_eq!(row, &expected[..n], "{name} {m}x{n}x{k}, planned");
                }
            }
        }
    }
}

#[test]
fn gemm_of_every_shape_up_to_40_cubed_is_exact() {
    on_every_isa(|isa| {
        every_shape_is_exact::<f32>(40, isa.name());
        every_shape_is_exact::<f64>(40, isa.name());
    });
}

#[test]
fn gemm_in_every_layout() {
    on_every_isa(|isa| {
        for a in LAYOUTS {
            for b in LAYOUTS {
                for c in LAYOUTS {
                    for (alpha, beta) in [(1.0, 0.0), (-0.5, 2.0)] {
                        check_gemm::<f32>(
                            (13, 19, 9),
                            [a, b, c],
                            (alpha, beta),
                            Edge::Back,
                            normal,
                            false,
                            isa.name(),
                        );
                        check_gemm::<f64>(
                            (7, 33, 5),
                            [a, b, c],
                            (alpha, beta),
                            Edge::Front,
                            normal,
                            false,
                            isa.name(),
                        );
                    }
                }
            }
        }
    });
}

#[test]
fn gemm_across_blocks() {
    // Beyond one block of depth (3 KiB: 768 f32, 384 f64), one job (64 rows), one group of columns in L2 (128), one block
    // of columns (2048), and the size from which threads share.
    on_every_isa(|isa| {
        let shapes = [
            (100, 530, 300),
            (193, 17, 513),
            (1, 600, 700),
            (300, 1, 300),
            (97, 96, 257),
            (70, 300, 800),
            // Packed in row-major layouts even with alpha = 1: more than 128 rows, and B beyond 800 KiB.
            (131, 300, 800),
            (1600, 3, 5),
            // Few columns.
            (200, 7, 300),
            (3, 2100, 5),
        ];
        for (m, n, k) in shapes {
            for a in [Layout::RowMajor, Layout::ColumnMajor] {
                let layouts = [a, Layout::Padded, Layout::RowMajor];
                check_gemm::<f32>((m, n, k), layouts, (1.0, 1.0), Edge::Back, normal, false, isa.name());
                check_gemm::<f64>((m, n, k), layouts, (2.0, 0.5), Edge::Back, normal, false, isa.name());
            }
        }
    });
}

/// 64 cases, or what PROPTEST_CASES asks for.
pub(crate) fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 64 };
    ProptestConfig { cases, failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn gemm_of_any_shape(
        m in 0usize..70, n in 0usize..70, k in 0usize..70,
        la in 0usize..6, lb in 0usize..6, lc in 0usize..6,
        alpha in prop_oneof![Just(0.0), Just(1.0), Just(-1.5)],
        beta in prop_oneof![Just(0.0), Just(1.0), Just(0.75)],
        front in any::<bool>(),
    ) {
        let edge = if front { Edge::Front } else { Edge::Back };
        let layouts = [LAYOUTS[la], LAYOUTS[lb], LAYOUTS[lc]];
        on_every_isa(|isa| {
            check_gemm::<f32>((m, n, k), layouts, (alpha, beta), edge, normal, false, isa.name());
            check_gemm::<f64>((m, n, k), layouts, (alpha, beta), edge, normal, false, isa.name());
        });
    }
}

/// Where a matrix with these strides begins, if its lowest element is the first of a slice, and how long the slice is.
fn span(rows: usize, cols: usize, rs: isize, cs: isize) -> (usize, usize) {
    let reach = [(rows, rs), (cols, cs)].map(|(len, stride)| (len.max(1) as isize - 1) * stride);
    let below: isize = reach.iter().map(|reach| reach.min(&0)).sum();
    let above: isize = reach.iter().map(|reach| reach.max(&0)).sum();
    (-below as usize, (above - below) as usize + 1)
}

/// A product of matrices with any strides, also zero and negative, between guard pages.
fn check_strides<T: Float>(
    (m, n, k): (usize, usize, usize),
    of: [(isize, isize); 3],
    (alpha, beta): (f64, f64),
    edge: Edge,
    name: &str,
) {
    let shapes = [(m, k), (k, n), (m, n)];
    let spans: [_; 3] = std::array::from_fn(|i| span(shapes[i].0, shapes[i].1, of[i].0, of[i].1));
    let data: [_; 2] = std::array::from_fn(|i| Guarded::new(&normal::<T>(spans[i].1, i as u64), edge));
    let [a, b] = std::array::from_fn(|i| {
        let ((rows, cols), (rs, cs)) = (shapes[i], of[i]);
        MatRef::with_strides(&data[i], spans[i].0, rows, cols, rs, cs).unwrap()
    });
    let before = normal::<T>(spans[2].1, 2);
    let mut c = Guarded::new(&before, edge);
    let mut expected = before.clone();
    let view = |data| MatMut::with_strides(data, spans[2].0, m, n, of[2].0, of[2].1).unwrap();
    let (alpha, beta) = (T::from_f64(alpha), T::from_f64(beta));
    naive::gemm(alpha, a, b, beta, view(&mut expected));
    gemm(alpha, a, b, beta, view(&mut c)).unwrap();
    let mut inside = vec![false; before.len()];
    for i in 0..m {
        for j in 0..n {
            let at = (spans[2].0 as isize + i as isize * of[2].0 + j as isize * of[2].1) as usize;
            inside[at] = true;
            let absolute: f64 = (0..k).map(|l| (a.get(i, l).to_f64() * b.get(l, j).to_f64()).abs()).sum();
            let kept = (beta * before[at]).to_f64().abs();
            let bound = gamma::<T>(k) * (alpha.to_f64().abs() * absolute + kept);
            let (x, y) = (c[at].to_f64(), expected[at].to_f64());
            assert!((x - y).abs() <= bound, "{name} {m}x{n}x{k} {of:?} ({i}, {j}): {x} but {y}");
        }
    }
    for (i, (new, old)) in c.iter().zip(&before).enumerate() {
        assert!(inside[i] || new == old, "{name} {m}x{n}x{k} {of:?}: element {i} between those of C written");
    }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn gemm_of_any_strides(
        m in 0usize..40, n in 0usize..40, k in 0usize..40,
        a in (-50isize..50, -50isize..50),
        b in (-50isize..50, -50isize..50),
        unit in (any::<bool>(), any::<bool>()),
        inner in prop_oneof![Just(1isize), 1isize..4],
        gap in 0isize..4,
        by_columns: bool,
        reversed in (any::<bool>(), any::<bool>()),
        alpha in prop_oneof![Just(1.0), Just(-1.5)],
        beta in prop_oneof![Just(0.0), Just(1.0), Just(0.75)],
        front: bool,
    ) {
        // Elements of C are distinct: one stride steps over all that the other reaches.
        let len = if by_columns { m } else { n };
        let outer = inner * len.max(1) as isize + gap;
        let (rs, cs) = if by_columns { (inner, outer) } else { (outer, inner) };
        let c = (if reversed.0 { -rs } else { rs }, if reversed.1 { -cs } else { cs });
        let (a, b) = (if unit.0 { (a.0, 1) } else { a }, if unit.1 { (b.0, 1) } else { b });
        let edge = if front { Edge::Front } else { Edge::Back };
        on_every_isa(|isa| {
            check_strides::<f32>((m, n, k), [a, b, c], (alpha, beta), edge, isa.name());
            check_strides::<f64>((m, n, k), [a, b, c], (alpha, beta), edge, isa.name());
        });
    }
}

#[test]
fn gemm_with_zero_strides_reads_one_row_for_all() {
    on_every_isa(|_| {
        let row: Vec<f64> = small_integers(20, 5);
        let b: Vec<f64> = small_integers(20 * 30, 6);
        let a = MatRef::with_strides(&row, 0, 10, 20, 0, 1).unwrap();
        let b = MatRef::new(&b, 20, 30).unwrap();
        let (mut got, mut expected) = (vec![0.0; 300], vec![0.0; 300]);
        gemm(1.0, a, b, 0.0, MatMut::new(&mut got, 10, 30).unwrap()).unwrap();
        naive::gemm(1.0, a, b, 0.0, MatMut::new(&mut expected, 10, 30).unwrap());
        assert_eq!(got, expected);
    });
}

#[test]
fn beta_zero_ignores_c_and_alpha_zero_ignores_a_and_b() {
    on_every_isa(|_| {
        let nan = [f32::NAN; 16];
        let ones = [1.0f32; 16];
        let square = |x| MatRef::new(x, 4, 4).unwrap();
        let mut c = nan;
        gemm(1.0, square(&ones), square(&ones), 0.0, MatMut::new(&mut c, 4, 4).unwrap()).unwrap();
        assert_eq!(c, [4.0; 16]);
        gemm(0.0, square(&nan), square(&nan), 0.5, MatMut::new(&mut c, 4, 4).unwrap()).unwrap();
        assert_eq!(c, [2.0; 16]);
        let mut y = [f32::NAN; 4];
        gemv(1.0, square(&ones), &ones[..4], 0.0, &mut y).unwrap();
        assert_eq!(y, [4.0; 4]);
        gemv(0.0, square(&nan), &nan[..4], 0.5, &mut y).unwrap();
        assert_eq!(y, [2.0; 4]);
        // NaN and infinity are not lost.
        let mut a = ones;
        a[5] = f32::INFINITY;
        a[10] = f32::NAN;
        gemm(1.0, square(&a), square(&ones), 0.0, MatMut::new(&mut c, 4, 4).unwrap()).unwrap();
        assert!(
            c[4..8].iter().all(|x| *x == f32::INFINITY) && c[8..12].iter().all(|x| x.is_nan()) && c[0] == 4.0
        );
    });
}

fn check_gemv<T: Float>(
    m: usize,
    n: usize,
    layout: Layout,
    (alpha, beta): (f64, f64),
    edge: Edge,
    name: &str,
) {
    let a_data = Guarded::new(&normal::<T>(strides(layout, m, n).3, 1), edge);
    let x = Guarded::new(&normal::<T>(n, 2), edge);
    let old = normal::<T>(m, 3);
    let mut got = Guarded::new(&old, edge);
    let mut expected = old.clone();
    let a = view(&a_data, layout, m, n);
    let (alpha, beta) = (T::from_f64(alpha), T::from_f64(beta));
    gemv(alpha, a, &x, beta, &mut got).unwrap();
    naive::gemv(alpha, a, &x, beta, &mut expected);
    for i in 0..m {
        let absolute: f64 = (0..n).map(|j| (a.get(i, j).to_f64() * x[j].to_f64()).abs()).sum();
        let bound = gamma::<T>(n) * (alpha.to_f64().abs() * absolute + (beta * old[i]).to_f64().abs());
        let (g, e) = (got[i].to_f64(), expected[i].to_f64());
        assert!((g - e).abs() <= bound, "{name} {m}x{n} {layout:?} row {i}: {g} but {e}, bound {bound:e}");
    }
}

#[test]
fn gemv_in_every_layout() {
    on_every_isa(|isa| {
        for layout in LAYOUTS {
            for (m, n) in
                [(0, 3), (3, 0), (1, 1), (5, 7), (17, 33), (64, 100), (3, 4097), (9, 9000), (700, 20)]
            {
                for (coefficients, edge) in [((1.0, 0.0), Edge::Back), ((-2.0, 0.5), Edge::Front)] {
                    check_gemv::<f32>(m, n, layout, coefficients, edge, isa.name());
                    check_gemv::<f64>(m, n, layout, coefficients, edge, isa.name());
                }
            }
        }
    });
}

fn check_centred_sums<T: Float>(m: usize, n: usize, layout: Layout, edge: Edge, name: &str) {
    let data = Guarded::new(&normal::<T>(strides(layout, m, n).3, 1), edge);
    let a = view(&data, layout, m, n);
    let shift = Guarded::new(&normal::<T>(n, 2), edge);
    let factors = [3, 4].map(|key| Guarded::new(&normal::<T>(m, key), edge));
    let old = [5, 6].map(|key| normal::<T>(n, key));
    let mut got = old.each_ref().map(|old| Guarded::new(old, edge));
    let mut expected = old.clone();
    let [first, second] = &mut got;
    centred_sums(a, &shift, [&factors[0], &factors[1]], [first, second]).unwrap();
    let [first, second] = &mut expected;
    naive::centred_sums(a, &shift, [&factors[0], &factors[1]], [first, second]);
    // One set alone has the bits that it has beside another.
    let mut alone = old[1].clone();
    centred_sums(a, &shift, [&factors[1]], [&mut alone]).unwrap();
    assert!(alone.iter().zip(&*got[1]).all(|(a, b)| a.to_f64().to_bits() == b.to_f64().to_bits()));
    for k in 0..2 {
        for j in 0..n {
            let size = |i: usize| a.get(i, j).to_f64().abs() + shift[j].to_f64().abs();
            let absolute: f64 = (0..m).map(|i| factors[k][i].to_f64().abs() * size(i)).sum();
            let bound = gamma::<T>(m + 1) * (absolute + old[k][j].to_f64().abs());
            let (g, e) = (got[k][j].to_f64(), expected[k][j].to_f64());
            assert!(
                (g - e).abs() <= bound,
                "{name} {m}x{n} {layout:?} column {j}: {g} but {e}, bound {bound:e}"
            );
        }
    }
    let (mut sums, mut squares) = (old[1].clone(), Guarded::new(&old[0], edge));
    centred_squares(a, &shift, &factors[1], &mut sums, &mut squares).unwrap();
    assert!(sums.iter().zip(&alone).all(|(a, b)| a.to_f64().to_bits() == b.to_f64().to_bits()));
    let mut naive_squares = old[0].clone();
    naive::centred_squares(a, &shift, &factors[1], &mut sums, &mut naive_squares);
    for j in 0..n {
        let size = |i: usize| a.get(i, j).to_f64().abs() + shift[j].to_f64().abs();
        let absolute: f64 = (0..m).map(|i| factors[1][i].to_f64().abs() * size(i).powi(2)).sum();
        // Each difference is rounded, and both products.
        let bound = gamma::<T>(m + 4) * (absolute + old[0][j].to_f64().abs());
        let (g, e) = (squares[j].to_f64(), naive_squares[j].to_f64());
        assert!((g - e).abs() <= bound, "{name} {m}x{n} {layout:?} column {j}: {g} but {e}, bound {bound:e}");
    }
}

#[test]
fn centred_sums_in_every_layout() {
    on_every_isa(|isa| {
        for layout in LAYOUTS {
            for (m, n) in [(0, 3), (3, 0), (1, 1), (5, 7), (17, 33), (64, 100), (3, 65), (700, 20)] {
                for edge in [Edge::Back, Edge::Front] {
                    check_centred_sums::<f32>(m, n, layout, edge, isa.name());
                    check_centred_sums::<f64>(m, n, layout, edge, isa.name());
                }
            }
        }
        // A column that equals its shift gives exact zeros; NaN is not hidden by a factor of 0.
        let a = [0.1, f64::NAN, 0.1, 1.0, 0.1, 2.0];
        let mut sums = [0.0; 2];
        centred_sums(MatRef::new(&a, 3, 2).unwrap(), &[0.1, 0.0], [&[0.0, 1.0, 3.0]], [&mut sums]).unwrap();
        assert!(sums[0] == 0.0 && sums[1].is_nan());
    });
}

#[test]
fn batches() {
    on_every_isa(|_| {
        for (items, m, n, k) in
            [(0, 2, 2, 2), (1, 3, 4, 5), (17, 5, 9, 3), (300, 16, 16, 16), (3, 0, 4, 4), (5, 1, 1, 9)]
        {
            let gap = 3;
            let a: Vec<f32> = small_integers(items * (m * k + gap), 1);
            let b: Vec<f32> = small_integers(k * n, 2);
            let mut got: Vec<f32> = small_integers(items * (m * n + gap), 3);
            let mut expected = got.clone();
            let a = TensorRef::new(&a, items, m * k + gap, m, k).unwrap();
            let b = TensorRef::new(&b, items, 0, k, n).unwrap();
            let c = |data| TensorMut::new(data, items, m * n + gap, m, n).unwrap();
            gemm_batched(1.0, a, b, 1.0, c(&mut got)).unwrap();
            naive::gemm_batched(1.0, a, b, 1.0, c(&mut expected)).unwrap();
            assert_eq!(got, expected);
        }
        let mut data = [0.0f64; 12];
        assert!(TensorMut::new(&mut data, 3, 3, 2, 2).is_err());
        assert!(TensorRef::new(&data, 4, 4, 2, 2).is_err());
    });
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let data = [0.0f64; 6];
    let a = MatRef::new(&data, 2, 3).unwrap();
    let mut c = [0.0; 4];
    let error = gemm(1.0, a, a, 0.0, MatMut::new(&mut c, 2, 2).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "rows of B against columns of A: expected 3, found 2");
    assert!(gemv(1.0, a, &data, 0.0, &mut c[..2]).is_err());
    assert!(centred_sums(a, &data[..3], [&data[..3]], [&mut c[..3]]).is_err());
    assert!(centred_squares(a, &data[..3], &data[..3], &mut c[..3], &mut [0.0; 3]).is_err());
    assert!(syrk(1.0, a, 0.0, MatMut::new(&mut c, 2, 2).unwrap()).is_err());
    assert!(gram(a.transpose(), Some(&data), None, MatMut::new(&mut c, 2, 2).unwrap()).is_err());
}
