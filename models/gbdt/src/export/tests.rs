//! Random sums of trees, written and read back: LightGBM and XGBoost by `foreign`, ONNX by the definition of its operators.

use super::{Format, Sum};
use crate::{ForeignModel, Link, Loss};
use proptest::prelude::*;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use tilewise_base::model::UNSEEN;
use tilewise_base::onnx::{Attribute, Model as Onnx, Node as Operator};
use tilewise_base::{Field, Kind, Model, Task, Unseen};
use tilewise_kernels::tree::{Categories, MISSING};
use tilewise_kernels::{MatMut, MatRef};
use tilewise_tree::{Input, Node, Test, Tree};

/// What rows and thresholds are made of: thresholds between f32, zeros, the ends of f32 and of f64.
const NUMBERS: [f64; 16] = [
    0.0,
    -0.0,
    0.1,
    -0.1,
    1.0,
    1.0000000000000002,
    -2.5,
    16_777_217.0,
    1e-30,
    3.5e38,
    -3.5e38,
    3.4028234663852886e38,
    f64::MAX,
    f64::MIN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

/// Columns: two of numbers, one of truths, categories that training saw but for the second, and 40 of these.
fn inputs() -> Vec<Field> {
    let of = |name: &str, kind| Field { name: name.to_owned(), kind };
    let texts =
        |count: usize| Kind::Categorical { dictionary: (0..count).map(|i| format!("ä{i:02}")).collect() };
    vec![
        of("x", Kind::Numeric),
        of("y", Kind::Numeric),
        of("flag", Kind::Boolean),
        of("some", texts(4)),
        of("many", texts(40)),
    ]
}

fn read(unseen: Unseen) -> Arc<[Input]> {
    let many = (0..40).map(|place| place as u8).collect();
    let of = |bins: Vec<u8>| Input::Category(Categories::from(bins));
    Input::all_with(
        &[Input::Number, Input::Number, Input::Number, of(vec![0, MISSING, 1, 2]), of(many)],
        unseen,
    )
}

/// What a node draws: the input, its test, where missing goes, a number for leaves.
type Drawn = (u32, f64, [u64; 4], bool, f64);

fn drawn() -> impl Strategy<Value = Drawn> {
    let threshold = prop_oneof![prop::sample::select(&NUMBERS[..]), -3.0..3.0f64];
    // All or nothing too: splits that ask whether a category is there.
    let set = prop_oneof![Just([u64::MAX; 4]), Just([0; 4]), any::<[u64; 4]>()];
    (0..5u32, threshold, set, any::<bool>(), -4.0..4.0f64)
}

/// A tree of a list that says for each node whether it is split, with leaves of so many numbers.
fn tree(inputs: &Arc<[Input]>, draws: &[(bool, Drawn)], outputs: usize) -> Tree {
    fn grow(
        inputs: &[Input],
        draws: &mut std::slice::Iter<'_, (bool, Drawn)>,
        depth: usize,
        nodes: &mut Vec<Node>,
        values: &mut Vec<f64>,
        outputs: usize,
    ) {
        let at = nodes.len();
        let (split, (feature, threshold, set, missing_left, value)) =
            draws.next().copied().unwrap_or((false, (0, 0.0, [0; 4], false, 0.25)));
        nodes.push(Node::leaf(at as u32, 7));
        values.extend((0..outputs).map(|output| value * (output as f64 + 1.0)));
        if !split || depth == 6 {
            return;
        }
        grow(inputs, draws, depth + 1, nodes, values, outputs);
        let right = nodes.len() as u32;
        grow(inputs, draws, depth + 1, nodes, values, outputs);
        let test = match inputs[feature as usize] {
            Input::Number => Test::UpTo(threshold),
            Input::Category(_) => Test::Bins(set),
        };
        let (left, gain) = (at as u32 + 1, value.abs());
        nodes[at] = Node { feature, test: Some(test), missing_left, left, right, gain, ..nodes[at] };
    }
    let (mut nodes, mut values) = (Vec::new(), Vec::new());
    grow(inputs, &mut draws.iter(), 0, &mut nodes, &mut values, outputs);
    Tree::from_nodes(Arc::clone(inputs), &nodes, values, outputs).unwrap()
}

/// Rows of cells: numbers, truths and places of categories, or missing.
fn rows() -> impl Strategy<Value = Vec<[f64; 5]>> {
    let number = || prop_oneof![Just(f64::NAN), prop::sample::select(&NUMBERS[..]), -3.0..3.0f64];
    let place =
        |count: u32| prop_oneof![1 => Just(f64::NAN), 1 => Just(UNSEEN), 4 => (0..count).prop_map(f64::from)];
    let row = (number(), number(), 0..3u32, place(4), place(40)).prop_map(|(x, y, flag, some, many)| {
        [x, y, if flag == 2 { f64::NAN } else { flag.into() }, some, many]
    });
    prop::collection::vec(row, 20..60)
}

/// Trees of one number in turn for so many scores, or of all numbers.
#[derive(Debug)]
struct Case {
    inputs: Vec<Field>,
    trees: Vec<(Tree, usize)>,
    task: Task,
    base: Vec<f64>,
    over: f64,
    link: Link,
    unseen: Unseen,
}

impl Case {
    fn sum(&self) -> Sum<'_> {
        Sum {
            inputs: &self.inputs,
            task: &self.task,
            targets: vec!["y"],
            offset: None,
            unseen: self.unseen,
            trees: self.trees.iter().map(|(tree, first)| (tree, *first)).collect(),
            base: self.base.clone(),
            over: self.over,
            link: self.link,
            loss: Some(Loss::Auto),
        }
    }

    /// The scores of a row by the definition.
    fn scores(&self, row: &[f64]) -> Vec<f64> {
        let mut scores = self.base.clone();
        for (tree, first) in &self.trees {
            for (output, x) in tree.numbers(tree.leaf(row)).enumerate() {
                scores[first + output] += x;
            }
        }
        scores.iter().map(|score| score / self.over).collect()
    }
}

