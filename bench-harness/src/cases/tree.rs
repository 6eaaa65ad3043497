//! Kernels of trees. Their operations are counted as floating-point ones would be: additions to cells, rows, values.

use crate::case::{Case, Cost, Outcome, Work};
use crate::operand::Draw;
use tilewise_kernels::tree::{
    self, Bin, CodeNode, CodedTrees, Coder, Coding, Gradients, LeftBins, MaskTest, MaskedTrees, NewtonRule,
    Node, OwnedBins, Packed, Pair, Rows, Split, Tests, Trees, Values,
};
use tilewise_kernels::{MatRef, naive, parallel};

pub(super) fn cases() -> Vec<Case> {
    let histogram = |name, formula, make| Case {
        name,
        element: "i64",
        formula,
        dims: &["n", "features"],
        timed: &[&[100_000, 28], &[1_000_000, 16], &[1_000, 28]],
        quick: &[20_000, 28],
        largest: &[40_000, 64],
        beside: Some("pairs of f64"),
        make,
    };
    let predict = |name, make| Case {
        name,
        element: "f32",
        formula: "sums of the leaves that rows reach in trees of 127 nodes",
        dims: &["n", "features", "trees"],
        timed: &[&[50_000, 28, 100], &[1, 28, 100]],
        quick: &[1_000, 28, 10],
        largest: &[2_000, 20, 20],
        beside: None,
        make,
    };
    vec![
        histogram("histogram", "sums of (gradient, hessian) in 256 bins", |shape, draw| {
            Box::new(Histogram::<u8>::new(shape, 256, false, draw))
        }),
        histogram("histogram_4", "sums of (gradient, hessian) in 4 bins", |shape, draw| {
            Box::new(Histogram::<u8>::new(shape, 4, false, draw))
        }),
        histogram("histogram_u16", "sums of (gradient, hessian) in 1024 bins", |shape, draw| {
            Box::new(Histogram::<u16>::new(shape, 1024, false, draw))
        }),
        histogram(
            "histogram_list",
            "sums of (gradient, hessian) of listed rows in 256 bins",
            |shape, draw| Box::new(Histogram::<u8>::new(shape, 256, true, draw)),
        ),
        Case {
            name: "best_split",
            element: "i64",
            formula: "largest gain over the splits of a histogram",
            dims: &["features", "bins"],
            timed: &[&[28, 256], &[1000, 64]],
            quick: &[28, 64],
            largest: &[100, 256],
            beside: None,
            make: |shape, draw| Box::new(Scan::new(shape, draw)),
        },
        Case {
            name: "partition",
            element: "u32",
            formula: "rows of a node divided between its children",
            dims: &["n"],
            timed: &[&[10_000], &[1_000_000]],
            quick: &[50_000],
            largest: &[100_000],
            beside: None,
            make: |shape, draw| Box::new(Divide::new(shape, draw)),
        },
        Case {
            name: "bin_values",
            element: "f32",
            formula: "bins of values between 255 cuts",
            dims: &["n"],
            timed: &[&[10_000], &[1_000_000]],
            quick: &[50_000],
            largest: &[100_000],
            beside: None,
            make: |shape, draw| Box::new(Cut::new(shape, draw)),
        },
        predict("predict", |shape, draw| Box::new(Predict::new(Way::Nodes, shape, draw))),
        predict("predict_coded", |shape, draw| Box::new(Predict::new(Way::Codes, shape, draw))),
        predict("predict_masked", |shape, draw| Box::new(Predict::new(Way::Masks, shape, draw))),
    ]
}

/// Integers in `0..below`, as many as asked.
fn integers(draw: &mut Draw, len: usize, below: usize) -> impl Iterator<Item = usize> {
    let numbers = draw.vector::<f64>(len, 1.0).get().to_vec();
    numbers.into_iter().map(move |x| ((x + 1.0) / 2.0 * below as f64) as usize)
}

struct Histogram<B> {
    bins: OwnedBins<B>,
    gradients: Vec<Packed>,
    /// Every second row, or one in three.
    list: Option<Vec<u32>>,
    cells: Vec<Packed>,
    /// The same in f64.
    pairs: (Vec<[f64; 2]>, Vec<[f64; 2]>),
    in_f64: bool,
}

