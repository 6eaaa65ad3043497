//! Kernels of trees against their definitions: integers, so everything must be equal.

use crate::on_every_isa;
use proptest::prelude::*;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::*;
use tilewise_kernels::{naive, parallel};

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
