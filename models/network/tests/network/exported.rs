//! Models of tables that come back from the files of ONNX that were written of them.

use tilewise_base::onnx::{Graph, PRODUCER, Tensor, parse};
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Roles, Task, predict_dataset};
use tilewise_kernels::random::Philox;
use tilewise_network::pipeline::{Embedded, Parameters, Pipeline, Precision};
use tilewise_network::{Function, Training, layers_of};

const ROWS: usize = 40;

/// Draws of a case.
struct Draw(Philox, u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.1 += 1;
        self.0.below(self.1, n as u64) as usize
    }
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
    fn number(&mut self) -> f64 {
        self.1 += 1;
        self.0.normal(self.1)
    }
}

/// A column of numbers, of texts (of one, a few or many; in some rows missing) or of booleans.
fn column(draw: &mut Draw, kind: usize) -> Column {
    match kind {
        0 => {
            let (shift, scale) = (draw.one_of(&[0.0, 4096.0]), draw.one_of(&[1.0, 1e-3]));
            let mut cell = |_| if draw.below(9) == 0 { f64::NAN } else { shift + scale * draw.number() };
            Column::F64((0..ROWS).map(&mut cell).collect())
        }
        1 => Column::Boolean((0..ROWS).map(|_| draw.one_of(&[Some(true), Some(false), None])).collect()),
        _ => {
            let many = draw.one_of(&[1, 2, 5, 17]);
            let dictionary = (0..many).map(|i| format!("text {i:02}")).collect();
            let codes = (0..ROWS).map(|_| draw.below(many) as u32).collect();
            Column::Categorical { codes, dictionary }
        }
    }
}

/// What a file is changed by.
type Change<'a> = &'a dyn Fn(&mut Graph);

/// A table, what is learned of it, and the model.
fn drawn(case: u64) -> (Dataset, Pipeline) {
    let draw = &mut Draw(Philox::new(case, Philox::purpose("exported")), 0);
    let mut columns = Vec::new();
    let image = case % 8 == 7;
    // Of some all columns are of one kind.
    let only = image.then_some(0).or(case.is_multiple_of(5).then(|| draw.below(3)));
    for i in 0..if image { 12 } else { 1 + draw.below(5) } {
        let kind = only.unwrap_or_else(|| draw.below(3));
        columns.push((format!("column {i}"), column(draw, kind)));
    }
    let goal = draw.below(3);
    let targets: Vec<String> = (0..if goal == 2 { 3 } else { 1 }).map(|i| format!("goal {i}")).collect();
    for target in &targets {
        let column = match goal {
            0 => Column::Categorical {
                codes: (0..ROWS).map(|i| (i % 3) as u32).collect(),
                dictionary: ["a", "b \u{fc}", "c"].map(String::from).into(),
            },
            _ => Column::F64((0..ROWS).map(|_| 700.0 + 50.0 * draw.number()).collect()),
        };
        columns.push((target.clone(), column));
    }
    let function = draw.one_of(&[
        Function::Relu,
        Function::LeakyRelu { slope: 0.01 },
        Function::Gelu,
        Function::Silu,
        Function::Tanh,
        Function::Sigmoid,
        Function::Identity,
    ]);
    let text = match image {
        true => {
            draw.one_of(&["conv4x2,norm,pool2s1p1,6", "conv3x3s2,avgpool2s1p1,flatten,dropout0.3,layernorm"])
        }
        false => draw.one_of(&[
            "9,dropout0.2,5",
            "6,norm,res(6,dropout0.1,6),4",
            "8,layernorm,res(4,res(3,4),8)",
            "3",
        ]),
    };
    let body = layers_of(text, image.then_some([3, 2, 2]), function, 0.0).unwrap();
    let parameters = Parameters {
        body: Some(body),
        function,
        embedding: draw.one_of(&[None, Some(1), Some(3)]).map(|from| Embedded { from, width: None }),
        validation: 0.0,
        precision: if case % 6 == 5 { Precision::Double } else { Precision::Single },
        training: Training { epochs: 1, batch: Some(10), learning_rate: 0.01, ..Training::default() },
        ..Parameters::default()
    };
    let data = Dataset::new(columns).unwrap();
    let roles = Roles { targets, ..Roles::default() };
    let model = Pipeline::fit(&parameters, goal == 0, &data, &roles, &Context::default()).unwrap();
    (data, model)
}

/// Weights of 64 bits are rounded to 32: through up to five layers of a few products each that is far below this.
const ROUNDED: f64 = 1e-4;

