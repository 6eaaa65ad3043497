//! Answers again and again: weights packed once, working memory kept.

use crate::network::Network;
use crate::pass::{Bytes, Mode, Operands, Products, Workspace, forward};
use crate::plan::{Op, Plan};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use tilewise_base::Result;
use tilewise_kernels::{Float, MatMut, MatRef, PackedB, parallel, same};

/// Rows that one thread takes at a time: the kernels then read them where they are, and what a layer made of them stays in the
/// second-level cache.
const BLOCK: usize = 128;
/// Numbers of a block in all layers: wide networks take fewer rows.
const NUMBERS: usize = 4 << 20;

/// A network for answers alone. Its dense weights are there twice, as they are and packed for the products, so it is for who asks more
/// than once. Answers have the bits of [`Network::predict`].
pub struct Predictor<T: Float> {
    network: Network<T>,
    packed: Vec<Option<PackedB<T>>>,
    /// Memory that threads have given back.
    spare: Mutex<Vec<Workspace<T>>>,
}

impl<T: Float> Predictor<T> {
    /// O(weights).
    ///
    /// # Errors
    /// None are known: shapes are those of the plan.
    pub fn new(network: Network<T>) -> Result<Self> {
        let mut packed = Vec::new();
        for step in &network.plan.steps {
            packed.push(match &step.op {
                // A single column is not packed: that product is a sum along rows.
                Op::Dense { weight, .. } if network.plan.slots[step.output].width > 1 => {
                    let (k, n) =
                        (network.plan.slots[step.input].width, network.plan.slots[step.output].width);
                    Some(PackedB::new(MatRef::new(&network.weights[weight.clone()], k, n)?))
                }
                _ => None,
            });
        }
        Ok(Self { network, packed, spare: Mutex::default() })
    }

    /// The network.
    pub fn network(&self) -> &Network<T> {
        &self.network
    }

    /// As [`Network::predict`]. Allocates no memory once as many threads as there are were at work, where layers are not
    /// convolutions.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict(&self, x: MatRef<'_, T>, out: &mut [T]) -> Result<()> {
        answer(&self.network, &self.packed, &self.spare, x, out)
    }
}

impl<T: Float> fmt::Debug for Predictor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predictor({:?})", self.network)
    }
}

/// Weights of each step that are packed.
impl<T: Float> Products<T> for Vec<Option<PackedB<T>>> {
    fn multiply(
        &self,
        number: usize,
        operands: &Operands<'_, T>,
        _: &mut Bytes,
        y: &mut [T],
    ) -> Result<bool> {
        let Some(packed) = self.get(number).and_then(Option::as_ref) else { return Ok(false) };
        let Operands { x, rows, inputs, outputs, .. } = *operands;
        operands.gemm().run(MatRef::new(x, rows, inputs)?, packed, MatMut::new(y, rows, outputs)?)?;
        Ok(true)
    }
}

/// Answers for `x` into `out`, blocks of rows in parallel.
pub(crate) fn answer<T: Float>(
    network: &Network<T>,
    products: &dyn Products<T>,
    spare: &Mutex<Vec<Workspace<T>>>,
    x: MatRef<'_, T>,
    out: &mut [T],
) -> Result<()> {
    let plan = &network.plan;
    same("numbers of out against rows times outputs", x.rows() * network.outputs(), out.len())?;
    let (in_place, each) = (reads_input_once(plan), network.outputs() * block(plan));
    blocks(network, products, spare, (x, in_place), (out, each), |work, rows, out| {
        out.copy_from_slice(&work.values[plan.slots[plan.last()].range(work.capacity, rows)]);
    })
}

/// Rows of a block.
pub(crate) fn block(plan: &Plan) -> usize {
    BLOCK.min(NUMBERS / plan.slots_len(1)).max(1)
}

/// Goes forward through blocks of rows of `x`, in parallel; `take` what is in all slots, for so many rows, into the part of the block in
/// `out`, of which each has so many numbers. With `in_place` slot 0 need not be there.
pub(crate) fn blocks<T: Float, U: Send>(
    network: &Network<T>,
    products: &dyn Products<T>,
    spare: &Mutex<Vec<Workspace<T>>>,
    (x, in_place): (MatRef<'_, T>, bool),
    (out, each): (&mut [U], usize),
    take: impl Fn(&Workspace<T>, usize, &mut [U]) + Sync,
) -> Result<()> {
    let (plan, inputs) = (&network.plan, network.inputs());
    same("columns of x against inputs of the network", inputs, x.cols())?;
    let block = block(plan);
    let failed = Mutex::new(None);
    parallel::for_each_chunk_mut(out, each, |i, out| {
        let first = i * block;
        let rows = block.min(x.rows() - first);
        let kept = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // One that is too small was for fewer rows.
        let kept = kept.filter(|work| work.capacity >= rows);
        let work = kept.map_or_else(|| Workspace::new(plan, rows, false), Ok);
        let fail = |e| {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
        };
        let mut work = match work {
            Ok(work) => work,
            Err(e) => return fail(e),
        };
        let input = x.row_range(first..first + rows).as_slice().filter(|_| in_place);
        if input.is_none() {
            for (r, to) in work.values[..rows * inputs].chunks_exact_mut(inputs).enumerate() {
                match x.row(first + r) {
                    Some(row) => to.copy_from_slice(row),
                    None => to.iter_mut().enumerate().for_each(|(j, to)| *to = x.get(first + r, j)),
                }
            }
        }
        let mode = Mode::Predict { running: &network.running, products, input };
        let passed = parallel::on_this_thread(|| forward(plan, &network.weights, &mut work, rows, mode));
        if let Err(e) = passed {
            // A shape that is too long for so many rows, which the plan was asked about for one.
            return fail(e);
        }
        take(&work, rows, out);
        spare.lock().unwrap_or_else(PoisonError::into_inner).push(work);
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Whether the first step alone reads the input, so that it can be read where it is.
fn reads_input_once(plan: &Plan) -> bool {
    let reads = |op: &Op, input: usize| input == 0 || matches!(op, Op::Join { fork: 0 });
    plan.steps.iter().filter(|step| reads(&step.op, step.input)).count() == 1
}
