//! Tables of chunks against the table of all rows at once.

use super::*;
use crate::codes::Stored;
use proptest::prelude::*;
use tilewise_base::{Column, Context, pool, rounds};

/// Cuts of the same rows as a whole, in as many chunks.
fn compare(columns: &[Feature<'_>], weights: Option<&[f64]>, bins: MaxBins, ends: &[usize]) {
    let seed = 5;
    let whole = BinnedTable::new(columns, weights, bins, seed);
    let mut chunks = Vec::new();
    for (start, end) in std::iter::once(&0).chain(ends).zip(ends) {
        let part = |feature: &Feature<'_>| match *feature {
            Feature::Numeric(x) => (x[*start..*end].to_vec(), Vec::new(), 0),
            Feature::Categorical { codes, levels } => (Vec::new(), codes[*start..*end].to_vec(), levels),
        };
        chunks.push((columns.iter().map(part).collect::<Vec<_>>(), *start));
    }
    let chunks: Vec<RawChunk<'_>> = chunks
        .iter()
        .zip(ends)
        .map(|((columns, start), end)| {
            let feature = |(x, codes, levels): &(Vec<f64>, Vec<u32>, usize)| match levels {
                0 => Feature::Numeric(unbound(x)),
                &levels => Feature::Categorical { codes: unbound(codes), levels },
            };
            let features: Vec<_> = columns.iter().map(feature).collect();
            RawChunk::new(&features, weights.map(|weights| &weights[*start..*end]), *start as u64).unwrap()
        })
        .collect();
    let mut trainer = BinningTrainer::new(bins, seed).unwrap();
    let ran = rounds::run_through_bytes(&mut trainer, &chunks, &Context::default());
    let whole = match whole {
        Ok(whole) => whole,
        Err(e) => return assert_eq!(ran.unwrap_err().to_string(), e.to_string()),
    };
    ran.unwrap();
    // As a worker gets it.
    let bytes = pool::to_bytes(&trainer.finish().unwrap()).unwrap();
    let binned: BinnedColumns = pool::from_bytes(&bytes).unwrap();
    let outline = binned.outline().unwrap();
    assert_eq!(
        (&outline.binnings, &outline.missing, outline.offsets()),
        (&whole.binnings, &whole.missing, whole.offsets())
    );
    assert_eq!((outline.weights.unit, outline.weights.total), (whole.weights.unit, whole.weights.total));
    assert_eq!(outline.has_equal_weights(), whole.has_equal_weights());
    for (chunk, (start, end)) in chunks.iter().zip(std::iter::once(&0).chain(ends).zip(ends)) {
        let table = binned.table(chunk).unwrap();
        assert_eq!(table.rows(), end - start);
        assert_eq!(matches!(table.stored, Stored::Bytes(_)), matches!(whole.stored, Stored::Bytes(_)));
        for row in *start..*end {
            let own = row - start;
            assert_eq!(table.weight(own), whole.weight(row));
            for feature in 0..columns.len() {
                let missing = whole.weight(row) == 0.0;
                assert!(missing || table.bin(own as u32, feature) == whole.bin(row as u32, feature));
            }
        }
    }
}

/// Tests end before what they leave behind matters.
fn unbound<T: Clone>(x: &[T]) -> &'static [T] {
    Box::leak(x.to_vec().into_boxed_slice())
}

proptest! {
    #[test]
    fn cuts_of_chunks_are_those_of_all_rows(
        rows in prop::collection::vec(
            (prop_oneof![4 => (-9_i32..9).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(-0.0), 1 => Just(f64::INFINITY)],
             0_u32..7, prop::sample::select(vec![0.0, 1.0, 0.3, 3.0, 1e-12, 2.5])),
            1..60),
        weighed: bool,
        bins in prop::sample::select(vec![MaxBins::AtMost(2), MaxBins::AtMost(4), MaxBins::AtMost(255), MaxBins::Exact]),
        count in prop::sample::select(vec![1_usize, 2, 3, 7]),
        empty: bool,
    ) {
        let numbers: Vec<f64> = rows.iter().map(|row| row.0).collect();
        let codes: Vec<u32> = rows.iter().map(|row| row.1).collect();
        let weights: Vec<f64> = rows.iter().map(|row| row.2).collect();
        let mut ends: Vec<usize> = (1..=count).map(|i| i * rows.len() / count).collect();
        if empty {
            // One without rows, and one of one row.
            ends.insert(0, 0);
            ends.insert(1, 1.min(ends[1]));
        }
        let columns = [Feature::Numeric(&numbers), Feature::Categorical { codes: &codes, levels: 6 }, Feature::Numeric(&weights)];
        compare(&columns, weighed.then_some(&weights[..]), bins, &ends);
    }
}