#[test]
fn what_is_written_comes_back_with_names_and_answers() {
    let mut seen = [0; 3];
    for case in 0..120 {
        let (data, model) = drawn(case);
        let bytes = model.to_onnx().unwrap().bytes;
        let read = Pipeline::from_onnx(&bytes, "m.onnx").unwrap_or_else(|e| panic!("case {case}: {e}"));
        assert_eq!(read.inputs(), model.inputs(), "case {case}");
        assert_eq!((read.task(), read.targets()), (model.task(), model.targets()), "case {case}");
        // Cells of f32, as the file has them, and of f64, which it has not, are prepared as they are there.
        let [ours, theirs] = [&model, &read].map(|model| predict_dataset(model, &data, None).unwrap());
        let rounded = model.network().is_none();
        for (a, b) in ours.iter().zip(&theirs) {
            let scale = if let Task::Classification { .. } = model.task() { 1.0 } else { 50.0 };
            assert!(
                a.to_bits() == b.to_bits() || rounded && (a - b).abs() < ROUNDED * scale,
                "case {case}: {a} {b}"
            );
        }
        // As a file of ours, and as ONNX once more.
        let file = read.to_bytes().unwrap();
        let again = Pipeline::from_file(&ModelFile::parse(&file).unwrap()).unwrap();
        assert_eq!(again.to_bytes().unwrap(), file, "case {case}");
        let twice = Pipeline::from_onnx(&again.to_onnx().unwrap().bytes, "m.onnx").unwrap();
        assert_eq!(predict_dataset(&twice, &data, None).unwrap(), theirs, "case {case}");
        seen[match model.task() {
            Task::Classification { .. } => 0,
            Task::Regression => 1,
            _ => 2,
        }] += 1;
    }
    assert!(seen.iter().all(|&n| n > 10), "{seen:?}");
}

#[test]
fn files_that_were_changed_are_refused_by_what_was() {
    // Numbers, texts, vectors of texts: all that comes before layers.
    let bytes = (0..120)
        .find_map(|case| {
            let bytes = drawn(case).1.to_onnx().unwrap().bytes;
            let graph = parse(&bytes).unwrap().graph.unwrap();
            let has = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
            (has("encoder.mean") && has("0.0.weight") && graph.output.len() == 2).then_some(bytes)
        })
        .unwrap();
    let changed = |change: &dyn Fn(&mut Graph)| {
        let mut model = parse(&bytes).unwrap();
        assert_eq!(model.producer_name, PRODUCER);
        change(model.graph.as_mut().unwrap());
        let told = Pipeline::from_onnx(&model.to_bytes(), "m.onnx");
        told.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let tensor = |graph: &mut Graph, name: &str, change: &dyn Fn(&mut Tensor)| {
        change(graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap());
    };
    assert_eq!(changed(&|_| ()), "");
    let cases: [(Change<'_>, &str); 11] = [
        (&|g| g.node[0].op_type = "Neg".into(), "not what tilewise writes"),
        (&|g| g.node.truncate(3), "nodes"),
        (&|g| g.node.last_mut().unwrap().op_type = "Neg".into(), "not what tilewise writes"),
        (&|g| g.node.last_mut().unwrap().attribute.clear(), "two classes"),
        (&|g| g.output.truncate(1), "target.mean"),
        (&|g| g.input.clear(), "the inputs []"),
        (&|g| tensor(g, "encoder.mean", &|t| t.raw_data.truncate(7)), "encoder.mean"),
        (&|g| tensor(g, "encoder.mean", &|t| t.data_type = 1), "encoder.mean"),
        (&|g| tensor(g, "encoder.scale", &|t| t.raw_data.fill(0)), "not a valid one"),
        (&|g| tensor(g, "0.0.weight", &|t| t.dims[0] += 1), "0.0.weight"),
        (&|g| tensor(g, "0.0.column", &|t| t.raw_data[0] = 99), "tables of vectors"),
    ];
    for (change, part) in cases {
        let told = changed(change);
        assert!(told.contains("m.onnx") && told.contains(part), "{part}: {told}");
    }
    // Without the metadata, or with other columns.
    let with = |inputs: &str| {
        let mut model = parse(&bytes).unwrap();
        model.metadata_props[0].value = inputs.into();
        Pipeline::from_onnx(&model.to_bytes(), "m.onnx").err().unwrap().to_string()
    };
    assert!(with("[]").contains("columns") && with("{").contains("metadata"));
}
