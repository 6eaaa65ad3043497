//! Products of bytes against their definition: every integer equal, in every way of multiplying that the CPU has.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, Layout, strides, view, view_mut};
use crate::{LENGTHS, on_every_isa};
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::random::Philox;
use tilewise_kernels::*;

/// Bytes of any value; a quarter of them are the extreme ones, on which instructions that saturate fail.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let stream = Philox::new(seed, Philox::purpose("kernel tests: bytes"));
    let byte = |i: u64| match stream.below(2 * i, 8) {
        0 => 255,
        1 => 128,
        _ => stream.below(2 * i + 1, 256) as u8,
    };
    (0..len as u64).map(byte).collect()
}

fn signed(bytes: Vec<u8>) -> Vec<i8> {
    bytes.into_iter().map(|x| x as i8).collect()
}

/// Runs `f` on every instruction set with every way of multiplying that belongs to it.
fn in_every_way(f: impl Fn(I8Kernel)) {
    on_every_isa(|_| I8Kernel::available().for_each(&f));
}

/// One product in guarded operands, packed and not, as integers and scaled.
fn check(
    kernel: I8Kernel,
    (m, n, k): (usize, usize, usize),
    layouts: [Layout; 3],
    (zero_a, zero_b): (u8, i8),
    edge: Edge,
    make: impl Fn(usize, u64) -> Vec<u8>,
) {
    let lens = [strides(layouts[0], m, k).3, strides(layouts[1], k, n).3, strides(layouts[2], m, n).3];
    let a = Guarded::new(&make(lens[0], 1), edge);
    let b = Guarded::new(&signed(make(lens[1], 2)), edge);
    let (a, b) = (view(&a, layouts[0], m, k), view(&b, layouts[1], k, n));
    let name = format!("{} {m}x{n}x{k} {layouts:?} zeros {zero_a} {zero_b}", kernel.name());

    // What lies between the elements of C stays as it was.
    let mut expected = vec![-77; lens[2]];
    naive::gemm_i8(a, zero_a, b, zero_b, view_mut(&mut expected, layouts[2], m, n));
    let mut c = Guarded::new(&vec![-77; lens[2]], edge);
    let packed = PackedI8::for_kernel(kernel, b, zero_b);
    packed.gemm(a, zero_a, view_mut(&mut c, layouts[2], m, n)).unwrap();
    assert!(expected[..] == c[..], "{name}: packed");
    if Some(kernel) == I8Kernel::available().next() {
        c.fill(-77);
        gemm_i8(a, zero_a, b, zero_b, view_mut(&mut c, layouts[2], m, n)).unwrap();
        assert!(expected[..] == c[..], "{name}");
    }

    // What is scaled are the same integers: a quarter of the shapes will do.
    if !(m + n / 2 + k).is_multiple_of(4) {
        return;
    }
    let by = Quantisation { scale: 0.37, zero_point: zero_a };
    let scales: Vec<f32> = (0..n).map(|j| 0.01 + j as f32 / 7.0).collect();
    for scales in [Scales::Same(1.3), Scales::Columns(&scales)] {
        let mut expected = vec![-77.0; lens[2]];
        naive::gemm_i8_scaled(a, by, b, zero_b, scales, view_mut(&mut expected, layouts[2], m, n));
        let mut c = Guarded::new(&vec![-77.0; lens[2]], edge);
        packed.gemm_scaled(a, by, scales, view_mut(&mut c, layouts[2], m, n)).unwrap();
        assert!(expected[..] == c[..], "{name}: scaled");
    }
}

#[test]
fn every_small_shape_is_exact() {
    in_every_way(|kernel| {
        for m in 0..=20 {
            for n in 0..=20 {
                for k in 0..=20 {
                    let zeros = [(0, 0), (128, 0), (255, -128), (3, 127)][(m + n + k) % 4];
                    let edge = if k % 2 == 0 { Edge::Back } else { Edge::Front };
                    check(kernel, (m, n, k), [Layout::RowMajor; 3], zeros, edge, bytes);
                }
            }
        }
    });
}

#[test]
fn every_layout_is_exact() {
    in_every_way(|kernel| {
        for a in LAYOUTS {
            for b in LAYOUTS {
                for c in LAYOUTS {
                    check(kernel, (13, 37, 13), [a, b, c], (7, -3), Edge::Back, bytes);
                    check(kernel, (5, 70, 132), [a, b, c], (0, 0), Edge::Front, bytes);
                }
            }
        }
    });
}

#[test]
fn shapes_across_blocks_are_exact() {
    // Beyond one tile, one job (64 rows), one group of columns in L2 (128) and one block of k (3072 steps at most).
    in_every_way(|kernel| {
        for shape in
            [(97, 261, 131), (15, 33, 3100), (3, 130, 6200), (1, 40, 7000), (200, 1, 65), (25, 300, 64)]
        {
            for layout in [Layout::RowMajor, Layout::ColumnMajor] {
                check(kernel, shape, [layout, Layout::Padded, Layout::RowMajor], (0, 0), Edge::Back, bytes);
                check(kernel, shape, [Layout::RowMajor, layout, layout], (130, 5), Edge::Back, bytes);
            }
        }
    });
}

