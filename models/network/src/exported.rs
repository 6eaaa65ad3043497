//! Models of tables from the files of ONNX that we wrote of them, with names, categories and classes.
//!
//! What is before and behind the layers is not read node by node. Metadata and numbers of the file tell what it would be, which is written again
//! and must be, to the last name, what the file has. The layers between are read as those of any file (`import.rs`).

use crate::import::nodes::Reader;
use crate::import::{Held, Settled, network_of};
use crate::onnx::{CELLS, answered, embedding};
use crate::pipeline::Scale;
use crate::{Layer, Lookup, Network};
use std::collections::{HashMap, HashSet};
use tilewise_base::encoder::Encoder;
use tilewise_base::onnx::{FLOAT, Graph, Model, Node, PRODUCER, Tensor, ValueInfo};
use tilewise_base::{Error, Field, Result, Task};

/// A model of a table.
pub(crate) struct Exported {
    pub(crate) encoder: Encoder,
    pub(crate) network: Network<f32>,
    pub(crate) scales: Vec<Scale>,
    pub(crate) task: Task,
    /// Name of the target, where there is one.
    pub(crate) target: String,
}

/// Whether a file is one that we wrote of a model of a table.
pub(crate) fn is_of_a_table(file: &Model) -> bool {
    let input = file.graph.as_ref().and_then(|graph| graph.input.first());
    file.producer_name == PRODUCER && input.is_some_and(|input| input.name == CELLS)
}

impl Exported {
    /// Reads a file of so many bytes.
    ///
    /// # Errors
    /// When metadata or numbers are missing, or nodes are not those that we write of them; names the first that is not.
    pub(crate) fn read(file: Model, bytes: usize) -> Result<Self> {
        let Some(mut graph) = file.graph else {
            return Err(Error::Fit("the file of ONNX has no graph".into()));
        };
        let told = |key: &str| {
            let entry = file.metadata_props.iter().find(|entry| entry.key == key);
            entry
                .map(|entry| entry.value.as_str())
                .ok_or_else(|| Error::Fit(format!("the metadata has no {key}")))
        };
        let invalid =
            |e: serde_json::Error| Error::Fit(format!("the metadata of its columns are not valid: {e}"));
        let inputs: Vec<Field> = serde_json::from_str(told("tilewise.inputs")?).map_err(invalid)?;
        let targets: Vec<String> = serde_json::from_str(told("tilewise.targets")?).map_err(invalid)?;
        let columns = inputs.len();
        let encoder = Encoder::of_onnx(&graph, inputs)?;
        if encoder.width() == 0 {
            return Err(Error::Fit("its inputs have no column with a value".into()));
        }
        let mut ours = Graph::default();
        let mut start = encoder.onnx(&mut ours, CELLS);
        let mut layers = Vec::new();
        let tensors = tensors_of(&graph);
        let tables = Tables::read(&tensors)?;
        let told = tables.lookups.iter().map(|lookup| (lookup.column, lookup.categories));
        if !told.eq(encoder.numbered()) {
            return Err(Error::Fit("its tables of vectors are not those of its columns".into()));
        }
        let mut settled = Settled::default();
        if !tables.lookups.is_empty() {
            start = embedding(&mut ours, &tables.lookups, encoder.width(), "0", &start);
            layers.push(Layer::Embedding { lookups: tables.lookups });
            settled.held.extend(tables.held);
        }
        let first = ours.node.len();
        let classify = graph.output.len() == 2;
        let behind = if classify { 3 } else { 4 };
        let Some(last) = graph.node.len().checked_sub(behind).filter(|last| *last >= first) else {
            return Err(Error::Fit("it has fewer nodes than come before and behind layers".into()));
        };
        let answers = graph.node[last].input.first().cloned().unwrap_or_default();
        let (task, scales) = match classify {
            true => {
                let names = graph.node.last().and_then(|node| {
                    node.attribute.iter().find(|attribute| attribute.name == "values_strings")
                });
                let texts = names.map(|names| &names.strings[..]).unwrap_or_default().iter();
                let classes: Option<Vec<String>> =
                    texts.map(|text| String::from_utf8(text.clone()).ok()).collect();
                let each_once = |classes: &Vec<String>| {
                    classes.len() >= 2 && classes.iter().collect::<HashSet<_>>().len() == classes.len()
                };
                let classes = classes.filter(each_once);
                let classes = classes
                    .ok_or_else(|| Error::Fit("it does not name two classes or more, each once".into()))?;
                let scales = vec![Scale::NONE; classes.len()];
                (Task::Classification { classes }, scales)
            }
            false => {
                let numbers = |name| of(&tensors, name)?.doubles().map(|(_, numbers)| numbers);
                let (means, deviations) = (numbers("target.mean")?, numbers("target.deviation")?);
                let scale = |(&mean, &deviation)| Scale { mean, deviation };
                let mut scales: Vec<Scale> = means.iter().zip(&deviations).map(scale).collect();
                if scales.len() == 1 {
                    scales = vec![scales[0]; targets.len()];
                }
                let usable = scales.iter().all(Scale::is_usable) && scales.len() == targets.len();
                let task = match &targets[..] {
                    [_] => Task::Regression,
                    names => Task::Outputs { names: names.to_vec() },
                };
                if !usable || targets.is_empty() || targets.len() > 1 && task.several().is_none() {
                    return Err(Error::Fit(
                        "its targets have no names, or are not scaled by a number each".into(),
                    ));
                }
                (task, scales)
            }
        };
        // Places of layers, as nodes are numbered.
        ours.node.resize(last, Node::default());
        answered(&mut ours, &answers, &task, &scales);
        ours.input.push(ValueInfo::rows(CELLS, FLOAT, Some(columns)));
        check_numbers(&ours, &tensors)?;
        check_nodes(&ours.node[..first], &graph.node[..first])?;
        check_nodes(&ours.node[last..], &graph.node[last..])?;
        if ours.input != graph.input || ours.output != graph.output {
            return Err(Error::Fit(format!("its inputs or outputs are {CHANGED}")));
        }
        // Between them are the layers.
        graph.node.truncate(last);
        graph.node.drain(..first);
        let reader = Reader::new(&graph, &start, false, bytes)?;
        let mut softmax = false;
        let parts = reader.chain(&answers, &start, graph.node.len(), 0, &mut softmax)?;
        if softmax {
            return Err(Error::Fit("a softmax is accepted at the end only".into()));
        }
        settled.add(parts, "", &mut layers)?;
        let network = network_of(settled, encoder.width(), &layers, &answers)?;
        if network.outputs() != scales.len() {
            let (found, wanted) = (network.outputs(), scales.len());
            return Err(Error::Fit(format!("its layers give {found} numbers for {wanted} answers")));
        }
        let target = if task.several().is_some() {
            String::new()
        } else {
            targets.into_iter().next().unwrap_or_default()
        };
        Ok(Self { encoder, network, scales, task, target })
    }
}

