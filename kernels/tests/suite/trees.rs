//! Kernels of trees against their definitions: integers, so everything must be equal.

use crate::on_every_isa;
use proptest::prelude::*;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::*;
use tilewise_kernels::{ShapeError, naive, parallel};

/// Bins of random features, some of one bin, some of few.
struct Data<B> {
    bins: Vec<B>,
    offsets: Vec<usize>,
    rows: usize,
    row_major: bool,
}

impl<B: Bin> Data<B> {
    fn new(rows: usize, features: usize, most: usize, row_major: bool, seed: u64) -> Self {
        let stream = Philox::new(seed, Philox::purpose("kernel tests: bins"));
        let mut offsets = vec![0];
        for f in 0..features as u64 {
            let counts = [most, 1 + stream.below(f, most as u64) as usize, 2.min(most), 1];
            offsets.push(offsets[f as usize] + counts[stream.below(f + 1000, 4) as usize]);
        }
        let bin = |place: usize| {
            let feature = if row_major { place % features } else { place / rows };
            let count = offsets[feature + 1] - offsets[feature];
            B::from_low_bits(stream.below(place as u64 + 2000, count as u64) as usize)
        };
        Self { bins: (0..rows * features).map(bin).collect(), offsets, rows, row_major }
    }
    fn get(&self) -> Bins<'_, B> {
        let new = if self.row_major { Bins::row_major } else { Bins::column_major };
        new(&self.bins, self.rows, &self.offsets).unwrap()
    }
}

fn list(rows: usize, len: usize, seed: u64) -> Vec<u32> {
    let stream = Philox::new(seed, Philox::purpose("kernel tests: rows"));
    (0..len as u64).filter(|_| rows > 0).map(|i| stream.below(i, rows as u64) as u32).collect()
}

fn gradients(rows: usize, largest: i64, seed: u64) -> Vec<Packed> {
    let stream = Philox::new(seed, Philox::purpose("kernel tests: gradients"));
    let one = |i| (stream.below(i, 2 * largest as u64 + 1) as i64 - largest) as i32;
    (0..rows as u64).map(|i| Packed::new(one(2 * i), one(2 * i + 1))).collect()
}

fn histograms_are_their_definition<B: Bin>(data: &Data<B>, rows: &Rows<'_>, seed: u64) {
    let (bins, n) = (data.get(), data.rows);
    let small = gradients(n, 1000, seed);
    // Cells that hold something already.
    let before = gradients(bins.cells(), 1 << 20, seed + 1);
    let mut expected: Vec<Pair> = before.iter().map(|&cell| cell.into()).collect();
    naive::tree::histogram_packed(bins, rows, &small, &mut expected);
    let mut packed = before.clone();
    histogram(bins, rows, Gradients::new(&small), &mut packed).unwrap();
    let packed: Vec<Pair> = packed.into_iter().map(|cell| cell.into()).collect();
    assert!(packed == expected, "packed");
    // So large that two rows do not fit 32 bits.
    let large = gradients(n, i32::MAX.into(), seed);
    let mut expected: Vec<Pair> = before.iter().map(|&cell| cell.into()).collect();
    let mut wide = expected.clone();
    let mut pairs = expected.clone();
    naive::tree::histogram_packed(bins, rows, &large, &mut expected);
    histogram_wide(bins, rows, Gradients::new(&large), &mut wide).unwrap();
    assert!(wide == expected, "wide");
    let large: Vec<Pair> = large.into_iter().map(|v| v.into()).collect();
    histogram_pairs(bins, rows, &large, &mut pairs).unwrap();
    assert!(pairs == expected, "pairs");

    let stream = Philox::new(seed, Philox::purpose("kernel tests: classes"));
    let classes = 1 + stream.below(0, 6) as usize;
    let label = |i: u64| ClassWeight {
        class: stream.below(i + 1, classes as u64) as u32,
        weight: stream.below(i + 1_000_000, 4) as u32,
    };
    let labels: Vec<_> = (0..n as u64).map(label).collect();
    let mut counts = vec![5; bins.cells() * classes];
    let mut expected = counts.clone();
    class_histogram(bins, rows, Labels::new(&labels, classes).unwrap(), &mut counts).unwrap();
    naive::tree::class_histogram(bins, rows, &labels, classes, &mut expected);
    assert!(counts == expected, "classes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn histograms(
        rows in prop_oneof![0usize..4, 0usize..3000],
        features in 0usize..21,
        most in prop_oneof![1usize..9, Just(256usize), 1usize..256],
        row_major: bool,
        listed in proptest::option::of(0usize..4000),
        seed in 0u64..1000,
    ) {
        let list = list(rows, listed.unwrap_or(0), seed);
        let rows_of = |n| if listed.is_some() { Rows::List(&list) } else { Rows::Range(n / 3..n) };
        let bytes = Data::<u8>::new(rows, features, most, row_major, seed);
        histograms_are_their_definition(&bytes, &rows_of(rows), seed);
        let words = Data::<u16>::new(rows, features, most * 7, row_major, seed);
        histograms_are_their_definition(&words, &rows_of(rows), seed);
    }
}