/// How a case is: 0 one number, 1 two classes of one score, 2 and 4 three and two classes of a score each, 3 means of leaves of three
/// numbers.
fn case() -> impl Strategy<Value = Case> {
    let tree_of = || prop::collection::vec((prop::bool::weighted(0.8), drawn()), 1..40);
    (0..5usize, prop::collection::vec(tree_of(), 6), any::<bool>(), prop::collection::vec(-2.0..2.0f64, 3))
        .prop_map(|(shape, draws, majority, base)| {
            let unseen = if majority { Unseen::Majority } else { Unseen::Missing };
            let inputs = read(unseen);
            let classes = |count: usize| Task::Classification {
                classes: (0..count).map(|k| format!("c{k}")).collect(),
            };
            let (scores, outputs) = [(1, 1), (1, 1), (3, 1), (3, 3), (2, 1)][shape];
            let means = shape == 3;
            let first = |number: usize| if outputs == 1 { number % scores } else { 0 };
            let trees: Vec<_> = draws
                .iter()
                .enumerate()
                .map(|(n, draws)| (tree(&inputs, draws, outputs), first(n)))
                .collect();
            Case {
                inputs: self::inputs(),
                over: if means { trees.len() as f64 } else { 1.0 },
                trees,
                task: [Task::Regression, classes(2), classes(3), classes(3), classes(2)][shape].clone(),
                base: if means { vec![0.0; 3] } else { base[..scores].to_vec() },
                link: [Link::Identity, Link::Logistic, Link::Softmax, Link::Identity, Link::Softmax][shape],
                unseen,
            }
        })
}

fn read_back(case: &Case, format: Format, rows: &[Vec<f64>]) -> Vec<f64> {
    let bytes = case.sum().export(format).unwrap().bytes;
    let model = ForeignModel::parse(&bytes, "exported").unwrap();
    let names = |fields: &[Field]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(model.inputs()), names(&case.inputs));
    let (cells, scores) = (rows.concat(), case.base.len());
    let mut out = vec![0.0; rows.len() * scores];
    let cells = MatRef::new(&cells, rows.len(), case.inputs.len()).unwrap();
    model.scores(cells, None, MatMut::new(&mut out, rows.len(), scores).unwrap()).unwrap();
    out
}