impl<B: Bin> Histogram<B> {
    fn new(shape: &[usize], bins: usize, listed: bool, draw: &mut Draw) -> Self {
        let (rows, features) = (shape[0], shape[1]);
        let mut part = |below: usize| integers(draw, rows, below).map(|x| x as i32).collect::<Vec<_>>();
        let (gradients, hessians) = (part(2_000), part(1_000));
        let gradients: Vec<Packed> =
            gradients.iter().zip(hessians).map(|(g, h)| Packed::new(g - 1_000, h)).collect();
        let real = gradients.iter().map(|v| [f64::from(v.gradient()), f64::from(v.hessian())]).collect();
        let step = 2 + draw.choose(2);
        Self {
            bins: {
                let data = integers(draw, rows * features, bins).map(B::from_low_bits).collect();
                let new = [OwnedBins::row_major, OwnedBins::column_major][draw.choose(2)];
                new(data, rows, (0..=features).map(|f| f * bins).collect()).expect("bins that fit")
            },
            gradients,
            list: listed.then(|| (0..rows as u32).step_by(step).collect()),
            cells: vec![Packed::default(); features * bins],
            pairs: (real, vec![[0.0; 2]; features * bins]),
            in_f64: false,
        }
    }
    fn rows(&self) -> Rows<'_> {
        self.list.as_ref().map_or(Rows::Range(0..self.gradients.len()), |list| Rows::List(list))
    }
    /// The common form: row by row (or column by column), a pair of f64 for each bin, blocks of rows in parallel.
    fn in_pairs(&mut self) -> Option<()> {
        let (bins, rows) = (self.bins.get(), self.rows());
        let count = self.cells.len().checked_div(bins.features())?;
        let total = parallel::map_reduce(
            rows.len(),
            20_000,
            |places| {
                let mut cells = vec![[0.0; 2]; self.cells.len()];
                let add = |cell: &mut [f64; 2], row: usize| {
                    cell[0] += self.pairs.0[row][0];
                    cell[1] += self.pairs.0[row][1];
                };
                if bins.is_row_major() {
                    for place in places {
                        let row = rows.get(place);
                        let bins = &bins.data()[row * bins.features()..][..bins.features()];
                        for (cells, &bin) in cells.chunks_exact_mut(count).zip(bins) {
                            add(&mut cells[bin.into()], row);
                        }
                    }
                } else {
                    let columns = bins.data().chunks_exact(bins.rows());
                    for (cells, bins) in cells.chunks_exact_mut(count).zip(columns) {
                        for place in places.clone() {
                            let row = rows.get(place);
                            add(&mut cells[bins[row].into()], row);
                        }
                    }
                }
                cells
            },
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a = [a[0] + b[0], a[1] + b[1]]);
                a
            },
        );
        self.pairs.1 = total?;
        Some(())
    }
}

impl<B: Bin> Work for Histogram<B> {
    fn ours(&mut self) -> Outcome {
        self.in_f64 = false;
        let mut cells = std::mem::take(&mut self.cells);
        cells.fill(Packed::default());
        let gradients = Gradients::bounded(&self.gradients, 1_000);
        let done = tree::histogram(self.bins.get(), &self.rows(), gradients, &mut cells);
        self.cells = cells;
        Ok(done?)
    }
    fn naive(&mut self) -> Outcome {
        self.in_f64 = false;
        let mut pairs = vec![Pair::default(); self.cells.len()];
        naive::tree::histogram_packed(self.bins.get(), &self.rows(), &self.gradients, &mut pairs);
        self.cells = pairs.iter().map(|p| Packed::new(p.gradient as i32, p.hessian as i32)).collect();
        Ok(())
    }
    fn beside(&mut self) -> Outcome {
        self.in_f64 = true;
        self.pairs.1.fill([0.0; 2]);
        self.in_pairs();
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        if self.in_f64 {
            self.pairs.1.as_flattened().to_vec()
        } else {
            self.cells.iter().flat_map(|c| [c.gradient().into(), c.hessian().into()]).collect()
        }
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; 2 * self.cells.len()]
    }
    fn cost(&self) -> Cost {
        let (rows, cells) = (self.rows().len() as f64, self.cells.len() as f64);
        let features = self.bins.get().features() as f64;
        let written = 8.0 * cells;
        let flops = rows * features;
        Cost { flops, bytes: flops * size_of::<B>() as f64 + 8.0 * rows + written, written }
    }
}

/// A histogram to be scanned.
struct Scan {
    cells: Vec<Packed>,
    offsets: Vec<usize>,
    missing: Vec<bool>,
    best: Option<Split>,
}

impl Scan {
    const RULE: NewtonRule =
        NewtonRule { gradient_unit: 0.125, hessian_unit: 0.5, l2: 1.0, min_hessian: 20, min_gain: 0.0 };

