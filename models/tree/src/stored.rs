//! Trees in a model file.

use crate::Criterion;
use crate::arena::{Arena, CATEGORY, Split};
use crate::cuts::UNKNOWN;
use crate::max_bins::MOST_CATEGORIES;
use crate::tree::{Input, Test, Tree};
use crate::values::Values;
use std::sync::Arc;
use tilewise_base::model_file::Writer;
use tilewise_base::{Error, Field, Kind, ModelFile, Result, Task, Unseen};

/// The numbers a tree predicts for a task, if the criterion is one for it.
pub fn outputs(task: &Task, criterion: Criterion) -> Option<usize> {
    match task {
        Task::Regression if !matches!(criterion, Criterion::Gini | Criterion::Entropy) => Some(1),
        Task::Classification { classes }
            if !classes.is_empty()
                && matches!(criterion, Criterion::Auto | Criterion::Gini | Criterion::Entropy) =>
        {
            Some(classes.len())
        }
        Task::Outputs { .. } if matches!(criterion, Criterion::Auto | Criterion::Squared) => {
            task.several().map(<[String]>::len)
        }
        _ => None,
    }
}

/// The file of a model of trees with the same inputs. What the trees read is not written: `metadata` is to hold the bins.
///
/// # Errors
/// When there are 2^32 nodes or more, or the file cannot be made.
pub fn to_bytes(kind: &str, metadata: serde_json::Value, trees: &[Tree]) -> Result<Vec<u8>> {
    writer(kind, metadata, trees)?.to_bytes()
}

/// As [`to_bytes`], for files that hold more than trees.
///
/// # Errors
/// When there are 2^32 nodes or more.
pub fn writer(kind: &str, metadata: serde_json::Value, trees: &[Tree]) -> Result<Writer> {
    let count: usize = trees.iter().map(Tree::len).sum();
    if u32::try_from(count).is_err() {
        return Err(Error::Fit(format!("{count} nodes are too many for a file: it holds up to 2^32 - 1")));
    }
    let arenas = || trees.iter().map(|tree| &tree.nodes);
    let mut starts = vec![0];
    arenas().for_each(|arena| starts.push(starts[starts.len() - 1] + arena.len() as u32));
    // Of a leaf 0: no right child is the root.
    let mut nodes: Vec<u32> = Vec::with_capacity(2 * count);
    for arena in arenas() {
        let mut splits = arena.splits.iter();
        for (divided, rows) in arena.divided.iter().zip(arena.rows.iter()) {
            let split = if divided { splits.next() } else { None };
            nodes.extend([split.map_or(0, |split| split.right), rows]);
        }
    }
    let splits =
        || arenas().flat_map(|arena| arena.splits.iter().map(move |split| (split, arena.test(split))));
    // Sets stand in the order of their splits, so they need no number.
    let (mut thresholds, mut sets) = (Vec::new(), Vec::new());
    for (_, test) in splits() {
        match test {
            Test::UpTo(threshold) => thresholds.push(threshold),
            Test::Bins(set) => {
                thresholds.push(0.0);
                sets.extend(set.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]));
            }
        }
    }
    let features: Vec<u32> = splits().map(|(split, _)| split.feature).collect();
    let gains: Vec<f64> = splits().map(|(split, _)| split.gain).collect();
    let mut writer = Writer::new(kind, metadata)
        .tensor_u32("starts", &[starts.len()], &starts)
        .tensor_u32("nodes", &[count, 2], &nodes)
        .tensor_u32("features", &[features.len()], &features)
        .tensor_f64("thresholds", &[thresholds.len()], &thresholds)
        .tensor_f64("gains", &[gains.len()], &gains)
        .tensor_u32("sets", &[sets.len() / SET, SET], &sets);
    let (mut of_classes, mut units, mut values, mut weights) = (vec![], vec![], vec![], vec![]);
    for arena in arenas() {
        match &arena.values {
            Values::Shares { weights, unit, .. } => {
                of_classes.extend(weights.iter());
                units.push(*unit);
            }
            Values::Numbers { numbers, weights: of_nodes, .. } => {
                values.extend_from_slice(numbers);
                weights.extend_from_slice(of_nodes);
            }
        }
    }
    let outputs = trees.first().map_or(0, Tree::outputs);
    writer = if units.is_empty() {
        writer.tensor_f64("values", &[count, outputs], &values).tensor_f64("weights", &[count], &weights)
    } else {
        writer.tensor_u32("classes", &[count, outputs], &of_classes).tensor_f64(
            "units",
            &[units.len()],
            &units,
        )
    };
    Ok(writer)
}

