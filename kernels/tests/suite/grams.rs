//! Gram matrices, and sums beside them, against their naive twins.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, Layout, normal, small_integers, strides, view, view_mut};
use crate::on_every_isa;
use crate::products::gamma;
use tilewise_kernels::{Float, MatMut, MatRef, centred_sums, gram, gram_and_sums, naive, syrk};

fn check_gram<S: Float>(m: usize, n: usize, layout: Layout, weighted: bool, shifted: bool, name: &str) {
    let data = Guarded::new(&normal::<S>(strides(layout, m, n).3, 1), Edge::Back);
    let a = view(&data, layout, m, n);
    let weights: Vec<f64> = normal::<f64>(m, 2).iter().map(|w| w.abs()).collect();
    let shift: Vec<f64> = normal(n, 3);
    let (weights, shift) = (weighted.then_some(&*weights), shifted.then_some(&*shift));
    let (mut got, mut expected) = (vec![f64::NAN; n * n], vec![0.0; n * n]);
    gram(a, weights, shift, MatMut::new(&mut got, n, n).unwrap()).unwrap();
    naive::gram(a, weights, shift, MatMut::new(&mut expected, n, n).unwrap());
    let centred = |r: usize, j: usize| (a.get(r, j).to_f64() - shift.map_or(0.0, |s| s[j])).abs();
    for i in 0..n {
        for j in 0..n {
            let absolute: f64 =
                (0..m).map(|r| weights.map_or(1.0, |w| w[r]) * centred(r, i) * centred(r, j)).sum();
            let bound = gamma::<f64>(m + 2) * absolute;
            let (g, e) = (got[i * n + j], expected[i * n + j]);
            assert!(
                (g - e).abs() <= bound,
                "{name} {m}x{n} {layout:?} at ({i}, {j}): {g} but {e}, bound {bound:e}"
            );
            assert_eq!(g.to_bits(), got[j * n + i].to_bits(), "not symmetric");
        }
    }
}

/// Sums beside a Gram matrix leave it as it is and are those of the columns: their bits, where rows are not cut, or nearly.
#[test]
fn sums_beside_a_gram_matrix() {
    on_every_isa(|isa| {
        for (m, n) in
            [(0, 3), (1, 1), (40, 7), (700, 33), (1024, 130), (3000, 130), (20, 530), (500, 530), (3, 2100)]
        {
            let (a, shift) = (normal::<f64>(m * n, 1), normal::<f64>(n, 2));
            let a = MatRef::new(&a, m, n).unwrap();
            let (weights, factors) = (normal::<f64>(m, 3), normal::<f64>(m, 4));
            for weights in [None, Some(&*weights)] {
                let (mut beside, mut alone) = (vec![f64::NAN; n * n], vec![f64::NAN; n * n]);
                let out = MatMut::new(&mut beside, n, n).unwrap();
                let ones = vec![1.0; m];
                let sums = gram_and_sums(a, weights, Some(&shift), out, [&factors, &ones]).unwrap();
                gram(a, weights, Some(&shift), MatMut::new(&mut alone, n, n).unwrap()).unwrap();
                assert_eq!(beside, alone, "{} {m}x{n}", isa.name());
                let mut expected = [vec![0.0; n], vec![0.0; n]];
                centred_sums(a, &shift, [&factors, &ones], expected.each_mut().map(Vec::as_mut_slice))
                    .unwrap();
                if m <= 1024 {
                    assert_eq!(sums, expected, "{} {m}x{n}", isa.name());
                }
                for (sum, expected) in sums.iter().flatten().zip(expected.iter().flatten()) {
                    let bound = gamma::<f64>(m + 2) * 10.0 * m as f64;
                    assert!((sum - expected).abs() <= bound, "{} {m}x{n}: {sum} but {expected}", isa.name());
                }
            }
        }
        let a = MatRef::new(&[1.0; 6], 3, 2).unwrap();
        let error = gram_and_sums(a, None, None, MatMut::new(&mut [0.0; 4], 2, 2).unwrap(), [&[1.0; 2]]);
        assert_eq!(error.unwrap_err().to_string(), "factors against rows of A: expected 3, found 2");
    });
}

#[test]
fn gram_and_syrk() {
    on_every_isa(|isa| {
        for (m, n) in [(0, 3), (1, 1), (5, 2), (40, 7), (33, 17), (100, 50), (3000, 9), (20, 530), (3, 2100)]
        {
            let layouts: &[Layout] = if m * n < 3000 { &LAYOUTS } else { &[Layout::RowMajor] };
            for &layout in layouts {
                check_gram::<f32>(m, n, layout, false, false, isa.name());
                check_gram::<f64>(m, n, layout, true, true, isa.name());
                check_gram::<f32>(m, n, layout, true, false, isa.name());
                check_gram::<f64>(m, n, layout, false, true, isa.name());
            }
        }
        let a = small_integers::<f32>(50 * 9, 1);
        let a = MatRef::new(&a, 50, 9).unwrap();
        let mut got = vec![1.0; 81];
        let mut expected = got.clone();
        syrk(0.5, a, 2.0, MatMut::new(&mut got, 9, 9).unwrap()).unwrap();
        naive::syrk(0.5, a, 2.0, MatMut::new(&mut expected, 9, 9).unwrap());
        assert_eq!(got, expected);
    });
}

/// C in any layout, between guard pages and full of NaN: the bits of a packed C, and nothing between its elements touched.
#[test]
fn gram_into_any_layout() {
    on_every_isa(|isa| {
        for (m, n) in [(5, 1), (30, 15), (30, 16), (40, 17), (3000, 9), (50, 33), (20, 530)] {
            let a = normal::<f64>(m * n, 1);
            let a = MatRef::new(&a, m, n).unwrap();
            let mut packed = vec![f64::NAN; n * n];
            gram(a, None, None, MatMut::new(&mut packed, n, n).unwrap()).unwrap();
            let packed = MatRef::new(&packed, n, n).unwrap();
            for layout in LAYOUTS {
                let len = strides(layout, n, n).3;
                let mut c = Guarded::new(&vec![f64::NAN; len], Edge::Back);
                gram(a, None, None, view_mut(&mut c, layout, n, n)).unwrap();
                assert_eq!(c.iter().filter(|v| v.is_nan()).count(), len - n * n, "{} {m}x{n}", isa.name());
                let c = view(&c, layout, n, n);
                for i in 0..n {
                    for j in 0..n {
                        let (got, expected) = (c.get(i, j), packed.get(i, j));
                        assert_eq!(got.to_bits(), expected.to_bits(), "{} {m}x{n} {layout:?}", isa.name());
                    }
                }
            }
        }
        // No columns: nothing is made of however many rows.
        let a = MatRef::<f64>::new(&[], 1 << 45, 0).unwrap();
        gram(a, None, None, MatMut::new(&mut [], 0, 0).unwrap()).unwrap();
        syrk(1.0, a, 0.0, MatMut::new(&mut [], 0, 0).unwrap()).unwrap();
    });
}
