//! Networks that are read from files of ONNX: our own, and those of `golden/imported.py` with ONNX Runtime's answers.

use crate::networks::networks;
use std::path::PathBuf;
use tilewise_base::onnx::{Attribute, Dimension, Graph, Node, Tensor, Version, file, parse};
use tilewise_kernels::MatRef;
use tilewise_kernels::random::Philox;
use tilewise_network::{Layer, Network};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/imported")
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

fn answer(network: &Network<f32>, x: &[f32]) -> Vec<f32> {
    let rows = x.len() / network.inputs();
    let mut out = vec![0.0; rows * network.outputs()];
    network.predict(MatRef::new(x, rows, network.inputs()).unwrap(), &mut out).unwrap();
    out
}

/// Layers but for dropouts, which files do not have.
fn kept(layers: &[Layer]) -> Vec<Layer> {
    let kept = |layer: &Layer| match layer {
        Layer::Dropout { .. } => None,
        Layer::Residual { layers } => Some(Layer::Residual { layers: self::kept(layers) }),
        layer => Some(layer.clone()),
    };
    layers.iter().filter_map(kept).collect()
}

#[test]
fn our_files_come_back_as_they_were() {
    for (name, network) in networks() {
        let read = Network::from_onnx(&network.to_onnx().unwrap()).unwrap();
        assert!(!read.softmax);
        assert_eq!(read.network.layers(), kept(network.layers()), "{name}");
        let numbers =
            |network: &Network<f32>| network.tensors().into_iter().map(|t| (t.1, t.2)).collect::<Vec<_>>();
        assert_eq!(numbers(&read.network), numbers(&network), "{name}");
        let x: Vec<f32> = (0..3 * network.inputs()).map(|i| (i as f32 * 0.37).sin()).collect();
        assert_eq!(answer(&read.network, &x), answer(&network, &x), "{name}");
    }
}

/// Of the largest number of an answer, as for files that we write: other orders of sums of up to 40 products.
const ROUNDING: f32 = 1e-5;

#[test]
fn files_of_others_give_the_answers_of_onnx_runtime() {
    let text = std::fs::read_to_string(folder().join("answers.csv")).unwrap();
    for (name, layers) in [("rows", 5), ("functions", 8), ("images", 10)] {
        let read = Network::from_onnx(&golden(name)).unwrap();
        assert_eq!(read.network.layers().len(), layers, "{name}: {:?}", read.network.layers());
        assert_eq!(read.softmax, name == "rows");
        let mut rows = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(',')) {
            let numbers: Vec<f32> = line.split(',').map(|x| x.parse().unwrap()).collect();
            let (x, theirs) = numbers.split_at(read.network.inputs());
            let mut ours = answer(&read.network, x);
            if read.softmax {
                let sum: f32 = ours.iter().map(|y| y.exp()).sum();
                ours.iter_mut().for_each(|y| *y = y.exp() / sum);
            }
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let largest = theirs.iter().fold(1.0f32, |most, y| most.max(y.abs()));
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() <= ROUNDING * largest, "{name}: {a}, theirs {b}");
            }
            rows += 1;
        }
        assert_eq!(rows, 6, "{name}");
    }
}

/// A golden file with its graph changed.
fn changed(name: &str, change: impl FnOnce(&mut Graph)) -> String {
    let mut graph = parse(&golden(name)).unwrap().graph.unwrap();
    change(&mut graph);
    let version = Version { ir: 9, operators: &[("", 20)] };
    let told = Network::from_onnx(&file(graph, version, &[], &[]).unwrap());
    told.err().map(|e| e.to_string()).unwrap_or_default()
}

fn node<'a>(graph: &'a mut Graph, name: &str) -> &'a mut Node {
    graph.node.iter_mut().find(|node| node.name == name).unwrap()
}

/// 1 as the bytes of an `i64`.
const ONE: [u8; 8] = 1i64.to_le_bytes();

/// What is changed, how, and parts of what is told then.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Graph), &'a [&'a str]);

