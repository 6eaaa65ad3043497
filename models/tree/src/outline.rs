//! Trees with the names of columns and classes.

use crate::tree::{Input, Test, Tree};
use tilewise_base::model::UNSEEN;
use tilewise_base::outline::{Node, Question, Split};
use tilewise_base::{Error, Field, Outline, Result, Task};

/// Tree number `number` of a model's `trees`, which read `inputs`, as it is shown to people. Its nodes have the numbers of
/// those of the tree.
///
/// # Errors
/// When there is no such tree.
pub fn outline(trees: &[Tree], number: usize, inputs: &[Field], task: &Task) -> Result<Outline> {
    let Some(tree) = trees.get(number) else {
        let (count, s) = (trees.len(), if trees.len() == 1 { "" } else { "s" });
        return Err(Error::Fit(format!("has {count} tree{s}; there is none of that number")));
    };
    let nodes = tree.nodes().enumerate().map(|(at, node)| {
        let feature = node.feature as usize;
        let split = node.test.as_ref().map(|test| Split {
            feature,
            question: match (test, &tree.inputs()[feature]) {
                (Test::UpTo(threshold), _) => Question::UpTo(*threshold),
                (Test::Bins(_), input @ Input::Category(categories)) => {
                    let passes =
                        |place: &usize| input.saw(*place) && test.passes(input, *place as f64) == Some(true);
                    Question::OneOf((0..categories.bins().len()).filter(passes).collect())
                }
                (Test::Bins(_), Input::Number) => Question::OneOf(Vec::new()),
            },
            unseen_left: match test {
                Test::UpTo(_) => None,
                Test::Bins(_) => test.passes(&tree.inputs()[feature], UNSEEN),
            },
            missing_left: node.missing_left,
            left: node.left as usize,
            right: node.right as usize,
        });
        Node { rows: node.rows.into(), weight: node.weight, values: tree.value(at), split }
    });
    let unseen = tree.inputs().iter().map(|input| match input {
        Input::Category(categories) => {
            (0..categories.bins().len()).filter(|&place| !input.saw(place)).collect()
        }
        Input::Number => Vec::new(),
    });
    let (inputs, unseen) = (inputs.to_vec(), unseen.collect());
    Ok(Outline { inputs, unseen, task: task.clone(), nodes: nodes.collect() })
}
