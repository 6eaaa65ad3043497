//! Files whose trees are none.

use super::*;
use serde_json::json;

/// What a file of two small trees holds: a stump over a number; one over a category and the number, with a leaf of each kind.
#[derive(Clone)]
struct Written {
    starts: Vec<u32>,
    nodes: Vec<Node>,
    sets: Vec<[u64; 4]>,
    leaves: Vec<f64>,
    rows: Vec<u32>,
    gains: Vec<f64>,
    values: Vec<f64>,
    weights: Vec<f64>,
    classes: Option<(Vec<u32>, Vec<f64>)>,
}

fn split(column: usize, left: usize) -> Node {
    Node::up_to(column, 0.5, true, left).unwrap()
}

fn leaf(value: usize) -> Node {
    Node::leaf(value).unwrap()
}

fn numbers() -> Written {
    Written {
        starts: vec![0, 3, 8],
        nodes: vec![
            split(0, 1),
            leaf(0),
            leaf(1),
            Node::in_set(1, 0, 4).unwrap(),
            leaf(2),
            split(0, 6),
            leaf(0),
            leaf(3),
        ],
        sets: vec![[2, 0, 0, 1 << 63]],
        leaves: vec![0.5, -1.0, 2.0, 7.0],
        rows: vec![9, 4, 5, 9, 1, 8, 2, 6],
        gains: vec![0.25, 0.5, 0.75],
        values: vec![10.0, 11.0, 12.0],
        weights: vec![9.0, 4.0, 5.0, 9.0, 1.0, 8.0, 2.0, 6.0],
        classes: None,
    }
}

/// The same shape, for shares of two classes: a leaf value is two numbers.
fn shares() -> Written {
    let classes = vec![4, 4, 1, 3, 3, 1, 2, 6, 0, 2, 2, 4, 1, 3, 1, 1];
    let leaves = vec![0.25, 0.75, 0.75, 0.25, 0.0, 1.0, 0.5, 0.5];
    Written { leaves, classes: Some((classes, vec![1.0, 0.5])), ..numbers() }
}

impl Written {
    fn file(&self) -> Vec<u8> {
        let outputs = if self.classes.is_some() { 2 } else { 1 };
        let metadata = json!({ "bins": ["number", { "category": [0, 1, 255] }] });
        let writer = Writer::new("trees", metadata)
            .tensor_u32("starts", &[self.starts.len()], &self.starts)
            .records("nodes", &self.nodes)
            .records("sets", &self.sets)
            .tensor_f64("leaves", &[self.leaves.len() / outputs, outputs], &self.leaves)
            .tensor_u32("rows", &[self.rows.len()], &self.rows)
            .tensor_f64("gains", &[self.gains.len()], &self.gains);
        let writer = match &self.classes {
            None => writer.tensor_f64("values", &[self.values.len(), 1], &self.values).tensor_f64(
                "weights",
                &[self.weights.len()],
                &self.weights,
            ),
            Some((classes, units)) => writer
                .tensor_u32("classes", &[classes.len() / 2, 2], classes)
                .tensor_f64("units", &[units.len()], units),
        };
        writer.to_bytes().unwrap()
    }

    fn read(&self) -> Result<Vec<Tree>> {
        let dictionary = ["a", "b", "c"].map(str::to_owned).to_vec();
        let fields = [
            Field { name: "x".into(), kind: Kind::Numeric },
            Field { name: "c".into(), kind: Kind::Categorical { dictionary } },
        ];
        let outputs = if self.classes.is_some() { 2 } else { 1 };
        from_file(&ModelFile::parse(&self.file())?, &fields, Unseen::Missing, outputs)
    }
}