#[test]
fn what_is_no_layer_is_refused_by_its_node() {
    let tensor = |graph: &mut Graph, name: &str, change: &dyn Fn(&mut Tensor)| {
        change(graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap());
    };
    let attribute = |graph: &mut Graph, name: &str, new: Attribute| {
        let all = &mut node(graph, name).attribute;
        all.retain(|old| old.name != new.name);
        all.push(new);
    };
    let rows: [Case<'_>; 19] = [
        ("an operator", &|g| node(g, "h4").op_type = "Elu".into(), &["node \"h4\" (Elu)", "LeakyRelu"]),
        ("a domain", &|g| node(g, "h1").domain = "com.others".into(), &["node \"h1\"", "com.others"]),
        (
            "an attribute",
            &|g| attribute(g, "h1", Attribute::int("odd", 1)),
            &["node \"h1\" (Gelu)", "\"odd\""],
        ),
        (
            "GELU by tanh",
            &|g| attribute(g, "h1", Attribute::string("approximate", "tanh")),
            &["\"h1\"", "approximate"],
        ),
        (
            "a scaled product",
            &|g| attribute(g, "h3", Attribute::float("alpha", 2.0)),
            &["\"h3\" (Gemm)", "alpha"],
        ),
        ("a norm of what", &|g| attribute(g, "h2", Attribute::int("axis", 0)), &["\"h2\"", "axis"]),
        (
            "a softmax inside",
            &|g| node(g, "h4").op_type = "Softmax".into(),
            &["\"h4\" (Softmax)", "at the end only"],
        ),
        ("an order", &|g| g.node.swap(1, 4), &["in the order of work"]),
        ("a circle", &|g| node(g, "p0").input[0] = "h6".into(), &["order of work"]),
        ("nothing", &|g| node(g, "h4").input[0] = "gone".into(), &["\"gone\"", "by no node"]),
        ("twice", &|g| node(g, "h4").output[0] = "h3".into(), &["\"h3\"", "there already"]),
        ("fewer numbers", &|g| tensor(g, "w0", &|t| t.dims = vec![6, 9]), &["\"w0\"", "not as many"]),
        ("halves", &|g| tensor(g, "w0", &|t| t.data_type = 10), &["\"w0\"", "type 10"]),
        ("a column", &|g| tensor(g, "b0", &|t| t.dims = vec![8, 1]), &["\"h0\" (Add)", "not one row"]),
        (
            "training",
            &|g| node(g, "h7").input.extend(["gain", "bias"].map(String::from)),
            &["\"h7\" (Dropout)"],
        ),
        ("a mask", &|g| node(g, "h7").output.insert(0, "odd".into()), &["\"h7\" (Dropout)", "first result"]),
        ("two of a name", &|g| g.initializer.push(g.initializer[0].clone()), &["two tensors \"w0\""]),
        (
            "a number for a whole one",
            &|g| attribute(g, "h8", Attribute::float("transB", 1.0)),
            &["\"h8\" (Gemm)", "transB is of the kind 1", "2 is accepted"],
        ),
        ("elsewhere", &|g| tensor(g, "w0", &|t| t.location = 1), &["\"w0\"", "another file"]),
    ];
    for (what, change, parts) in rows {
        let told = changed("rows", change);
        assert!(parts.iter().all(|part| told.contains(part)), "{what}: {told}");
    }
    let images: [Case<'_>; 13] = [
        ("groups", &|g| attribute(g, "h0", Attribute::int("group", 2)), &["\"h0\" (Conv)", "group"]),
        (
            "pads",
            &|g| attribute(g, "h0", Attribute::ints("pads", vec![1, 1, 0, 1])),
            &["\"h0\"", "both sides"],
        ),
        (
            "pads that see nothing",
            &|g| attribute(g, "h0", Attribute::ints("pads", vec![3, 1, 3, 1])),
            &["\"h0\" (Conv)", "pads of 3", "the 3 pixels"],
        ),
        (
            "pads of a pool that see nothing",
            &|g| attribute(g, "h3", Attribute::ints("pads", vec![0, 2, 0, 2])),
            &["\"h3\" (MaxPool)", "pads of 2"],
        ),
        (
            "one row",
            &|g| node(g, "shape").attribute[0].t.as_mut().unwrap().raw_data[..8].copy_from_slice(&ONE),
            &["\"h11\" (Reshape)", "one row of all rows"],
        ),
        (
            "nothing as 0",
            &|g| attribute(g, "h11", Attribute::int("allowzero", 1)),
            &["\"h11\" (Reshape)", "allowzero"],
        ),
        ("strides", &|g| attribute(g, "h0", Attribute::ints("strides", vec![-1, 1])), &["\"h0\"", "strides"]),
        (
            "no stride",
            &|g| attribute(g, "h0", Attribute::ints("strides", vec![0, 1])),
            &["layer 1 (convolution"],
        ),
        ("ceil", &|g| attribute(g, "h3", Attribute::int("ceil_mode", 1)), &["\"h3\" (MaxPool)", "ceil_mode"]),
        (
            "its pixels",
            &|g| attribute(g, "h10", Attribute::int("count_include_pad", 0)),
            &["\"h10\"", "count_include_pad"],
        ),
        (
            "rows of half",
            &|g| node(g, "shape").attribute[0].t.as_mut().unwrap().raw_data[8] = 20,
            &["\"h11\" (Reshape)", "20 numbers where there are 40"],
        ),
        ("another branch", &|g| node(g, "h4").input[0] = "x".into(), &["node \"h8\" (Add)", "neither"]),
        ("images", &|g| node(g, "y").input[0] = "h10".into(), &["\"y\" holds images", "Flatten"]),
    ];
    for (what, change, parts) in images {
        let told = changed("images", change);
        assert!(parts.iter().all(|part| told.contains(part)), "{what}: {told}");
    }
    let told = changed("images", |g| {
        let rows = g.input[0].kind.as_mut().unwrap().tensor.as_mut().unwrap().shape.as_mut().unwrap();
        rows.dimension[0] = Dimension { value: Some(1), name: None };
        node(g, "shape").attribute[0].t.as_mut().unwrap().raw_data[..8].copy_from_slice(&ONE);
        // Attributes of very old files, which do not tell their kind.
        g.node.iter_mut().flat_map(|node| &mut node.attribute).for_each(|attribute| attribute.kind = 0);
    });
    assert!(told.is_empty(), "{told}");
    // Very many nodes that tell the width.
    let told = changed("rows", |g| {
        g.initializer.push(Tensor::whole("shape", &[0, 8]));
        for i in 0..100 {
            let output = format!("r{i}");
            let input = if i == 0 { "h7".to_owned() } else { format!("r{}", i - 1) };
            g.node.insert(9 + i, Node::new("Reshape", "", &[&input, "shape"], &[&output], vec![]));
        }
        node(g, "h8").input[0] = "r99".into();
    });
    assert!(told.is_empty(), "{told}");
    for name in ["g0", "g1", "g2", "g3", "h1", "s", "h3"] {
        let told = changed("functions", |g| attribute(g, name, Attribute::int("axis", 1)));
        assert!(told.contains("(Mul)"), "{name}: {told}");
    }
    let told = changed("functions", |g| tensor(g, "half", &|t| t.raw_data = 0.4f32.to_le_bytes().to_vec()));
    assert!(told.contains("node \"h1\" (Mul)") && told.contains("neither SiLU nor GELU"), "{told}");
    let told = changed("functions", |g| tensor(g, "w2", &|t| t.dims = vec![2, 2]));
    assert!(
        told.contains("node \"y0\" (Gemm)") && told.contains("[2, 2] where its input needs [2, 4]"),
        "{told}"
    );
    let told = changed("rows", |g| g.input.push(g.output[0].clone()));
    assert!(told.contains("inputs [\"x\", \"y\"]"), "{told}");
    let told = changed("rows", |g| g.output.push(g.output[0].clone()));
    assert!(told.contains("outputs [\"y\", \"y\"]"), "{told}");
    // A file that has the same weights in very many layers.
    let told = changed("rows", |g| {
        let product = Node::new("Gemm", "", &["y", "square"], &["z0"], vec![]);
        g.initializer.push(Tensor::f32("square", &[3, 3], &[0.5; 9]));
        g.node[10].op_type = "Identity".into();
        g.node[10].attribute.clear();
        g.node.push(product);
        for i in 1..2000 {
            let (from, to) = (format!("z{}", i - 1), format!("z{i}"));
            g.node.push(Node::new("Gemm", "", &[&from, "square"], &[&to], vec![]));
        }
        g.output[0].name = "z1999".into();
    });
    assert!(told.is_empty(), "{told}");
    let told = changed("rows", |g| {
        g.initializer.push(Tensor::f32("square", &[60, 60], &[0.5; 3600]));
        g.node = (0..9)
            .map(|i| {
                Node::new("MatMul", "", &[&format!("z{i}"), "square"], &[&format!("z{}", i + 1)], vec![])
            })
            .collect();
        g.node[0].input[0] = "x".into();
        g.output[0].name = "z9".into();
    });
    assert!(told.contains("four times over"), "{told}");
    for bytes in [&b"tree\n"[..], b"", b"\x08\x09\x3a"] {
        assert!(Network::from_onnx(bytes).is_err());
    }
}