#[test]
fn histograms_cross_pieces_blocks_and_threads() {
    // More than a piece of parallel work, and more rows than packed cells can hold.
    let data = Data::<u8>::new(60_000, 13, 256, true, 3);
    let list = list(60_000, 70_000, 4);
    for threads in [1, 2, 3, 7] {
        parallel::with_threads(threads, || {
            histograms_are_their_definition(&data, &Rows::Range(1..60_000), 1);
            histograms_are_their_definition(&data, &Rows::List(&list), 2);
        });
    }
}

#[test]
fn histograms_refuse_what_does_not_fit() {
    on_every_isa(|_| {
        let offsets = [0, 2, 5];
        let data = [0u8, 2, 1, 0, 1, 2];
        let new = Bins::row_major;
        assert!(new(&data, 3, &offsets).is_ok());
        assert!(new(&data, 3, &[]).is_err() && new(&data, 3, &[1, 2, 5]).is_err());
        assert!(new(&data, 3, &[0, 3, 2]).is_err() && new(&data, 2, &offsets).is_err());
        assert!(new(&data, usize::MAX, &offsets).is_err());
        // A bin outside its feature, in either order.
        let error = new(&data, 3, &[0, 2, 4]).unwrap_err().to_string();
        assert_eq!(error, "a bin against the bins of its feature: expected below 2, found 2");
        assert!(Bins::column_major(&data, 3, &[0, 2, 5]).is_err());
        let bins = new(&data, 3, &offsets).unwrap();
        let values = [Packed::new(1 << 30, 0); 3];
        let mut out = [Packed::default(); 5];
        let mut run = |rows: Rows<'_>, values: &[Packed], cells: usize| {
            histogram(bins, &rows, Gradients::new(values), &mut out[..cells]).map_err(|e| e.to_string())
        };
        assert_eq!(run(Rows::Range(0..1), &values, 5), Ok(()));
        assert_eq!(
            run(Rows::Range(0..3), &values, 5).unwrap_err(),
            "rows for cells of 32 bits: at most 1, found 3"
        );
        assert!(run(Rows::Range(3..4), &values, 5).is_err() && run(Rows::List(&[3]), &values, 5).is_err());
        assert!(
            run(Rows::Range(0..1), &values[..2], 5).is_err() && run(Rows::Range(0..1), &values, 4).is_err()
        );
        let label = ClassWeight { class: 2, weight: u32::MAX };
        assert!(Labels::new(&[label; 3], 2).is_err());
        let labels = [label; 3];
        let labels = Labels::new(&labels, 3).unwrap();
        assert!(class_histogram(bins, &Rows::Range(0..1), labels, &mut [0; 15]).is_ok());
        assert!(class_histogram(bins, &Rows::Range(0..2), labels, &mut [0; 15]).is_err());
    });
}

