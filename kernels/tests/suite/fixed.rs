//! Derivatives in fixed point.

use crate::on_every_isa;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{
    Derivatives, FixedPoint, Packed, exponents, fixed_point, largest, round_fixed, sizes,
};
use tilewise_kernels::{naive, parallel};

const STREAM: Philox = Philox::new(3, Philox::purpose("test of rounding"));

/// Rows whose gradients are about as large as `size`, and whose hessians are a tenth of that at most.
fn rows(count: usize, size: f32) -> Vec<Derivatives> {
    let stream = Philox::new(count as u64, Philox::purpose("derivatives"));
    let row = |i: u64| Derivatives {
        gradient: stream.normal(2 * i) as f32 * size,
        hessian: stream.uniform(2 * i + 1) as f32 * size / 10.0,
    };
    (0..count as u64).map(row).collect()
}

fn fixed(rows: &[Derivatives]) -> (Vec<Packed>, FixedPoint) {
    let mut out = vec![Packed::default(); rows.len()];
    let units = fixed_point(rows, STREAM, &mut out).unwrap();
    (out, units)
}

#[test]
fn rounding_is_its_definition() {
    for count in [0, 1, 15, 64, 100, 4096, 40_000] {
        for size in [1e-37, 1e-3, 1.0, 1e30] {
            let rows = rows(count, size);
            let (first, units) = fixed(&rows);
            let steps = [1.0 / units.gradient_unit, 1.0 / units.hessian_unit];
            assert_eq!(first, naive::tree::fixed_point(&rows, steps, STREAM), "{count} rows of {size}");
            on_every_isa(|isa| {
                for threads in [1, 2, 3, 7] {
                    let again = parallel::with_threads(threads, || fixed(&rows));
                    assert_eq!(again, (first.clone(), units), "{} {threads} threads", isa.name());
                }
            });
        }
    }
}

/// Sizes of up to 2^23 steps, to which random bits cannot be added in an f32.
#[test]
fn what_needs_no_rounding_is_not_rounded() {
    for count in [10, 500, 40_000] {
        let row = |i: usize| Derivatives { gradient: (i % 80) as f32 / 8.0 - 5.0, hessian: 1.0 };
        let rows: Vec<Derivatives> = (0..count).map(row).collect();
        let (fixed, units) = fixed(&rows);
        for (row, fixed) in rows.iter().zip(fixed) {
            assert_eq!(f64::from(fixed.gradient()) * units.gradient_unit, f64::from(row.gradient));
            assert_eq!(f64::from(fixed.hessian()) * units.hessian_unit, 1.0);
        }
    }
}

#[test]
fn sums_fit_and_use_their_room() {
    for (count, size) in [(1, 1.0), (100, 1e-3), (40_000, 1.0), (40_000, 1e20)] {
        let mut rows = rows(count, size);
        // One that is as large as all others together.
        rows[0].gradient = size * count as f32;
        let (fixed, units) = fixed(&rows);
        let sizes: i64 = fixed.iter().map(|v| i64::from(v.gradient()).abs()).sum();
        let hessians: i64 = fixed.iter().map(|v| i64::from(v.hessian())).sum();
        assert!(sizes < 1 << 31 && hessians < 1 << 31, "{sizes} {hessians}");
        assert!(sizes >= 1 << 29 && hessians >= 1 << 29, "{count}: {sizes} {hessians}");
        assert!(fixed.iter().all(|v| v.hessian() <= units.most_hessian && v.hessian() >= 1));
        // What is cut off is 0 on average: a sum of n errors of standard deviation at most 1/2 is within 6 sqrt(n) / 2.
        let exact: f64 = rows.iter().map(|row| f64::from(row.gradient)).sum::<f64>() / units.gradient_unit;
        let sum: f64 = fixed.iter().map(|v| f64::from(v.gradient())).sum();
        assert!((sum - exact).abs() <= 3.0 * (count as f64).sqrt() + 1.0, "{count}: {sum} {exact}");
    }
}

#[test]
fn nothing_and_what_is_not_a_number_are_taken() {
    let zeros = vec![Derivatives::default(); 100];
    let (out, units) = fixed(&zeros);
    assert!(out.iter().all(|v| (v.gradient(), v.hessian()) == (0, 1)));
    assert!(units.gradient_unit.is_finite() && units.gradient_unit > 0.0 && units.hessian_unit > 0.0);
    // Such sums mean nothing, but nothing breaks.
    for gradient in [f32::NAN, f32::INFINITY, f32::MAX, 1e-45] {
        let (out, units) = fixed(&[Derivatives { gradient, hessian: gradient }; 3]);
        assert!(out.len() == 3 && units.hessian_unit > 0.0);
    }
    assert!(fixed_point(&zeros, STREAM, &mut [Packed::default(); 3]).is_err());
}

/// Rows that lie in several places: the largest sizes, then sums, then the same integers, wherever places begin.
#[test]
fn places_of_rows_are_rounded_as_all_of_them() {
    for (count, cuts) in
        [(40_000, vec![0, 1, 64, 100, 16_500, 40_000]), (130, vec![0, 0, 63, 130]), (0, vec![0, 0])]
    {
        let rows = rows(count, 0.01);
        let (expected, units) = fixed(&rows);
        let places: Vec<&[Derivatives]> = cuts.windows(2).map(|cut| &rows[cut[0]..cut[1]]).collect();
        let most =
            places.iter().map(|rows| largest(rows)).reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]).unwrap();
        let exponents = exponents(most);
        let sums = places
            .iter()
            .map(|rows| sizes(rows, exponents))
            .reduce(|a, b| [a[0] + b[0], a[1] + b[1]])
            .unwrap();
        assert_eq!(FixedPoint::of(count, most, sums).unwrap(), units);
        let mut out = vec![Packed::default(); count];
        for (rows, cut) in places.iter().zip(cuts.windows(2)) {
            round_fixed(rows, cut[0], units, STREAM, &mut out[cut[0]..cut[1]]).unwrap();
        }
        assert_eq!(out, expected);
    }
    assert!(FixedPoint::of(1 << 30, [1.0; 2], [1; 2]).is_err());
    assert!(round_fixed(&[], 0, fixed(&[]).1, STREAM, &mut [Packed::default()]).is_err());
}