/// Mutant number i is a function of i alone.
#[test]
fn files_that_are_damaged_are_read_or_refused() {
    let mut read = 0;
    for name in ["rows", "functions", "images"] {
        let bytes = golden(name);
        for i in 0..4000 {
            let random = Philox::new(i, Philox::purpose("mutants of ONNX"));
            let below = |at: u64, n: usize| random.below(at, n as u64) as usize;
            let mut mutant = bytes.clone();
            for change in 0..=below(0, 3) as u64 {
                let at = below(4 * change + 1, mutant.len());
                match below(4 * change + 2, 5) {
                    0 => mutant[at] ^= 1 << below(4 * change + 3, 8),
                    1 => mutant[at] = [0, 1, 2, 127, 128, 255][below(4 * change + 3, 6)],
                    2 => drop(mutant.remove(at)),
                    3 => mutant.insert(at, below(4 * change + 3, 256) as u8),
                    // A name or an operator becomes another.
                    _ => {
                        let from = below(4 * change + 3, mutant.len() - 4);
                        let at = at.min(mutant.len() - 4);
                        mutant.copy_within(from..from + 2, at);
                    }
                }
            }
            let Ok(found) = Network::from_onnx(&mutant) else { continue };
            read += 1;
            // As many as a model may have.
            if found.network.inputs() <= 1 << 18 {
                let x: Vec<f32> = (0..2 * found.network.inputs()).map(|i| (i as f32).sin()).collect();
                answer(&found.network, &x);
            }
        }
    }
    assert!(read > 1000, "{read} were read: nothing behind the checks was tried");
}