#[test]
fn zero_strides_and_extreme_bytes_are_exact() {
    in_every_way(|kernel| {
        for (a, b) in [([255], [-128]), ([255], [127]), ([0], [-128]), ([128], [-1])] {
            for (zero_a, zero_b) in [(0, 0), (255, 127), (0, -128), (1, 127)] {
                let (m, n, k) = (14, 35, 515);
                let a = MatRef::with_strides(&a, 0, m, k, 0, 0).unwrap();
                let b = MatRef::with_strides(&b, 0, k, n, 0, 0).unwrap();
                let (mut c, mut expected) = (vec![0; m * n], vec![0; m * n]);
                naive::gemm_i8(a, zero_a, b, zero_b, MatMut::new(&mut expected, m, n).unwrap());
                let packed = PackedI8::for_kernel(kernel, b, zero_b);
                packed.gemm(a, zero_a, MatMut::new(&mut c, m, n).unwrap()).unwrap();
                assert_eq!(c, expected, "{}", kernel.name());
            }
        }
    });
}

#[test]
fn the_longest_sums_fit_and_longer_ones_are_refused() {
    in_every_way(|kernel| {
        for (a, zero_a, b, zero_b, most) in [
            ([255], 0, [-128], 0, 65_793),
            ([0], 128, [-128], 0, 131_071),
            ([255], 0, [127], -128, 33_025),
            ([0], 255, [-128], 127, 33_025),
        ] {
            let product = |k: usize| {
                let a = MatRef::with_strides(&a, 0, 2, k, 0, 0).unwrap();
                let b = MatRef::with_strides(&b, 0, k, 3, 0, 0).unwrap();
                let mut c = [0; 6];
                let packed = PackedI8::for_kernel(kernel, b, zero_b);
                let both = [
                    packed.gemm(a, zero_a, MatMut::new(&mut c, 2, 3).unwrap()),
                    gemm_i8(a, zero_a, b, zero_b, MatMut::new(&mut c, 2, 3).unwrap()),
                ];
                assert_eq!(both[0], both[1]);
                both[0].clone().map(|()| c)
            };
            let each = (i64::from(a[0]) - i64::from(zero_a)) * (i64::from(b[0]) - i64::from(zero_b));
            assert_eq!(
                product(most),
                Ok([i32::try_from(most as i64 * each).unwrap(); 6]),
                "{}",
                kernel.name()
            );
            let error = ShapeError::TooLong { what: "columns of A", most, found: most + 1 };
            assert_eq!(product(most + 1), Err(error));
        }
    });
}

#[test]
fn any_number_of_threads_gives_the_same() {
    in_every_way(|kernel| {
        let (m, n, k) = (203, 517, 331);
        let (a, b) = (bytes(m * k, 1), signed(bytes(k * n, 2)));
        let (a, b) = (MatRef::new(&a, m, k).unwrap(), MatRef::new(&b, k, n).unwrap());
        let mut expected = vec![0; m * n];
        naive::gemm_i8(a, 9, b, -4, MatMut::new(&mut expected, m, n).unwrap());
        for threads in [1, 2, 3, 7] {
            let mut c = vec![0; m * n];
            with_threads(threads, || {
                let packed = PackedI8::for_kernel(kernel, b, -4);
                packed.gemm(a, 9, MatMut::new(&mut c, m, n).unwrap()).unwrap();
            });
            assert!(c == expected, "{} {threads} threads", kernel.name());
        }
    });
}

#[test]
fn what_was_packed_serves_any_thread_and_any_set_later() {
    let (m, n, k) = (30, 50, 40);
    let (a, b) = (bytes(m * k, 1), signed(bytes(k * n, 2)));
    let (a, b) = (MatRef::new(&a, m, k).unwrap(), MatRef::new(&b, k, n).unwrap());
    let mut expected = vec![0; m * n];
    naive::gemm_i8(a, 1, b, 2, MatMut::new(&mut expected, m, n).unwrap());
    let packed = PackedI8::new(b, 2);
    assert_eq!((packed.rows(), packed.cols()), (k, n));
    on_every_isa(|_| {
        let mut c = vec![0; m * n];
        std::thread::scope(|scope| {
            let job = || packed.gemm(a, 1, MatMut::new(&mut c, m, n).unwrap());
            scope.spawn(job).join().unwrap().unwrap();
        });
        assert_eq!(c, expected);
    });
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let (a, b) = ([1u8; 12], [1i8; 20]);
    let (a, b) = (MatRef::new(&a, 3, 4).unwrap(), MatRef::new(&b, 4, 5).unwrap());
    let (mut c, mut f) = ([0; 15], [0.0; 15]);
    let by = Quantisation { scale: 1.0, zero_point: 0 };
    let same = Scales::Same(1.0);
    assert!(gemm_i8(a.transpose(), 0, b, 0, MatMut::new(&mut c, 3, 5).unwrap()).is_err());
    assert!(gemm_i8(a, 0, b, 0, MatMut::new(&mut c, 5, 3).unwrap()).is_err());
    assert!(gemm_i8_scaled(a, by, b, 0, same, MatMut::new(&mut f, 5, 3).unwrap()).is_err());
    let packed = PackedI8::new(b, 0);
    assert!(packed.gemm(a.transpose(), 0, MatMut::new(&mut c, 3, 5).unwrap()).is_err());
    let four = Scales::Columns(&[1.0; 4]);
    assert!(packed.gemm_scaled(a, by, four, MatMut::new(&mut f, 3, 5).unwrap()).is_err());
    assert!(packed.gemm_scaled(a, by, same, MatMut::new(&mut f, 3, 5).unwrap()).is_ok());
    assert_eq!(f, [4.0; 15]);
}