/// Cells that are f32.
fn narrow(rows: Vec<[f64; 5]>) -> Vec<Vec<f64>> {
    rows.into_iter().map(|row| row.iter().map(|x| f64::from(*x as f32)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("TILEWISE_DEEP").is_some() { 4000 } else { 100 }))]

    /// Rows of texts: a text that the file's lists lack is missing, as pandas has it.
    #[test]
    fn lightgbm_reads_back_to_the_same_bits(case in case(), rows in rows()) {
        let rows: Vec<Vec<f64>> = rows.into_iter().map(|row| row.to_vec()).collect();
        let read = read_back(&case, Format::LightGbm, &rows);
        for (row, read) in rows.iter().zip(read.chunks(case.base.len())) {
            let lacking = |x: f64| if x == UNSEEN { f64::NAN } else { x };
            let coded: Vec<f64> = row.iter().map(|x| lacking(*x)).collect();
            let scores = case.scores(&coded);
            prop_assert!(scores.iter().zip(read).all(|(a, b)| a.to_bits() == b.to_bits()), "{row:?}: {scores:?}, {read:?}");
        }
    }

    /// Finite rows: XGBoost refuses others. Its sums here are those of f64, of leaves that are f32.
    #[test]
    fn xgboost_reads_back_to_the_same_leaves(case in case(), rows in rows()) {
        let fits = |row: &[f64]| row.iter().all(|x| !x.is_infinite() && *x != UNSEEN);
        let rows: Vec<Vec<f64>> = narrow(rows).into_iter().filter(|row| fits(row)).collect();
        prop_assume!(!rows.is_empty());
        let read = read_back(&case, Format::XgBoost, &rows);
        for (row, read) in rows.iter().zip(read.chunks(case.base.len())) {
            for (score, (a, b)) in case.scores(row).into_iter().zip(read).enumerate() {
                let bound = case.sum().rounding_of_f32(score);
                prop_assert!((a - b).abs() <= bound, "{row:?}: {a:e}, read back {b:e}, up to {bound:e} apart");
            }
        }
    }

    #[test]
    fn onnx_comes_to_the_same_leaves(case in case(), rows in rows()) {
        let bytes = case.sum().export(Format::Onnx).unwrap().bytes;
        let model = Onnx::decode(&bytes[..]).unwrap();
        let trees = Operators::new(&model.graph.unwrap().node[0]);
        for mut row in narrow(rows) {
            let mut scores = case.scores(&row);
            // Of two classes each against the other.
            if case.link != Link::Identity && case.base.len() < 3 {
                let second = scores[scores.len() - 1] - if scores.len() == 2 { scores[0] } else { 0.0 };
                scores = vec![-second, second];
            }
            // A text that the lists lack.
            for (cell, field) in row.iter_mut().zip(&case.inputs) {
                if let (Kind::Categorical { dictionary }, true) = (&field.kind, *cell == UNSEEN) {
                    *cell = dictionary.len() as f64;
                }
            }
            let theirs = trees.scores(&row, scores.len());
            for (score, (a, b)) in scores.iter().zip(theirs).enumerate() {
                let all = (0..case.base.len()).map(|score| case.sum().rounding_of_f32(score));
                let bound = if case.base.len() == 3 { case.sum().rounding_of_f32(score) } else { 2.0 * all.sum::<f64>() };
                prop_assert!((a - b).abs() <= bound, "{row:?}: {a:e}, by ONNX {b:e}, up to {bound:e} apart");
            }
        }
    }
}

/// The numbers and texts of an attribute.
type Lists = (Vec<i64>, Vec<f32>, Vec<String>);

/// The operators of trees by their definition (github.com/onnx/onnx, docs/Operators-ml.md), in f64.
struct Operators {
    lists: HashMap<String, Lists>,
    of: &'static str,
}

impl Operators {
    fn new(node: &Operator) -> Self {
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        let list = |a: &Attribute| {
            (a.name.clone(), (a.ints.clone(), a.floats.clone(), a.strings.iter().map(text).collect()))
        };
        let of = if node.op_type == "TreeEnsembleClassifier" { "class" } else { "target" };
        Self { lists: node.attribute.iter().map(list).collect(), of }
    }

    fn ints(&self, name: &str) -> &[i64] {
        &self.lists[name].0
    }

