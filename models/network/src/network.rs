//! Layers and their weights.

use crate::arena::Arena;
use crate::pass::InArena;
use crate::plan::{Plan, Tensor};
use crate::predictor::answer;
use crate::{Function, Initialiser, Layer};
use std::fmt;
use std::sync::Mutex;
use tilewise_base::{Error, Result};
use tilewise_kernels::{Float, MatRef};

/// Whether one of `layers`, or of those inside them, is a sigmoid.
fn has_sigmoid(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| match layer {
        Layer::Activate { function } => *function == Function::Sigmoid,
        Layer::Residual { layers } => has_sigmoid(layers),
        _ => false,
    })
}

/// A network: its layers, the plan made of them, and weights.
#[derive(Clone)]
pub struct Network<T: Float> {
    inputs: usize,
    layers: Vec<Layer>,
    pub(crate) plan: Plan,
    pub(crate) weights: Arena<T>,
    pub(crate) running: Arena<T>,
}

impl<T: Float> Network<T> {
    /// Layers behind `inputs` columns, with weights drawn by `seed`. O(weights).
    ///
    /// # Errors
    /// When a layer's numbers or widths make no sense (it is named by its place), or nothing learns.
    pub fn new(inputs: usize, layers: &[Layer], initialiser: Initialiser, seed: u64) -> Result<Self> {
        let mut network = Self::zeros(inputs, layers, Plan::new(inputs, layers)?);
        let sigmoid = has_sigmoid(layers);
        initialiser.fill(&network.plan.tensors, sigmoid, seed, &mut network.weights);
        // Means and variances, which nothing is drawn for.
        Initialiser::Auto.fill(&network.plan.running, false, seed, &mut network.running);
        Ok(network)
    }

    /// With weights of 0, of the plan that was made of these layers.
    pub(crate) fn zeros(inputs: usize, layers: &[Layer], plan: Plan) -> Self {
        let (weights, running) = (Arena::zeros(plan.weights), Arena::zeros(plan.running_len));
        Self { inputs, layers: layers.to_vec(), plan, weights, running }
    }

    /// Columns of a row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Columns of an answer.
    pub fn outputs(&self) -> usize {
        self.plan.outputs()
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Numbers that are learned.
    pub fn parameters(&self) -> usize {
        self.plan.tensors.iter().map(|t| t.range.len()).sum()
    }

    /// All weights as one slice, tensors in the order of [`tensors`](Self::tensors), matrices as inputs x outputs. Between tensors lie
    /// a few zeros.
    pub fn weights(&self) -> &[T] {
        &self.weights
    }

    /// The same to be changed.
    pub fn weights_mut(&mut self) -> &mut [T] {
        &mut self.weights
    }

    /// Takes the numbers of a network of the same layers.
    pub(crate) fn take(&mut self, other: &Self) {
        self.weights.copy_from_slice(&other.weights);
        self.running.copy_from_slice(&other.running);
    }

    /// The same with numbers of another type, rounded to it.
    pub(crate) fn cast<U: Float>(&self) -> Network<U> {
        let mut network = Network::zeros(self.inputs, &self.layers, self.plan.clone());
        let arenas = [(&mut network.weights, &self.weights), (&mut network.running, &self.running)];
        for (to, from) in arenas {
            to.iter_mut().zip(&**from).for_each(|(to, from)| *to = U::from_f64(from.to_f64()));
        }
        network
    }

    /// All tensors, matrices as inputs x outputs.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Tensor, &[T])> {
        let learned = self.plan.tensors.iter().map(|t| (t, &self.weights[t.range.clone()]));
        learned.chain(self.plan.running.iter().map(|t| (t, &self.running[t.range.clone()])))
    }

    /// Names, shapes and numbers of all tensors as PyTorch's `Sequential` of the same layers has them: `0.weight` (outputs x inputs),
    /// `0.bias`, and `1.running_mean` of batch norms; a layer inside of residual layer 3 is `3.0`.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, Vec<T>)> {
        let torch = |(tensor, data): (&Tensor, &[T])| {
            let mut outside = vec![T::ZERO; data.len()];
            data.iter().enumerate().for_each(|(i, &x)| outside[tensor.place(i)] = x);
            (tensor.name.clone(), tensor.outside(), outside)
        };
        self.all().map(torch).collect()
    }

    /// Takes weights from tensors as [`tensors`](Self::tensors) gives them; `get` is asked by name and shape.
    ///
    /// # Errors
    /// Those of `get`; when a length is not that of the shape, or a number is not finite (names the tensor).
    pub fn set_tensors(&mut self, mut get: impl FnMut(&str, &[usize]) -> Result<Vec<T>>) -> Result<()> {
        let plan = &self.plan;
        let learned = plan.tensors.iter().map(|t| (t, true));
        for (tensor, learned) in learned.chain(plan.running.iter().map(|t| (t, false))) {
            let data = get(&tensor.name, &tensor.outside())?;
            let name = &tensor.name;
            if data.len() != tensor.range.len() {
                let (found, wanted) = (data.len(), tensor.range.len());
                return Err(Error::Fit(format!(
                    "tensor {name} has {found} numbers where the layers need {wanted}"
                )));
            }
            if data.iter().any(|x| !x.is_finite())
                || name.ends_with("running_var") && data.iter().any(|x| *x < T::ZERO)
            {
                return Err(Error::Fit(format!(
                    "tensor {name} holds a number that is not finite, or a negative variance"
                )));
            }
            let arena = if learned { &mut self.weights } else { &mut self.running };
            let to = &mut arena[tensor.range.clone()];
            to.iter_mut().enumerate().for_each(|(i, w)| *w = data[tensor.place(i)]);
        }
        Ok(())
    }

    /// Answers for `x`, rows x inputs, into `out`, rows x outputs: what the last layer gives, before any softmax. Blocks of rows run in
    /// parallel; a row's answer has the same bits alone or among others. Who asks more than once is
    /// served faster by a [`Predictor`](crate::Predictor).
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict(&self, x: MatRef<'_, T>, out: &mut [T]) -> Result<()> {
        answer(self, &InArena, &Mutex::default(), x, out)
    }
}

impl<T: Float> fmt::Debug for Network<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({} inputs, {:?})", self.inputs, self.layers)
    }
}
