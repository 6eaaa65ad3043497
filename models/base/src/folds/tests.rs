//! Folds against what they promise, on drawn tables.

use super::*;
use proptest::prelude::*;

/// How often each row is tested.
fn tested(folds: &[Fold], rows: usize) -> Vec<usize> {
    let mut count = vec![0; rows];
    folds.iter().flat_map(|fold| &fold.test).for_each(|&row| count[row] += 1);
    count
}

fn spread(sizes: impl Iterator<Item = usize> + Clone) -> usize {
    sizes.clone().max().unwrap_or(0) - sizes.min().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_row_is_tested_once_and_strata_are_balanced(
        strata in prop::collection::vec(0u32..4, 2..60), count in 2usize..8, seed in 0u64..1000
    ) {
        let rows = strata.len();
        for division in [Division::Random, Division::Strata(strata.clone())] {
            let Ok(folds) = division.folds(rows, count, seed) else {
                prop_assert!(rows < count);
                continue;
            };
            prop_assert_eq!(folds.len(), count);
            prop_assert_eq!(tested(&folds, rows), vec![1; rows]);
            prop_assert!(spread(folds.iter().map(|fold| fold.test.len())) <= 1);
            for fold in &folds {
                prop_assert!(fold.train.is_sorted() && fold.test.is_sorted());
                let mut all = [&fold.train[..], &fold.test].concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
            }
            if let Division::Strata(strata) = &division {
                for stratum in 0..4 {
                    let of_fold = |fold: &Fold| fold.test.iter().filter(|&&row| strata[row] == stratum).count();
                    prop_assert!(spread(folds.iter().map(of_fold)) <= 1);
                }
            }
        }
    }

    #[test]
    fn groups_are_not_torn(groups in prop::collection::vec(0u32..12, 2..60), count in 2usize..6, seed in 0u64..1000) {
        let rows = groups.len();
        let sizes: Vec<usize> = (0..12).map(|g| groups.iter().filter(|&&x| x == g).count()).collect();
        let folds = match Division::Groups(groups.clone()).folds(rows, count, seed) {
            Ok(folds) => folds,
            Err(e) => {
                prop_assert!(sizes.iter().filter(|&&n| n > 0).count() < count, "{}", e);
                return Ok(());
            }
        };
        prop_assert_eq!(tested(&folds, rows), vec![1; rows]);
        for fold in &folds {
            prop_assert!(!fold.test.is_empty() && !fold.train.is_empty());
            prop_assert!(fold.test.iter().all(|&t| fold.train.iter().all(|&r| groups[r] != groups[t])));
        }
        // The fold that got its last group had the fewest rows then.
        let largest = sizes.iter().max().copied().unwrap_or(0);
        prop_assert!(spread(folds.iter().map(|fold| fold.test.len())) <= largest);
    }

    #[test]
    fn nothing_is_learned_from_the_future(times in prop::collection::vec(-9i32..9, 2..60), count in 2usize..6) {
        let times: Vec<f64> = times.into_iter().map(f64::from).collect();
        let mut distinct = times.clone();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let folds = match Division::Time(times.clone()).folds(times.len(), count, 0) {
            Ok(folds) => folds,
            Err(e) => {
                prop_assert!(distinct.len() <= count, "{}", e);
                return Ok(());
            }
        };
        prop_assert!(distinct.len() > count && folds.len() == count);
        let mut before: Vec<usize> = folds[0].train.clone();
        for fold in &folds {
            let latest = fold.train.iter().map(|&row| times[row]).fold(f64::MIN, f64::max);
            prop_assert!(!fold.train.is_empty() && !fold.test.is_empty());
            prop_assert!(fold.test.iter().all(|&row| times[row] > latest));
            // The window grows by what was tested.
            before.sort_unstable();
            prop_assert_eq!(&before, &fold.train);
            before.extend(&fold.test);
        }
        prop_assert_eq!(before.len(), times.len());
    }

    #[test]
    fn shares_are_nested_and_keep_the_rules(
        marks in prop::collection::vec(0u32..6, 12..60), seed in 0u64..1000, a in 0.01f64..1.0, b in 0.01f64..1.0
    ) {
        let times = marks.iter().map(|&mark| f64::from(mark)).collect();
        let (less, more) = (a.min(b), a.max(b));
        for division in
            [Division::Random, Division::Strata(marks.clone()), Division::Groups(marks.clone()), Division::Time(times)]
        {
            let train: Vec<usize> = (0..marks.len()).filter(|row| row % 5 != 2).collect();
            let [few, many, all] = [less, more, 1.0].map(|share| division.share(&train, share, seed).unwrap());
            prop_assert_eq!(&all, &train);
            prop_assert!(few.iter().all(|row| many.contains(row)) && many.iter().all(|row| train.contains(row)));
            prop_assert!(few.len() as f64 >= less * train.len() as f64 - 1e-6);
            let count = |rows: &[usize], mark: u32| rows.iter().filter(|&&row| marks[row] == mark).count();
            for mark in 0..6 {
                let (had, has) = (count(&train, mark), count(&few, mark));
                match &division {
                    Division::Strata(_) => prop_assert!((has as f64 - less * had as f64).abs() < 1.0 + 1e-6),
                    Division::Groups(_) => prop_assert!(has == 0 || has == had),
                    Division::Time(_) => {
                        let later: usize = (mark + 1..6).map(|later| count(&train, later)).sum();
                        prop_assert!(has == few.len().saturating_sub(later).min(had));
                    }
                    Division::Random => prop_assert!(few.len() as f64 <= less * train.len() as f64 + 1.0),
                }
            }
        }
    }
}