    fn scores(&self, row: &[f64], scores: usize) -> Vec<f64> {
        let (trees, nodes) = (self.ints("nodes_treeids"), self.ints("nodes_nodeids"));
        let place =
            |tree: i64, node: i64| (0..trees.len()).find(|&i| trees[i] == tree && nodes[i] == node).unwrap();
        let of = |what: &str| format!("{}_{what}", self.of);
        let mut sums = vec![0.0; scores];
        for tree in 0..=*trees.last().unwrap() {
            let mut at = place(tree, 0);
            loop {
                let value = f64::from(self.lists["nodes_values"].1[at]);
                let x = row[self.ints("nodes_featureids")[at] as usize];
                let yes = match self.lists["nodes_modes"].2[at].as_str() {
                    "LEAF" => break,
                    _ if x.is_nan() => self.ints("nodes_missing_value_tracks_true")[at] == 1,
                    "BRANCH_LEQ" => x <= value,
                    "BRANCH_EQ" => x == value,
                    mode => panic!("{mode}"),
                };
                let next = if yes { "nodes_truenodeids" } else { "nodes_falsenodeids" };
                at = place(tree, self.ints(next)[at]);
            }
            for (i, &of_tree) in self.ints(&of("treeids")).iter().enumerate() {
                if of_tree == tree && self.ints(&of("nodeids"))[i] == nodes[at] {
                    sums[self.ints(&of("ids"))[i] as usize] += f64::from(self.lists[&of("weights")].1[i]);
                }
            }
        }
        sums
    }
}

/// A sum of one tree of two leaves.
fn small(change: impl Fn(&mut Sum<'_>)) -> Result<super::Exported, String> {
    small_as(Format::LightGbm, change)
}

fn small_as(format: Format, change: impl Fn(&mut Sum<'_>)) -> Result<super::Exported, String> {
    let inputs =
        [Field { name: "x".into(), kind: Kind::Numeric }, Field { name: "a b".into(), kind: Kind::Numeric }];
    let root = Node { test: Some(Test::UpTo(0.5)), left: 1, right: 2, ..Node::leaf(0, 2) };
    let nodes = [root, Node::leaf(1, 1), Node::leaf(2, 1)];
    let tree = Tree::from_nodes(vec![Input::Number; 2].into(), &nodes, vec![0.0, 1e300, -1.0], 1).unwrap();
    let mut sum = Sum {
        inputs: &inputs,
        task: &Task::Regression,
        targets: vec!["y"],
        offset: None,
        unseen: Unseen::Missing,
        trees: vec![(&tree, 0)],
        base: vec![0.0],
        over: 1.0,
        link: Link::Identity,
        loss: None,
    };
    change(&mut sum);
    sum.export(format).map_err(|e| e.to_string())
}

#[test]
fn what_is_lost_is_told_and_what_cannot_be_held_refused() {
    let fine = small(|_| ()).unwrap();
    assert_eq!(fine.notes, ["column \"a b\" is called \"a_b\": names hold no spaces"]);
    let told = small(|sum| sum.offset = Some("exposure")).unwrap().notes;
    assert!(told.iter().any(|note| note.contains("offset \"exposure\"")), "{told:?}");
    for link in [Link::Hinge, Link::Steps, Link::Softplus] {
        for format in [Format::LightGbm, Format::XgBoost, Format::Onnx] {
            let refused = small_as(format, |sum| sum.link = link).unwrap_err();
            assert!(
                refused.contains("cannot hold the model") && refused.contains(link.describe()),
                "{refused}"
            );
        }
    }
    for format in [Format::XgBoost, Format::Onnx] {
        let refused = small_as(format, |_| ()).unwrap_err();
        assert!(
            refused.contains("tree 0") && refused.contains("1e300") && refused.contains("f32"),
            "{refused}"
        );
    }
    let same = [
        Field { name: "a b".into(), kind: Kind::Numeric },
        Field { name: "a_b".into(), kind: Kind::Numeric },
    ];
    let inputs: &'static [Field] = Box::leak(Box::new(same));
    let refused = small(|sum| sum.inputs = inputs).unwrap_err();
    assert!(refused.contains("\"a_b\"") && refused.contains("spaces"), "{refused}");
    for bad in [
        |sum: &mut Sum<'_>| sum.trees.clear(),
        |sum: &mut Sum<'_>| sum.base = vec![0.0; 2],
        |sum: &mut Sum<'_>| {
            (sum.base, sum.over) = (vec![1.0], 2.0);
        },
    ] {
        assert!(small(bad).is_err());
    }
    for format in [Format::LightGbm, Format::XgBoost, Format::Onnx] {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    assert!("pmml".parse::<Format>().unwrap_err().to_string().contains("lightgbm, xgboost or onnx"));
}