#[test]
fn packed_parts_come_back() {
    let edges = [i32::MIN, -1, 0, 1, 77, i32::MAX];
    for g in edges {
        for h in edges {
            let packed = Packed::new(g, h);
            assert_eq!((packed.gradient(), packed.hessian()), (g, h));
            assert_eq!(packed - packed, Packed::default());
            assert_eq!(Pair::from(packed), Pair { gradient: g.into(), hessian: h.into() });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_parent_less_a_child_is_the_other(rows in 0usize..2000, cut in 0usize..2000, seed in 0u64..1000) {
        let data = Data::<u8>::new(rows, 5, 40, true, seed);
        let cut = cut.min(rows);
        let values = gradients(rows, 1000, seed);
        on_every_isa(|_| {
            let of = |rows| {
                let mut cells = vec![Packed::default(); data.get().cells()];
                histogram(data.get(), &rows, Gradients::new(&values), &mut cells).unwrap();
                cells
            };
            let mut parent = of(Rows::Range(0..rows));
            subtract(&mut parent, &of(Rows::Range(0..cut))).unwrap();
            assert!(parent == of(Rows::Range(cut..rows)));
            assert!(parent.is_empty() || subtract(&mut parent, &[]).is_err());
        });
    }

    #[test]
    fn splits(
        counts in proptest::collection::vec((0usize..200, any::<bool>()), 0..6),
        // Few values: many ties.
        largest in prop_oneof![0i64..3, Just(1000i64)],
        min_hessian in 0i64..200,
        l2 in prop_oneof![Just(0.0), 0.0..10.0],
        seed in 0u64..1000,
    ) {
        let offsets: Vec<usize> =
            (0..=counts.len()).map(|f| counts[..f].iter().map(|c| c.0).sum()).collect();
        let missing: Vec<bool> = counts.iter().map(|c| c.1).collect();
        let cells: Vec<Packed> = gradients(offsets[counts.len()], largest, seed)
            .into_iter()
            .map(|cell| Packed::new(cell.gradient(), cell.hessian().abs()))
            .collect();
        let pairs: Vec<Pair> = cells.iter().map(|&cell| cell.into()).collect();
        let rule = NewtonRule { gradient_unit: 0.125, hessian_unit: 0.5, l2, min_hessian, min_gain: 0.0 };
        let expected = naive::tree::best_split(&pairs, &offsets, &missing, rule);
        on_every_isa(|_| {
            assert_eq!(best_split(&pairs, &offsets, &missing, rule).unwrap(), expected);
            assert_eq!(best_split(&cells, &offsets, &missing, rule).unwrap(), expected);
        });
    }

    #[test]
    fn splits_of_classes(
        weights in proptest::collection::vec(prop_oneof![Just(0_u32), 0..4_u32, 0..1_000_000_u32], 1..200),
        width in prop::sample::select(vec![4_usize, 8, 12, 16]),
        // Some bins that hold nothing, and often the first.
        empty in proptest::collection::vec(0_usize..12, 0..4),
        missing: bool,
        drawn_order: bool,
        min_weight in 0_u64..4,
        min_gain in prop::sample::select(vec![f64::NEG_INFINITY, 0.0, 2.5]),
    ) {
        let bins = weights.len().div_ceil(width);
        let mut cells = weights;
        cells.resize(bins * width, 0);
        for bin in empty.into_iter().filter(|&bin| bin < bins) {
            cells[bin * width..][..width].fill(0);
        }
        let all: Vec<u32> = (0..width).map(|k| cells.iter().skip(k).step_by(width).sum()).collect();
        let (cells, of_missing) = cells.split_at((bins - usize::from(missing)) * width);
        let order: Vec<u16> = (0..(cells.len() / width) as u16).rev().collect();
        let of_missing = of_missing.iter().any(|n| *n > 0).then_some(of_missing);
        let bins =
            ClassBins { cells, order: drawn_order.then_some(&order[..]), missing: of_missing, all: &all };
        let expected = naive::tree::best_gini_split(bins, min_weight, min_gain);
        on_every_isa(|_| assert_eq!(best_gini_split(bins, min_weight, min_gain).unwrap(), expected));
    }
}

proptest! {
    #[test]
    fn splits_of_rows_are_those_of_their_histograms(
        // Few rows in few bins, and many: both ways of adding up.
        rows in prop_oneof![0usize..40, Just(700usize)],
        columns in proptest::collection::vec((1usize..=256, any::<bool>()), 1..7),
        row_major in any::<bool>(),
        // Few values: many ties.
        largest in prop_oneof![0i64..3, Just(1000i64)],
        min_hessian in 0i64..20,
        seed in 0u64..1000,
    ) {
        let stream = Philox::new(seed, Philox::purpose("kernel tests: splits of rows"));
        let mut next = 0;
        let mut draw = |below: usize| {
            next += 1;
            stream.below(next, below as u64) as usize
        };
        let (features, all_rows) = (columns.len(), rows + 9);
        let (of_row, of_feature) = if row_major { (features, 1) } else { (1, all_rows) };
        let mut bins = vec![0; all_rows * features];
        // Values from some bin on, so that missing ones may stand alone on the left, and many of these.
        for (feature, &(count, missing)) in columns.iter().enumerate() {
            let low = draw(count);
            for row in 0..all_rows {
                let bin = if missing && draw(3) == 0 { count - 1 } else { low + draw(count - low) };
                bins[row * of_row + feature * of_feature] = bin as u8;
            }
        }
        let named: Vec<usize> = (0..rows).map(|_| draw(all_rows)).collect();
        let values: Vec<Packed> = gradients(rows, largest, seed)
            .into_iter()
            .map(|value| Packed::new(value.gradient(), value.hessian().abs()))
            .collect();
        // Numbers of features fall, so that ties are not decided by their order.
        let asked: Vec<Asked> = columns
            .iter()
            .enumerate()
            .map(|(i, &(bins, missing))| Asked { feature: 2 * (features - i), place: i * of_feature, bins, missing })
            .collect();
        let rule = NewtonRule { gradient_unit: 0.125, hessian_unit: 0.5, l2: 0.0, min_hessian, min_gain: 0.0 };
        let rows: Vec<u32> = named.iter().map(|&row| (row * of_row) as u32).collect();
        let pairs: Vec<Pair> = values.iter().map(|&value| value.into()).collect();
        let all = values.iter().fold(Packed::default(), |sum, &value| sum + value);
        let expected = naive::tree::best_split_of_rows(&bins, &rows, &pairs, &asked, rule);
        on_every_isa(|_| {
            let mut room = RowSums::default();
            // Memory that was used serves again.
            for _ in 0..2 {
                let found = best_split_of_rows(&bins, &rows, &values, all, &asked, rule, &mut room).unwrap();
                assert_eq!(found, expected);
            }
            let mut room = RowSums::default();
            let found = best_split_of_rows(&bins, &rows, &pairs, all.into(), &asked, rule, &mut room).unwrap();
            assert_eq!(found, expected);
        });
    }
}

#[test]
fn splits_of_rows_refuse_what_does_not_fit() {
    let rule = NewtonRule { gradient_unit: 1.0, hessian_unit: 1.0, l2: 0.0, min_hessian: 1, min_gain: 0.0 };
    let value = Pair { gradient: 1, hessian: 1 };
    let fits = Asked { feature: 0, place: 1, bins: 256, missing: true };
    let of = |rows: &[u32], values: usize, asked: Asked| {
        best_split_of_rows(
            &[0; 9],
            rows,
            &[value; 9][..values],
            value,
            &[asked],
            rule,
            &mut RowSums::default(),
        )
    };
    assert_eq!(of(&[0, 7], 2, fits), Ok(None));
    assert_eq!(of(&[], 0, Asked { place: 100, ..fits }), Ok(None));
    assert!(of(&[0, 8], 2, fits).is_err());
    assert!(of(&[0, 7], 1, fits).is_err());
    assert!(of(&[u32::MAX, 0], 2, Asked { place: usize::MAX, ..fits }).is_err());
    assert!(of(&[0, 7], 2, Asked { bins: 257, ..fits }).is_err());
    assert!(of(&[0, 7], 2, Asked { bins: 0, ..fits }).is_err());
}

#[test]
fn splits_refuse_what_does_not_fit() {
    let rule = NewtonRule { gradient_unit: 1.0, hessian_unit: 1.0, l2: 0.0, min_hessian: 1, min_gain: 0.0 };
    let cells = [Pair { gradient: 1, hessian: 1 }; 3];
    assert_eq!(best_split(&cells, &[0, 3], &[false], rule), Ok(None));
    assert!(best_split(&cells, &[0, 4], &[false], rule).is_err());
    assert!(best_split(&cells, &[0, 3], &[], rule).is_err());
    let (weights, all) = ([1; 8], [2; 4]);
    let classes = ClassBins { cells: &weights, order: None, missing: None, all: &all };
    assert!(best_gini_split(classes, 1, 0.0).is_ok());
    for wrong in [
        ClassBins { cells: &weights[..7], ..classes },
        ClassBins { order: Some(&[0, 2]), ..classes },
        ClassBins { missing: Some(&weights[..3]), ..classes },
        ClassBins { all: &all[..3], ..classes },
    ] {
        assert!(best_gini_split(wrong, 1, 0.0).is_err(), "{wrong:?}");
    }
    assert!(best_split(&cells, &[], &[], rule).is_err());
    assert!(best_split(&cells, &[0, 9, 3], &[false; 2], rule).is_err());
    assert!(best_split(&cells, &[4, 3], &[false], rule).is_err());
}

/// Numbers of which many are equal, some infinite and some missing.
fn values(len: usize, different: usize, seed: u64) -> Vec<f32> {
    let stream = Philox::new(seed, Philox::purpose("kernel tests: values"));
    let one = |i| match stream.below(i, different as u64 + 3) {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        x => x as f32 / 2.0 - different as f32 / 4.0,
    };
    (0..len as u64).map(one).collect()
}

fn binned<B: Bin>(x: &[f32], cuts: &[f32], missing: usize) -> Result<(), ShapeError> {
    let expected: Vec<usize> = x.iter().map(|&x| naive::tree::bin_value(x, cuts, missing)).collect();
    let mut out = vec![B::default(); x.len()];
    bin_values(x, cuts, missing, &mut out)?;
    assert!(out.iter().map(|&bin| bin.into()).eq(expected.iter().copied()), "f32");
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    bin_values(&wide(x), &wide(cuts), missing, &mut out)?;
    assert!(out.iter().map(|&bin| bin.into()).eq(expected), "f64");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn values_go_to_bins(
        len in 0usize..200,
        cuts in prop_oneof![0usize..20, 14usize..18, 250usize..256, 200usize..5000],
        different in 1usize..300,
        missing in 0usize..256,
        seed in 0u64..1000,
    ) {
        let mut cuts = values(cuts, different, seed);
        cuts.retain(|cut| !cut.is_nan());
        cuts.sort_by(f32::total_cmp);
        let x = values(len, different + 5, seed + 1);
        on_every_isa(|_| {
            assert_eq!(binned::<u8>(&x, &cuts, missing).is_ok(), cuts.len() < 256);
            binned::<u16>(&x, &cuts, missing).unwrap();
        });
    }

    #[test]
    fn rows_are_divided(
        rows in prop_oneof![0usize..4, 0usize..3000],
        most in prop_oneof![1usize..9, 1usize..256],
        row_major: bool,
        listed in proptest::option::of(0usize..4000),
        missing in proptest::option::of(any::<bool>()),
        words in proptest::option::of(proptest::collection::vec(any::<u64>(), 0..4)),
        seed in 0u64..1000,
    ) {
        let data = Data::<u8>::new(rows, 3, most, row_major, seed);
        let list = list(rows, listed.unwrap_or(0), seed);
        let rows = if listed.is_some() { Rows::List(&list) } else { Rows::Range(rows / 3..rows) };
        for feature in 0..3 {
            let bin = seed as usize % most;
            let left = words.as_ref().map_or(LeftBins::UpTo { bin, missing }, |words| LeftBins::Set(words));
            divided(data.get(), feature, &rows, left);
        }
    }
}

fn divided<B: Bin>(bins: Bins<'_, B>, feature: usize, rows: &Rows<'_>, left: LeftBins<'_>) {
    let (expected, lefts) = naive::tree::partition(bins, feature, rows, left);
    on_every_isa(|isa| {
        let mut out: Vec<u32> = (0..rows.len()).map(|place| rows.get(place) as u32).collect();
        assert_eq!(partition(bins, feature, &mut out, left), Ok(lefts));
        assert!(out == expected, "feature {feature}, {left:?}, {isa:?}");
    });
}

#[test]
fn rows_cross_blocks_and_threads() {
    let data = Data::<u16>::new(100_000, 2, 1000, false, 3);
    let list = list(100_000, 120_000, 4);
    for threads in [1, 2, 3, 7] {
        parallel::with_threads(threads, || {
            let left = LeftBins::UpTo { bin: 300, missing: Some(true) };
            divided(data.get(), 0, &Rows::Range(1..100_000), left);
            divided(data.get(), 1, &Rows::List(&list), LeftBins::Set(&[u64::MAX; 8]));
            let values = values(100_000, 50, 6);
            let cuts: Vec<f32> = (-10..10).map(|cut| cut as f32).collect();
            binned::<u8>(&values, &cuts, 21).unwrap();
        });
    }
}

#[test]
fn the_rest_refuses_what_does_not_fit() {
    let mut out = [0u8; 2];
    let mut bins = |x: &[f32], cuts: &[f32], missing| bin_values(x, cuts, missing, &mut out);
    assert!(bins(&[1.0; 2], &[1.0, 1.0], 255).is_ok() && bins(&[1.0], &[], 3).is_err());
    assert!(bins(&[1.0; 2], &[2.0, 1.0], 3).is_err() && bins(&[1.0; 2], &[f32::NAN], 3).is_err());
    assert!(bins(&[1.0; 2], &[1.0, f32::NAN], 3).is_err() && bins(&[1.0; 2], &[], 256).is_err());

    let data = Bins::row_major(&[0u8, 1, 1, 0], 2, &[0, 2, 4]).unwrap();
    let left = LeftBins::UpTo { bin: 0, missing: None };
    let divide = |feature, mut rows: [u32; 2]| partition(data, feature, &mut rows, left);
    assert_eq!(divide(1, [0, 1]), Ok(1));
    assert!(divide(2, [0, 1]).is_err() && divide(1, [1, 2]).is_err());
    // Columns of many bins behind one of few, and rows that would be theirs.
    let data = Bins::column_major(&[0u16, 1, 300, 299], 2, &[0, 2, 303]).unwrap();
    for (feature, bad) in [(0, 2), (1, 2), (0, 3), (1, u32::MAX)] {
        let mut rows = [0, 1].repeat(100);
        assert!(partition(data, feature, &mut rows, left).is_ok());
        rows[150] = bad;
        assert!(partition(data, feature, &mut rows, left).is_err());
    }
}