    fn new(shape: &[usize], draw: &mut Draw) -> Self {
        let (features, bins) = (shape[0], shape[1]);
        let mut part = |below: usize| integers(draw, features * bins, below).collect::<Vec<_>>();
        let (gradients, hessians) = (part(2_000), part(1_000));
        let cell = |(g, h): (usize, usize)| Packed::new(g as i32 - 1_000, h as i32);
        Self {
            cells: gradients.into_iter().zip(hessians).map(cell).collect(),
            offsets: (0..=features).map(|f| f * bins).collect(),
            missing: (0..features).map(|f| f % 2 == 1).collect(),
            best: None,
        }
    }
}

impl Work for Scan {
    fn ours(&mut self) -> Outcome {
        self.best = tree::best_split(&self.cells, &self.offsets, &self.missing, Self::RULE)?;
        Ok(())
    }
    fn naive(&mut self) -> Outcome {
        let cells: Vec<Pair> = self.cells.iter().map(|&cell| cell.into()).collect();
        self.best = naive::tree::best_split(&cells, &self.offsets, &self.missing, Self::RULE);
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        let best = |best: Split| vec![best.feature as f64, best.bin as f64, best.gain];
        self.best.map_or(vec![-1.0; 3], best)
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; 3]
    }
    fn cost(&self) -> Cost {
        // A bin is a candidate, and one more where there are missing values; each gain has two quotients.
        let cells = self.cells.len() as f64;
        Cost { flops: 12.0 * 1.5 * cells, bytes: 8.0 * cells, written: 0.0 }
    }
}

/// The rows of a node and the feature that divides them.
struct Divide {
    bins: OwnedBins<u8>,
    rows: Vec<u32>,
    out: Vec<u32>,
    lefts: usize,
}

impl Divide {
    const LEFT: LeftBins<'static> = LeftBins::UpTo { bin: 100, missing: Some(true) };

    fn new(shape: &[usize], draw: &mut Draw) -> Self {
        let n = shape[0];
        let data = integers(draw, 2 * n, 256).map(u8::from_low_bits).collect();
        Self {
            bins: OwnedBins::column_major(data, 2 * n, vec![0, 256]).expect("bins that fit"),
            rows: (0..n as u32).map(|i| 2 * i + i % 2).collect(),
            out: vec![0; n],
            lefts: 0,
        }
    }
}

impl Work for Divide {
    fn ours(&mut self) -> Outcome {
        self.out.copy_from_slice(&self.rows);
        self.lefts = tree::partition(self.bins.get(), 0, &mut self.out, Self::LEFT)?;
        Ok(())
    }
    fn naive(&mut self) -> Outcome {
        let rows = Rows::List(&self.rows);
        (self.out, self.lefts) = naive::tree::partition(self.bins.get(), 0, &rows, Self::LEFT);
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        self.out.iter().map(|&row| row.into()).chain([self.lefts as f64]).collect()
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; self.out.len() + 1]
    }
    fn cost(&self) -> Cost {
        let n = self.rows.len() as f64;
        Cost { flops: n, bytes: 9.0 * n, written: 4.0 * n }
    }
}

/// Values and the cuts between their bins.
struct Cut {
    x: Vec<f32>,
    cuts: Vec<f32>,
    out: Vec<u8>,
}

impl Cut {
    fn new(shape: &[usize], draw: &mut Draw) -> Self {
        let x = draw.vector(shape[0], 1.0).get().to_vec();
        let cuts = (0..255).map(|i| (i - 127) as f32 / 128.0).collect();
        Self { out: vec![0; x.len()], x, cuts }
    }
}

impl Work for Cut {
    fn ours(&mut self) -> Outcome {
        Ok(tree::bin_values(&self.x, &self.cuts, 255, &mut self.out)?)
    }
    fn naive(&mut self) -> Outcome {
        let bin = |&x: &f32| u8::from_low_bits(naive::tree::bin_value(x, &self.cuts, 255));
        self.out = self.x.iter().map(bin).collect();
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        self.out.iter().map(|&bin| bin.into()).collect()
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; self.out.len()]
    }
    fn cost(&self) -> Cost {
        let n = self.x.len() as f64;
        Cost { flops: n, bytes: 5.0 * n, written: n }
    }
}

/// By which kernel rows go down trees.
enum Way {
    Nodes,
    Codes,
    Masks,
}

/// Full trees of six levels of splits.
struct Predict {
    way: Way,
    nodes: Vec<Node>,
    roots: Vec<u32>,
    values: Values,
    plain: Trees<Node>,
    coded: CodedTrees,
    masked: MaskedTrees,
    x: Vec<f32>,
    features: usize,
    out: Vec<f64>,
}

impl Predict {
    const LEVELS: u32 = 6;