#[test]
fn cuts_of_many_rows_come_from_the_same_sample() {
    const ROWS: usize = 210_000;
    let many: Vec<f64> = (0..ROWS).map(|i| (i * 7919 % 100_003) as f64).collect();
    // A value that few rows have.
    let few: Vec<f64> = (0..ROWS).map(|i| if i == ROWS / 2 { 9.5 } else { (i % 5) as f64 }).collect();
    let columns = [Feature::Numeric(&many), Feature::Numeric(&few)];
    compare(&columns, None, MaxBins::default(), &[70_001, 70_001, ROWS]);
    let weights: Vec<f64> = (0..ROWS).map(|i| (i % 3) as f64 * 0.7).collect();
    compare(&columns[1..], Some(&weights), MaxBins::AtMost(300), &[1, ROWS]);
    compare(&columns[..1], None, MaxBins::Exact, &[100_000, ROWS]);
}

#[test]
fn dictionaries_of_chunks_become_one() {
    let column = |codes: &[u32], texts: &[&str]| Column::Categorical {
        codes: codes.to_vec().into(),
        dictionary: texts.iter().map(|text| (*text).to_owned()).collect(),
    };
    let parts =
        [column(&[0, 1, tilewise_base::MISSING_CODE], &["b", "d"]), column(&[1, 0, 2, 2], &["a", "b", "c"])];
    let whole = column(&[1, 3, tilewise_base::MISSING_CODE, 1, 0, 2, 2], &["a", "b", "c", "d"]);
    let expected = BinnedTable::from_columns(
        7,
        &[(&whole).into()],
        None,
        3.into(),
        0,
        &|_| String::new(),
        &tilewise_base::Storage::default(),
    )
    .unwrap();
    let chunks = [
        RawChunk::of_columns(&[&parts[0]], None, 0).unwrap(),
        RawChunk::of_columns(&[&parts[1]], None, 3).unwrap(),
    ];
    let mut trainer = BinningTrainer::new(3, 0).unwrap();
    rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
    let binned = trainer.finish().unwrap();
    assert_eq!(binned.dictionary(0).unwrap(), ["a", "b", "c", "d"]);
    let tables = chunks.each_ref().map(|chunk| binned.table(chunk).unwrap());
    assert_eq!(tables[0].binnings, expected.binnings);
    let bins: Vec<usize> =
        tables.iter().flat_map(|table| (0..table.rows() as u32).map(|row| table.bin(row, 0))).collect();
    assert!(bins.iter().enumerate().all(|(row, &bin)| bin == expected.bin(row as u32, 0)), "{bins:?}");
}

#[test]
fn chunks_that_do_not_fit_are_refused() {
    let (x, codes) = ([1.0, 2.0], [0_u32, 1]);
    let run = |chunks: &[RawChunk<'_>]| {
        let mut trainer = BinningTrainer::new(255, 0).unwrap();
        rounds::run_through_bytes(&mut trainer, chunks, &Context::default()).unwrap_err().to_string()
    };
    let numbers = |weights, first| RawChunk::new(&[Feature::Numeric(&x)], weights, first).unwrap();
    let coded = RawChunk::new(&[Feature::Categorical { codes: &codes, levels: 2 }], None, 2).unwrap();
    assert!(run(&[numbers(None, 0), coded]).contains("column 0 has numbers in some rows"));
    let two = RawChunk::new(&[Feature::Numeric(&x); 2], None, 2).unwrap();
    assert!(run(&[numbers(None, 0), two]).contains("some rows have 1 columns and others 2"));
    assert!(run(&[numbers(Some(&[0.0, 0.0]), 0)]).contains("no rows with a weight"));
    let message = run(&[numbers(None, 0), numbers(Some(&[1.0, -1.0]), 2)]);
    assert!(message.contains("row 4") && message.contains("-1"), "{message}");
    assert!(run(&[numbers(Some(&[f64::MAX, f64::MAX]), 0)]).contains("not finite"));
    assert!(BinningTrainer::new(1, 0).is_err());
    assert!(matches!(BinningTrainer::new(2, 0).unwrap().finish(), Err(Error::Cancelled)));
}
