//! Splits by the kernel against sums that are written down.

use super::*;
use crate::Criterion;
use crate::weights::Weights;
use proptest::prelude::*;

proptest! {
    #[test]
    fn gains_are_those_of_sums_that_are_written_down(
        counts in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0_u32), 0..5_u32, 0..400_000_000_u32], 3), 2..7),
        empty in 0_usize..7,
        missing: bool,
        min_weight in 1_u64..3,
    ) {
        let target = ManyClasses::new(&[0, 1, 2], 3, &Weights::new(3, None), Criterion::Gini).unwrap();
        let mut cells: Vec<u32> =
            counts.iter().flat_map(|bin| bin.iter().map(|n| n / 7).chain([0])).collect();
        if let Some(bin) = cells.chunks_exact_mut(4).nth(empty) {
            bin.fill(0);
        }
        let all: Vec<u32> = (0..4).map(|k| cells.iter().skip(k).step_by(4).sum()).collect();
        prop_assume!(all.iter().any(|n| *n > 0));
        let rule = Rule { min_weight, min_gain: f64::NEG_INFINITY };
        let held = |bin: usize| cells[4 * bin..][..4].iter().any(|n| *n > 0);
        let bins = counts.len() - usize::from(missing);
        let of_missing = (missing && held(bins)).then(|| &cells[4 * bins..]);
        let first = of_missing.is_some().then_some(0).filter(|_| !held(0));
        let order: Vec<u16> = first.into_iter().chain((0..bins).filter(|&bin| held(bin))).map(|bin| bin as u16).collect();
        let candidates = Candidates { cells: &cells, order: &order, missing: of_missing, all: &all, groups: None };
        let expected = Room::default().scan(&target, &candidates, rule, |_, _, _| true);
        let told = |found: Option<Found>| found.map(|f| (order[f.place], f.missing_left, f.gain.to_bits()));
        let found = target.scan(&candidates, rule, &mut Room::default());
        prop_assert_eq!(told(found), told(expected));
        let split = target.scan_all(&cells, missing, &all, rule).unwrap();
        prop_assert_eq!(split.map(|s| (s.bin as u16, s.missing_left, s.gain.to_bits())), told(expected));
    }
}
