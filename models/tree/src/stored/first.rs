//! The first layout of trees in a model file, which is read and no longer written: nodes in the order of [`Arena`], and numbers beside them
//! that prediction has to put together.

use super::rows_of;
use crate::arena::{Arena, CATEGORY, Split};
use crate::tree::Input;
use crate::values::Values;
use tilewise_base::{ModelFile, Result};

/// Whether trees are stored so.
pub(super) fn is_it(file: &ModelFile<'_>) -> bool {
    file.tensors().any(|name| name == "thresholds")
}

/// The trees of a file.
///
/// # Errors
/// When a part is not there, or parts do not fit each other.
pub(super) fn read(file: &ModelFile<'_>, inputs: &[Input], outputs: usize) -> Result<Vec<Arena>> {
    let (count, sets) = (rows_of(file, "nodes")?, rows_of(file, "sets")?);
    let starts = super::starts(file, count)?;
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
        arena.check(inputs).map_err(|what| file.error(format!("tree {number}: {what}")))?;
        Ok(arena)
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