/// The trees of a file, one at least, which read `fields` under a policy for unseen categories.
///
/// # Errors
/// When a part is not there, or parts do not fit each other.
pub fn from_file(
    file: &ModelFile<'_>,
    fields: &[Field],
    unseen: Unseen,
    outputs: usize,
) -> Result<Vec<Tree>> {
    let inputs: Vec<Input> = file.metadata("bins")?;
    check_inputs(fields, &inputs).map_err(|what| file.error(what))?;
    let rows_of = |name: &str| Ok::<_, Error>(file.shape(name)?.first().copied().unwrap_or(0));
    let (count, sets, starts) = (rows_of("nodes")?, rows_of("sets")?, rows_of("starts")?);
    let starts = file.tensor_u32("starts", &[starts])?;
    let ends = starts.first().zip(starts.last()).map(|(first, last)| (*first, *last as usize));
    if starts.len() < 2 || ends != Some((0, count)) || !starts.is_sorted() {
        return Err(file.error("its trees do not share its nodes out among them"));
    }
    let nodes = file.tensor_u32("nodes", &[count, 2])?;
    let (nodes, _) = nodes.as_chunks::<2>();
    let sets = file.tensor_u32("sets", &[sets, SET])?;
    let word = |set: &[u32; SET], i: usize| u64::from(set[2 * i]) | u64::from(set[2 * i + 1]) << 32;
    let mut sets = sets.as_chunks::<SET>().0.iter().map(|set| std::array::from_fn(|i| word(set, i)));
    let splits = nodes.iter().filter(|[right, _]| *right != 0).count();
    let features = file.tensor_u32("features", &[splits])?;
    let thresholds = file.tensor_f64("thresholds", &[splits])?;
    let gains = file.tensor_f64("gains", &[splits])?;
    let trees = starts.len() - 1;
    let shares = match file.tensors().any(|name| name == "classes") {
        true => Some((file.tensor_u32("classes", &[count, outputs])?, file.tensor_f64("units", &[trees])?)),
        false => None,
    };
    let numbers = match shares {
        Some(_) => None,
        None => Some((file.tensor_f64("values", &[count, outputs])?, file.tensor_f64("weights", &[count])?)),
    };
    let inputs = Input::all_with(&inputs, unseen);
    let mut next_split = 0;
    let tree = |(number, ends): (usize, &[u32])| {
        let places = ends[0] as usize..ends[1] as usize;
        let of_outputs = places.start * outputs..places.end * outputs;
        let values = match (&shares, &numbers) {
            (Some((weights, units)), _) => Values::Shares {
                classes: outputs,
                weights: weights[of_outputs].iter().copied().collect(),
                unit: units[number],
            },
            (None, Some((numbers, weights))) => Values::Numbers {
                outputs,
                numbers: numbers[of_outputs].to_vec(),
                weights: weights[places.clone()].to_vec(),
            },
            (None, None) => Values::numbers(outputs),
        };
        let mut arena = Arena::new(values.of_none(), places.len());
        arena.values = values;
        for [right, rows] in &nodes[places] {
            arena.divided.push(*right != 0);
            arena.rows.push(*rows);
            if *right != 0 {
                let (feature, mut test) = (features[next_split], thresholds[next_split].to_bits());
                if feature & CATEGORY != 0 {
                    let set = sets.next().ok_or_else(|| file.error(format!("tree {number} lacks a set")))?;
                    test = arena.sets.len() as u64;
                    arena.sets.push(set);
                }
                arena.splits.push(Split { gain: gains[next_split], test, feature, right: *right });
                next_split += 1;
            }
        }
        arena.check(&inputs).map_err(|what| file.error(format!("tree {number}: {what}")))?;
        Ok(Tree { inputs: Arc::clone(&inputs), nodes: arena })
    };
    let trees = starts.windows(2).enumerate().map(tree).collect::<Result<_>>()?;
    if sets.next().is_some() {
        Err(file.error("it has more sets than splits of categories"))
    } else {
        Ok(trees)
    }
}

/// Numbers of a set in a file.
const SET: usize = 8;

fn check_inputs(fields: &[Field], inputs: &[Input]) -> Result<(), String> {
    if fields.is_empty() || fields.len() != inputs.len() {
        return Err(format!("there are bins of {} inputs and {} inputs", inputs.len(), fields.len()));
    }
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two inputs are called {:?}", pair[0]));
    }
    let known = |bin: &u8| *bin == UNKNOWN || usize::from(*bin) < MOST_CATEGORIES;
    for (field, input) in fields.iter().zip(inputs) {
        let fits = match (&field.kind, input) {
            (Kind::Numeric | Kind::Boolean, Input::Number) => true,
            // Numbers of categories, whose model reads them itself.
            (Kind::Numeric | Kind::Boolean, Input::Category(bins)) => bins.bins().iter().all(known),
            (Kind::Categorical { dictionary }, Input::Category(bins)) => {
                let bins = bins.bins();
                bins.len() == dictionary.len()
                    && dictionary.is_sorted_by(|a, b| a < b)
                    && bins.iter().all(known)
            }
            _ => false,
        };
        if !fits {
            return Err(format!("the bins of input {:?} do not fit its kind", field.name));
        }
    }
    Ok(())
}
