//! What the nodes of a tree predict.

use crate::counts::Counts;
use serde::{Deserialize, Serialize};

/// The values of nodes, one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Values {
    /// Shares of classes. Their weights are kept, mostly a byte each, where shares would take 8, and the weight of the node is their sum.
    Shares {
        classes: usize,
        /// Nodes x classes, in units.
        weights: Counts,
        unit: f64,
    },
    /// Any numbers, and the weights of nodes.
    Numbers {
        outputs: usize,
        /// Nodes x outputs.
        numbers: Vec<f64>,
        weights: Vec<f64>,
    },
}

impl Values {
    pub(crate) fn shares(classes: usize, unit: f64) -> Self {
        Self::Shares { classes, weights: Counts::default(), unit }
    }

    pub(crate) fn numbers(outputs: usize) -> Self {
        Self::Numbers { outputs, numbers: Vec::new(), weights: Vec::new() }
    }

    /// Room for so many nodes more.
    pub(crate) fn reserve(&mut self, nodes: usize) {
        match self {
            Self::Shares { classes, weights, .. } => weights.reserve(nodes * *classes),
            Self::Numbers { outputs, numbers, weights } => {
                numbers.reserve_exact(nodes * *outputs);
                weights.reserve_exact(nodes);
            }
        }
    }

    /// Adds a node by the weights of its classes, to shares.
    pub(crate) fn push_shares(&mut self, of_classes: impl Iterator<Item = u32>) {
        if let Self::Shares { weights, .. } = self {
            weights.extend(of_classes);
        }
    }

    /// Adds a node by its numbers, to numbers.
    pub(crate) fn push_numbers(&mut self, weight: f64, of_outputs: impl Iterator<Item = f64>) {
        if let Self::Numbers { numbers, weights, .. } = self {
            numbers.extend(of_outputs);
            weights.push(weight);
        }
    }

    /// Numbers of a node.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::Shares { classes: outputs, .. } | Self::Numbers { outputs, .. } => *outputs,
        }
    }

    /// The same of no nodes.
    pub(crate) fn of_none(&self) -> Self {
        match self {
            Self::Shares { classes, unit, .. } => Self::shares(*classes, *unit),
            Self::Numbers { outputs, .. } => Self::numbers(*outputs),
        }
    }

    /// Adds a node of another tree's, which has values of the same kind.
    pub(crate) fn push_from(&mut self, other: &Self, node: usize) {
        match other {
            Self::Shares { classes, weights, .. } => {
                self.push_shares((node * classes..(node + 1) * classes).map(|place| weights.get(place)));
            }
            Self::Numbers { outputs, numbers, weights } => {
                self.push_numbers(weights[node], numbers[node * outputs..][..*outputs].iter().copied());
            }
        }
    }

    /// The weight of a node.
    pub(crate) fn weight(&self, node: usize) -> f64 {
        match self {
            Self::Shares { classes, weights, unit } => total(weights, node, *classes) * unit,
            Self::Numbers { weights, .. } => weights[node],
        }
    }

    /// What a node predicts.
    pub(crate) fn of(
        &self,
        node: usize,
    ) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator + Clone + '_ {
        let outputs = self.outputs();
        let places = node * outputs..(node + 1) * outputs;
        let all = match self {
            Self::Shares { classes, weights, .. } => total(weights, node, *classes),
            Self::Numbers { .. } => 1.0,
        };
        places.map(move |place| match self {
            Self::Shares { weights, .. } => f64::from(weights.get(place)) / all,
            Self::Numbers { numbers, .. } => numbers[place],
        })
    }

    /// Whether there are values for so many nodes, all of them finite and of a weight that can be one.
    pub(crate) fn fit(&self, nodes: usize) -> Result<(), String> {
        let is_weight = |weight: f64| weight.is_finite() && weight >= 0.0;
        match self {
            Self::Shares { classes, weights, unit } => {
                if nodes.checked_mul(*classes) != Some(weights.len()) || *classes == 0 {
                    return Err("a node has not as many weights as there are classes".into());
                }
                let mut all = (0..nodes).map(|node| total(weights, node, *classes));
                if let Some(all) = all.find(|all| !(*all > 0.0 && is_weight(*all * unit))) {
                    return Err(format!("the classes of a node weigh {all} times {unit}"));
                }
            }
            Self::Numbers { outputs, numbers, weights } => {
                if nodes.checked_mul(*outputs) != Some(numbers.len())
                    || nodes != weights.len()
                    || *outputs == 0
                {
                    return Err("a node has not as many numbers as there are outputs".into());
                }
                if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
                    return Err(format!("a node predicts {number}, which is not finite"));
                }
                if let Some(weight) = weights.iter().find(|weight| !is_weight(**weight)) {
                    return Err(format!("a node weighs {weight}"));
                }
            }
        }
        Ok(())
    }
}

/// The sum of the weights of the classes of a node; exact, since no more than 2^53 of the largest could be there.
fn total(weights: &Counts, node: usize, classes: usize) -> f64 {
    weights.sum(node * classes..(node + 1) * classes) as f64
}