/// What the numbers draw is fixed: a change would change everybody's scores. 4 of 12 rows, counted by hand from the order of keys.
#[test]
fn a_fold_is_every_third_row_in_the_order_of_its_keys() {
    let keys = Philox::new(7, Philox::purpose("folds"));
    let mut order: Vec<usize> = (0..12).collect();
    order.sort_by_key(|&row| keys.bits(row as u64));
    let folds = Division::Random.folds(12, 3, 7).unwrap();
    for (i, fold) in folds.iter().enumerate() {
        let mut expected: Vec<usize> = order.iter().copied().skip(i).step_by(3).collect();
        expected.sort_unstable();
        assert_eq!(fold.test, expected);
    }
    assert_ne!(folds, Division::Random.folds(12, 3, 8).unwrap());
}

#[test]
fn blocks_of_time_are_equal_where_times_permit() {
    let sizes = |times: &[f64], count| {
        let folds = Division::Time(times.to_vec()).folds(times.len(), count, 0).unwrap();
        folds.iter().map(|fold| (fold.train.len(), fold.test.len())).collect::<Vec<_>>()
    };
    let ten: Vec<f64> = (0..12).map(|i| f64::from((i * 5) % 12)).collect();
    assert_eq!(sizes(&ten, 3), [(3, 3), (6, 3), (9, 3)]);
    // Six rows of one time in front: they are one block, and each block behind still has a time.
    let uneven = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0];
    assert_eq!(sizes(&uneven, 2), [(6, 1), (7, 1)]);
    let late = [1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0];
    assert_eq!(sizes(&late, 2), [(1, 1), (2, 6)]);
}

#[test]
fn what_cannot_be_divided_is_told() {
    let told = |division: &Division, rows, count| division.folds(rows, count, 0).unwrap_err().to_string();
    assert!(told(&Division::Random, 10, 1).contains("2 or more"));
    assert!(told(&Division::Random, 3, 4).contains("3 rows are too few for 4 folds"));
    assert!(told(&Division::Groups(vec![1, 1, 2]), 3, 3).contains("2 groups"));
    assert!(told(&Division::Time(vec![1.0, 1.0, 2.0]), 3, 2).contains("2 different times"));
    assert!(Division::Strata(vec![1]).folds(3, 2, 0).is_err());
    assert!(Division::Random.share(&[1], 0.0, 0).is_err() && Division::Random.share(&[1], 1.5, 0).is_err());
    assert!(Division::Strata(vec![1]).share(&[4], 0.5, 0).unwrap_err().to_string().contains("row 5"));
}

#[test]
fn times_are_numbers_or_dates() {
    let text = |texts: &[&str]| Column::Categorical {
        codes: (0..texts.len() as u32).rev().collect(),
        dictionary: texts.iter().map(|t| t.to_string()).collect(),
    };
    let table = Dataset::new(vec![
        ("number".into(), Column::F64(vec![3.0, f64::NAN].into())),
        ("day".into(), text(&["2024-01-05", "2024-01-10T12:00"])),
        ("other".into(), text(&["10/1/2024", "5/1/2024"])),
    ])
    .unwrap();
    assert_eq!(times(&table, "day").unwrap(), [1.0, 0.0]);
    assert!(
        times(&table, "number")
            .unwrap_err()
            .to_string()
            .contains("row 2, column \"number\": the time is missing")
    );
    assert!(times(&table, "other").unwrap_err().to_string().contains("\"10/1/2024\""));
    assert!(times(&table, "nowhere").is_err());
}