/// What is said where a file of ours has been changed.
const CHANGED: &str =
    "not what tilewise writes of such columns and answers: files that were not changed are read";

type Tensors<'a> = HashMap<&'a str, &'a Tensor>;

/// Numbers that stand in a file, by their names.
pub(crate) fn tensors_of(graph: &Graph) -> Tensors<'_> {
    graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect()
}

fn of<'a>(tensors: &Tensors<'a>, name: &str) -> Result<&'a Tensor> {
    tensors.get(name).copied().ok_or_else(|| Error::Fit(format!("there is no tensor {name:?}")))
}

/// That the numbers are those of a file, which may have more.
pub(crate) fn check_numbers(ours: &Graph, file: &Tensors<'_>) -> Result<()> {
    for tensor in &ours.initializer {
        if of(file, &tensor.name)? != tensor {
            return Err(Error::Fit(format!("tensor {:?} is {CHANGED}", tensor.name)));
        }
    }
    Ok(())
}

/// That nodes are those of a file, one by one.
pub(crate) fn check_nodes(ours: &[Node], file: &[Node]) -> Result<()> {
    match ours.iter().zip(file).find(|(ours, theirs)| ours != theirs) {
        Some((_, node)) => Err(Error::Fit(format!("node {:?} ({}) is {CHANGED}", node.name, node.op_type))),
        None if ours.len() > file.len() => Err(Error::Fit(format!("the last of its nodes is {CHANGED}"))),
        None => Ok(()),
    }
}

/// Tables of vectors that are learned, as an embedding that comes first has them.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) held: Vec<(String, Held)>,
}

impl Tables {
    /// Those that a file has numbers of; whether its nodes use them so is for the caller to see.
    pub(crate) fn read(tensors: &Tensors<'_>) -> Result<Self> {
        let mut tables = Self::default();
        for j in 0.. {
            let Some(column) = tensors.get(format!("0.{j}.column").as_str()) else { break };
            let (name, count) = (format!("0.{j}.weight"), of(tensors, &format!("0.{j}.categories"))?);
            let (shape, data) = of(tensors, &name)?.floats()?;
            let (place, count) = (column.whole_numbers()?.1, count.floats()?.1);
            let column = place.first().and_then(|&place| usize::try_from(place).ok());
            let rows = shape.first().copied().unwrap_or_default();
            // The last row is for what is no category.
            let (Some(column), [_, width], true) =
                (column, &shape[..], rows > 0 && count.first() == Some(&((rows - 1) as f32)))
            else {
                return Err(Error::Fit(format!(
                    "tensor {name:?} is no table of vectors of a column's categories"
                )));
            };
            tables.lookups.push(Lookup { column, categories: rows - 1, width: *width });
            tables.held.push((name.clone(), Held { node: format!("tensor {name:?}"), shape, data }));
        }
        Ok(tables)
    }
}
