//! Values of leaves that are order statistics.

use proptest::prelude::*;
use tilewise_gbdt::loss::LeafRule;

#[test]
fn leaves_of_few_rows() {
    let value = |rule: LeafRule, rows: &[(f64, f64)]| rule.value(&mut rows.to_vec());
    let quantile = LeafRule::Quantile;
    assert_eq!(value(LeafRule::Newton, &[(1.0, 1.0)]), None);
    for rule in [quantile(0.5), LeafRule::Huber(1.0)] {
        assert_eq!(value(rule, &[]), Some(0.0));
        assert_eq!(value(rule, &[(3.0, 0.0)]), Some(0.0));
        assert_eq!(value(rule, &[(3.0, 0.7)]), Some(3.0));
        assert_eq!(value(rule, &[(3.0, 0.7), (f64::NAN, 0.0)]), Some(3.0));
    }
    // The lower of the middle two; equal residuals are one after the other.
    assert_eq!(value(quantile(0.5), &[(4.0, 2.0), (1.0, 2.0)]), Some(1.0));
    assert_eq!(value(quantile(0.5), &[(4.0, 2.0), (1.0, 1.0)]), Some(4.0));
    assert_eq!(value(quantile(0.75), &[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (9.0, 1.0)]), Some(1.0));
    assert_eq!(value(quantile(0.76), &[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (9.0, 1.0)]), Some(9.0));
    // Median 2; cut off differences -1, 0, 3, weights 1, 2, 1.
    assert_eq!(value(LeafRule::Huber(3.0), &[(100.0, 1.0), (2.0, 2.0), (1.0, 1.0)]), Some(2.5));
}

proptest! {
    /// Residuals repeated by whole weights, sorted: the first that has enough rows up to it. And it makes the loss least.
    #[test]
    fn a_quantile_is_that_of_repeated_rows(
        rows in prop::collection::vec((-9_i32..9, 0_u32..4), 1..40),
        part in 1_u32..20,
        unit in prop::sample::select(vec![1.0, 0.1, 3.7e-6]),
    ) {
        let mut sorted: Vec<i32> = rows.iter().flat_map(|&(r, w)| std::iter::repeat_n(r, w as usize)).collect();
        sorted.sort_unstable();
        let quantile = f64::from(part) / 20.0;
        let mut weighed: Vec<(f64, f64)> = rows.iter().map(|&(r, w)| (f64::from(r), f64::from(w) * unit)).collect();
        let ours = LeafRule::Quantile(quantile).value(&mut weighed).unwrap();
        // As many rows as make 20 times them at least `part` times all.
        let needed = (part as usize * sorted.len()).div_ceil(20).max(1);
        let expected = sorted.get(needed - 1).map_or(0.0, |&r| f64::from(r));
        prop_assert_eq!(ours, expected);
        let mut repeated: Vec<(f64, f64)> = sorted.iter().map(|&r| (f64::from(r), unit)).collect();
        prop_assert_eq!(LeafRule::Quantile(quantile).value(&mut repeated), Some(expected));
        let loss = |at: f64| -> f64 {
            let of_row = |&r: &i32| (quantile * (f64::from(r) - at)).max((1.0 - quantile) * (at - f64::from(r)));
            sorted.iter().map(of_row).sum()
        };
        for other in -9..9 {
            prop_assert!(loss(ours) <= loss(f64::from(other)) + 1e-12);
        }
    }

    #[test]
    fn a_step_of_huber_is_its_definition(
        rows in prop::collection::vec((-100.0..100.0_f64, 1_u32..4), 1..40),
        delta in 0.1..50.0_f64,
        seed in any::<u64>(),
    ) {
        let mut repeated: Vec<f64> = rows.iter().flat_map(|&(r, w)| std::iter::repeat_n(r, w as usize)).collect();
        repeated.sort_by(f64::total_cmp);
        let median = repeated[(repeated.len() - 1) / 2];
        let cut: f64 = repeated.iter().map(|r| (r - median).signum() * (r - median).abs().min(delta)).sum();
        let expected = median + cut / repeated.len() as f64;
        let mut weighed: Vec<(f64, f64)> = rows.iter().map(|&(r, w)| (r, f64::from(w))).collect();
        let ours = LeafRule::Huber(delta).value(&mut weighed.clone()).unwrap();
        // Sums of at most 120 numbers below 50.
        prop_assert!((ours - expected).abs() < 1e-12, "{} {}", ours, expected);
        // In another order the same bits.
        let order = super::cases::shuffled(weighed.len(), seed);
        weighed = order.into_iter().map(|i| weighed[i]).collect();
        prop_assert_eq!(LeafRule::Huber(delta).value(&mut weighed).unwrap().to_bits(), ours.to_bits());
    }
}