    fn new(way: Way, shape: &[usize], draw: &mut Draw) -> Self {
        let (rows, features, trees) = (shape[0], shape[1].max(1), shape[2]);
        let (splits, leaves) = ((1_usize << Self::LEVELS) - 1, 1_usize << Self::LEVELS);
        let size = splits + leaves;
        let thresholds: Vec<f64> =
            integers(draw, size * trees, 200).map(|i| i as f64 / 100.0 - 1.0).collect();
        let used: Vec<usize> = integers(draw, size * trees, 2 * features).collect();
        let mut cuts: Vec<f64> = thresholds.clone();
        cuts.sort_by(f64::total_cmp);
        cuts.dedup();
        let coder = Coder::new(vec![Coding::Cuts(cuts.clone()); features]).expect("few cuts");
        let (mut nodes, mut codes) = (Vec::new(), Vec::new());
        for i in 0..size * trees {
            let (tree, at) = (i / size, i % size);
            if at >= splits {
                let value = tree * leaves + at - splits;
                nodes.push(Node::leaf(value).expect("few leaves"));
                codes.push(CodeNode::leaf(value).expect("few leaves"));
            } else {
                let (feature, missing_left, left) = (used[i] / 2, used[i] % 2 == 1, tree * size + 2 * at + 1);
                let code = cuts.partition_point(|cut| *cut < thresholds[i]);
                let column = coder.column(feature, missing_left).expect("every feature has cuts");
                nodes.push(Node::up_to(feature, thresholds[i], missing_left, left).expect("a small tree"));
                codes.push(CodeNode::up_to(column, code, left).expect("a small tree"));
            }
        }
        let masks = |tree: usize| {
            /// The tests of a node and below, left before right.
            fn order(at: usize, splits: usize, into: &mut Vec<usize>) {
                if at < splits {
                    into.push(at);
                    order(2 * at + 1, splits, into);
                    order(2 * at + 2, splits, into);
                }
            }
            let test = |&at: &usize| {
                let (feature, missing_left) = (used[tree * size + at] / 2, used[tree * size + at] % 2 == 1);
                let column = coder.column(feature, missing_left).expect("every feature has cuts") as u32;
                let code = cuts.partition_point(|cut| *cut < thresholds[tree * size + at]) as u16;
                // Below a node of level l are 2^(levels - l) leaves, half of them on its left.
                MaskTest { column, code, lefts: 1 << (Self::LEVELS - (at + 1).ilog2() - 1) }
            };
            let mut tests = Vec::new();
            order(0, splits, &mut tests);
            let values = (tree * leaves..(tree + 1) * leaves).map(|value| value as u32);
            (tests.iter().map(test).collect(), values.collect())
        };
        let values = Values::new(draw.vector(leaves * trees, 1.0).get().to_vec(), 1).expect("one output");
        let roots: Vec<u32> = (0..trees).map(|tree| (tree * size) as u32).collect();
        let (tests, of) = (Tests::default, || (nodes.clone(), roots.clone()));
        Self {
            way,
            plain: Trees::new(of().0.into(), of().1, tests(), features, values.clone()).expect("trees"),
            coded: CodedTrees::new(codes, of().1, tests(), coder.clone(), values.clone()).expect("trees"),
            masked: MaskedTrees::new((0..trees).map(masks), coder.clone(), values.clone()).expect("trees"),
            nodes,
            roots,
            values,
            x: draw.vector(rows * features, 1.0).get().to_vec(),
            features,
            out: vec![0.0; rows],
        }
    }
    fn x(&self) -> Result<MatRef<'_, f32>, tilewise_kernels::ShapeError> {
        MatRef::new(&self.x, self.out.len(), self.features)
    }
}

impl Work for Predict {
    fn ours(&mut self) -> Outcome {
        let mut out = vec![0.0; self.out.len()];
        match self.way {
            Way::Nodes => tree::predict(&self.plain, self.x()?, &mut out)?,
            Way::Codes => tree::predict_coded(&self.coded, self.x()?, &mut out)?,
            Way::Masks => tree::predict_masked(&self.masked, self.x()?, &mut out)?,
        }
        self.out = out;
        Ok(())
    }
    fn naive(&mut self) -> Outcome {
        let mut out = vec![0.0; self.out.len()];
        let (tests, x) = (Tests::default(), self.x()?);
        naive::tree::predict(&self.nodes, &self.roots, &tests, &self.values, x, &mut out);
        self.out = out;
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        self.out.clone()
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; self.out.len()]
    }
    fn cost(&self) -> Cost {
        let (n, size) = (self.out.len() as f64, self.nodes.len() as f64);
        let steps = n * self.roots.len() as f64 * f64::from(Self::LEVELS);
        Cost { flops: steps, bytes: 4.0 * self.x.len() as f64 + 24.0 * size + 8.0 * n, written: 8.0 * n }
    }
}