/// Numbers of every size, ties, and what is no number.
fn reals(scale: f32) -> Vec<f32> {
    let stream = Philox::new(5, Philox::purpose("kernel tests: reals"));
    let mut x: Vec<f32> = (-600..600).map(|i| i as f32 * 0.5 * scale).collect();
    x.extend((0..5000).map(|i| stream.normal(i) as f32 * 90.0 * scale));
    x.extend((0..5000).map(|i| f32::from_bits(stream.bits(i) as u32)));
    x.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN]);
    x
}

fn check_quantisation<Q: Quantised>(by: Quantisation<Q>, bytes: &[Q]) {
    let x = reals(by.scale);
    on_every_isa(|isa| {
        for edge in [Edge::Front, Edge::Back] {
            for n in LENGTHS.into_iter().filter(|&n| n < x.len()).chain([x.len()]) {
                let x = Guarded::new(&x[x.len() - n..], edge);
                let mut out = Guarded::new(&vec![Q::default(); n], edge);
                quantise(&x, by, &mut out).unwrap();
                for (&x, &q) in x.iter().zip(out.iter()) {
                    assert_eq!(q, naive::quantise(x, by), "{} {x:e} {by:?}", isa.name());
                }
            }
            let q = Guarded::new(bytes, edge);
            let mut x = Guarded::new(&vec![0.0; q.len()], edge);
            dequantise(&q, by, &mut x).unwrap();
            let expected: Vec<f32> = q.iter().map(|&q| naive::dequantise(q, by)).collect();
            assert_eq!(x[..], expected, "{} {by:?}", isa.name());
            // And back: every byte stands for itself.
            let mut again = vec![Q::default(); q.len()];
            quantise(&x, by, &mut again).unwrap();
            assert_eq!(again, q[..], "{} {by:?}", isa.name());
        }
    });
    let long = vec![3.0f32 * by.scale; 300_000];
    let mut out = vec![Q::default(); long.len()];
    with_threads(3, || quantise(&long, by, &mut out).unwrap());
    assert!(out.iter().all(|&q| q == naive::quantise(long[0], by)));
    assert!(quantise(&long, by, &mut out[1..]).is_err() && dequantise(&out[1..], by, &mut [0.0]).is_err());
}

#[test]
fn quantisation_is_its_definition() {
    let all: Vec<u8> = (0..=255).collect();
    for scale in [1.0, 0.1, 3.7e-5, 1e30] {
        for zero_point in [0, 1, 128, 255] {
            check_quantisation(Quantisation { scale, zero_point }, &all);
        }
        for zero_point in [0, -128, 127] {
            check_quantisation(Quantisation { scale, zero_point }, &signed(all.clone()));
        }
    }
}

#[test]
fn quantisations_of_ranges_hold_them() {
    for (min, max) in
        [(-1.0, 1.0), (0.0, 6.0), (2.0, 3.0), (-7.0, -2.0), (0.0, 0.0), (-1e38, 1e38), (0.0, 1e-44)]
    {
        let by = Quantisation::<u8>::of_range(min, max).unwrap();
        assert!(by.scale > 0.0 && by.scale.is_finite(), "{min} {max}: {by:?}");
        for x in [min, max, 0.0] {
            let error = (naive::dequantise(naive::quantise(x, by), by) as f64 - x as f64).abs();
            assert!(error <= 0.51 * by.scale as f64, "{min} {max}: {x} is off by {error}, {by:?}");
        }
        assert_eq!(naive::quantise(0.0, by), by.zero_point);
    }
    for (min, max) in [(1.0, 0.0), (f32::NAN, 1.0), (0.0, f32::NAN), (0.0, f32::INFINITY)] {
        assert_eq!(Quantisation::<u8>::of_range(min, max), None);
    }
    for largest in [0.0, 1.0, 1e-44, f32::MAX] {
        let by = Quantisation::<i8>::symmetric(largest).unwrap();
        assert!(by.zero_point == 0 && by.scale > 0.0);
        let ends = [largest, -largest].map(|x| naive::quantise(x, by));
        assert!(ends[0] == -ends[1] && (ends[0] == 127 || largest < 1e-30), "{largest}: {ends:?}");
    }
    assert!([-1.0, f32::NAN, f32::INFINITY].iter().all(|&x| Quantisation::<i8>::symmetric(x).is_none()));
}
