//! bfloat16 and products of operands stored in another type than they are computed in.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, Layout, normal, small_integers, strides, view, view_mut};
use crate::{LENGTHS, on_every_isa};
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::*;

/// Every bfloat16, what lies on and next to the middle between it and the next, and all of random bits.
fn numbers() -> Vec<f32> {
    let ends = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
    let around = |upper: u32| ends.map(|lower| f32::from_bits(upper << 16 | lower));
    (0..1 << 16).flat_map(around).collect()
}

#[test]
fn rounding_is_to_nearest_ties_to_even() {
    let x = numbers();
    for &x in &x {
        assert_eq!(Bf16::from_f32(x).to_bits(), naive::to_bf16(x).to_bits(), "{x:e} {:#x}", x.to_bits());
    }
    let expected: Vec<u16> = x.iter().map(|&x| naive::to_bf16(x).to_bits()).collect();
    on_every_isa(|isa| {
        for threads in [1, 3] {
            let mut y = vec![Bf16::default(); x.len()];
            with_threads(threads, || narrow_bf16(&x, &mut y).unwrap());
            assert!(y.iter().map(|y| y.to_bits()).eq(expected.iter().copied()), "{}", isa.name());
            let mut wide = vec![0.0; y.len()];
            with_threads(threads, || widen_bf16(&y, &mut wide).unwrap());
            assert!(
                wide.iter().zip(&y).all(|(w, y)| w.to_bits() == (y.to_bits() as u32) << 16),
                "{}",
                isa.name()
            );
        }
        for edge in [Edge::Front, Edge::Back] {
            for n in LENGTHS {
                let x = Guarded::new(&x[1000..1000 + n], edge);
                let mut y = Guarded::new(&vec![Bf16::default(); n], edge);
                narrow_bf16(&x, &mut y).unwrap();
                let mut wide = Guarded::new(&vec![0.0; n], edge);
                widen_bf16(&y, &mut wide).unwrap();
                assert!(y.iter().zip(wide.iter()).all(|(y, w)| w.to_bits() == y.to_f32().to_bits()));
                assert!(y.iter().zip(x.iter()).all(|(y, &x)| y.to_bits() == naive::to_bf16(x).to_bits()));
            }
        }
    });
    assert!(narrow_bf16(&x, &mut [Bf16::default()]).is_err() && widen_bf16(&[], &mut [0.0]).is_err());
}

#[test]
fn bfloat16_compares_and_prints_as_its_number() {
    let [zero, minus, one, nan] = [0.0, -0.0, 1.0, f32::NAN].map(Bf16::from_f32);
    assert!(zero == minus && zero < one && nan != nan && one.partial_cmp(&nan).is_none());
    assert_eq!((format!("{one:?} {one}"), f32::from(one)), ("1.0 1".to_owned(), 1.0));
}

/// Exact on small integers whatever is stored how.
fn check<T: Float, A: Storage, B: Storage>(
    (m, n, k): (usize, usize, usize),
    layouts: [Layout; 3],
    edge: Edge,
    store: (impl Fn(f64) -> A, impl Fn(f64) -> B),
) {
    let lens = [strides(layouts[0], m, k).3, strides(layouts[1], k, n).3, strides(layouts[2], m, n).3];
    let integers = |len, seed| small_integers::<f64>(len, seed);
    let a = Guarded::new(&integers(lens[0], 1).into_iter().map(store.0).collect::<Vec<_>>(), edge);
    let b = Guarded::new(&integers(lens[1], 2).into_iter().map(store.1).collect::<Vec<_>>(), edge);
    let (a, b) = (view(&a, layouts[0], m, k), view(&b, layouts[1], k, n));
    for (alpha, beta) in [(1.0, 0.0), (-2.0, 1.0), (0.0, 0.5)] {
        let (alpha, beta) = (T::from_f64(alpha), T::from_f64(beta));
        let before =
            if beta == T::ZERO { vec![T::from_f64(f64::NAN); lens[2]] } else { small_integers(lens[2], 3) };
        let mut expected = before.clone();
        naive::gemm_mixed(alpha, a, b, beta, view_mut(&mut expected, layouts[2], m, n));
        let mut c = Guarded::new(&before, edge);
        gemm_mixed(alpha, a, b, beta, view_mut(&mut c, layouts[2], m, n)).unwrap();
        let same = |(x, y): (&T, &T)| x == y || (x.to_f64().is_nan() && y.to_f64().is_nan());
        assert!(expected.iter().zip(c.iter()).all(same), "{m}x{n}x{k} {layouts:?} alpha {alpha}");
    }
}

fn bf16(x: f64) -> Bf16 {
    Bf16::from_f32(x as f32)
}

#[test]
fn products_of_stored_numbers_are_exact_on_small_integers() {
    on_every_isa(|_| {
        for shape in [(0, 3, 2), (3, 4, 0), (1, 1, 1), (1, 40, 9), (40, 1, 9), (13, 33, 17), (30, 70, 20)] {
            for layout in LAYOUTS {
                let [rm, cm] = [Layout::RowMajor, Layout::ColumnMajor];
                check::<f32, _, _>(shape, [layout, rm, rm], Edge::Back, (bf16, bf16));
                check::<f32, _, _>(shape, [rm, layout, cm], Edge::Front, (|x| x as f32, bf16));
                check::<f32, _, _>(shape, [cm, rm, layout], Edge::Back, (bf16, |x| x));
                check::<f64, _, _>(shape, [rm, cm, layout], Edge::Front, (|x| x as f32, bf16));
            }
        }
        check::<f32, _, _>((70, 300, 900), [Layout::RowMajor; 3], Edge::Back, (bf16, bf16));
    });
}

#[test]
fn bits_are_those_of_gemm_on_converted_operands() {
    on_every_isa(|isa| {
        for (m, n, k) in [(150, 130, 900), (1, 50, 300), (300, 2, 40)] {
            let narrow = |x: Vec<f32>| x.into_iter().map(Bf16::from_f32).collect::<Vec<_>>();
            let wide = |x: &[Bf16]| x.iter().map(|x| x.to_f32()).collect::<Vec<_>>();
            let (a, b) = (narrow(normal(m * k, 1)), narrow(normal(k * n, 2)));
            let (wide_a, wide_b) = (wide(&a), wide(&b));
            let mut expected: Vec<f32> = normal(m * n, 3);
            let before = expected.clone();
            let (x, y) = (MatRef::new(&wide_a, m, k).unwrap(), MatRef::new(&wide_b, k, n).unwrap());
            gemm(1.5, x, y, 0.5, MatMut::new(&mut expected, m, n).unwrap()).unwrap();
            let (x, y) = (MatRef::new(&a, m, k).unwrap(), MatRef::new(&b, k, n).unwrap());
            for threads in [1, 2, 3, 7] {
                let mut c = before.clone();
                let out = MatMut::new(&mut c, m, n).unwrap();
                with_threads(threads, || gemm_mixed(1.5, x, y, 0.5, out).unwrap());
                assert!(c == expected, "{} {m}x{n}x{k} {threads} threads", isa.name());
            }
        }
    });
    let a = MatRef::new(&[1.0f32; 6], 2, 3).unwrap();
    let mut c = [0.0f32; 4];
    assert!(gemm_mixed(1.0, a, a, 0.0, MatMut::new(&mut c, 2, 2).unwrap()).is_err());
}