#[test]
fn trees_are_those_that_the_file_says() {
    let trees = numbers().read().unwrap();
    let second: Vec<crate::Node> = trees[1].nodes().collect();
    assert_eq!((trees.len(), trees[0].len(), second.len()), (2, 3, 5));
    assert_eq!(
        (second[0].test, second[0].missing_left, second[0].gain),
        (Some(Test::Bins([2, 0, 0, 0])), true, 0.5)
    );
    assert_eq!(
        (second[2].test, second[2].rows, second[2].left, second[2].right),
        (Some(Test::UpTo(0.5)), 8, 3, 4)
    );
    let values: Vec<f64> = (0..5).map(|at| trees[1].value(at)[0]).collect();
    assert_eq!((values, trees[0].value(0)), (vec![11.0, 2.0, 12.0, 0.5, 7.0], vec![10.0]));
    assert_eq!(shares().read().unwrap()[1].value(3), [0.25, 0.75]);
    // What is written of them is what was read.
    for written in [numbers(), shares()] {
        let metadata = json!({ "bins": ["number", { "category": [0, 1, 255] }] });
        let mut of_tree = written.clone();
        // Values are numbered tree by tree, in the order of leaves.
        let outputs = if written.classes.is_some() { 2 } else { 1 };
        let of = |value: usize| written.leaves[value * outputs..][..outputs].to_vec();
        of_tree.leaves = [0, 1, 2, 0, 3].map(of).concat();
        of_tree.nodes =
            [split(0, 1), leaf(0), leaf(1), written.nodes[3], leaf(2), split(0, 6), leaf(3), leaf(4)]
                .to_vec();
        assert!(to_bytes("trees", metadata, &written.read().unwrap()).unwrap() == of_tree.file());
    }
}

#[test]
fn what_is_no_tree_is_refused() {
    type Case = (&'static str, fn(&mut Written));
    let of_all: [Case; 16] = [
        ("share its nodes out", |written| written.starts[0] = 1),
        ("share its nodes out", |written| written.starts = vec![0, 8, 3, 8]),
        ("share its nodes out", |written| written.starts = vec![0, 3, 3, 8]),
        ("tree 0: the children of its node 3", |written| written.starts[1] = 4),
        // Children elsewhere, of two nodes, of another tree, not there.
        ("tree 1: the children of its node 0", |written| written.nodes[3] = split(0, 6)),
        ("a node against its first child", |written| written.nodes[5] = split(0, 4)),
        ("tree 0: the children of its node 0", |written| written.nodes[0] = split(0, 4)),
        ("a child", |written| written.nodes[5] = split(0, 8)),
        ("the value of a leaf", |written| written.nodes[7] = leaf(4)),
        ("the column of a node", |written| written.nodes[0] = split(2, 1)),
        // A number's test of a category, a set of a number, one that is not there, no threshold.
        ("tree 0: node 0 tests what", |written| written.nodes[0] = split(1, 1)),
        ("tree 1: node 0 tests what", |written| written.nodes[3] = Node::in_set(0, 0, 4).unwrap()),
        ("the set of a node", |written| written.nodes[3] = Node::in_set(1, 1, 4).unwrap()),
        ("tree 0: node 0 tests what", |written| {
            written.nodes[0] = Node::up_to(0, f64::NAN, false, 1).unwrap()
        }),
        ("tree 1: the gain of a split is inf", |written| written.gains[2] = f64::INFINITY),
        ("\"rows\"", |written| written.rows.truncate(7)),
    ];
    let of_numbers: [Case; 6] = [
        ("tree 0: the children of its node 3", |written| written.starts = vec![0, 8]),
        ("share 1 values", |written| written.leaves.truncate(1)),
        ("predicts what is not finite", |written| written.leaves[3] = f64::NAN),
        ("a split predicts inf", |written| written.values[2] = f64::INFINITY),
        ("a node weighs -1", |written| written.weights[7] = -1.0),
        ("\"values\"", |written| written.values.truncate(2)),
    ];
    let of_shares: [Case; 4] = [
        ("\"units\"", |written| written.starts = vec![0, 8]),
        ("tree 0: node 1 does not predict the shares", |written| written.leaves[0] = 0.5),
        ("tree 1: the classes of node 1 weigh 0", |written| {
            written.classes.as_mut().unwrap().0[8..10].fill(0);
        }),
        ("tree 1: the classes of node 0 weigh", |written| written.classes.as_mut().unwrap().1[1] = f64::NAN),
    ];
    let refused = |of: fn() -> Written, cases: &[Case]| {
        for (told, change) in cases {
            let mut written = of();
            change(&mut written);
            let message = written.read().err().map_or("nothing".into(), |e| e.to_string());
            assert!(message.contains(told), "{told}: {message}");
        }
    };
    refused(numbers, &of_all);
    refused(shares, &of_all);
    refused(numbers, &of_numbers);
    refused(shares, &of_shares);
}
