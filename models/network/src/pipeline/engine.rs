//! The layers of a model at work, by the numbers that they are computed in.

use super::{KIND, Precision};
use crate::plan::Plan;
use crate::{Layer, Network, Predictor, QuantisedNetwork};
use serde_json::Value;
use tilewise_base::model_file::Writer;
use tilewise_base::{Context, Error, ModelFile, Result};
use tilewise_kernels::{Float, MatRef};

/// What metadata tell under `precision` of files whose weights are of 8 bits; where they are of 32 bits they tell nothing.
const INT8: &str = "int8";

/// The same of 64 bits.
const DOUBLE: &str = "f64";

/// The layers.
pub(super) enum Engine {
    Floats(Predictor<f32>),
    Doubles(Predictor<f64>),
    /// Weights of 8 bits.
    Bytes(QuantisedNetwork),
}

impl Engine {
    /// Of a network that was trained.
    pub(super) fn of<T: Float>(network: &Network<T>, precision: Precision) -> Result<Self> {
        Ok(match precision {
            Precision::Single => Self::Floats(Predictor::new(network.cast())?),
            Precision::Double => Self::Doubles(Predictor::new(network.cast())?),
        })
    }

    /// With weights of 8 bits, by the rows of `x`.
    pub(super) fn quantised(
        network: &Network<f32>,
        x: MatRef<'_, f32>,
        context: &Context<'_>,
    ) -> Result<Self> {
        Ok(Self::Bytes(QuantisedNetwork::within(network, x, context)?))
    }

    /// The network, in another type.
    pub(super) fn network<T: Float>(&self) -> Result<Network<T>> {
        match self {
            Self::Floats(predictor) => Ok(predictor.network().cast()),
            Self::Doubles(predictor) => Ok(predictor.network().cast()),
            Self::Bytes(_) => {
                let what = "the model to go on with has weights of 8 bits, which are for answers alone; the one that was \
                            quantised is accepted";
                Err(Error::Fit(what.into()))
            }
        }
    }

    /// Reads the tensors of these layers, of which `plan` was made.
    pub(super) fn load(file: &ModelFile<'_>, inputs: usize, layers: &[Layer], plan: Plan) -> Result<Self> {
        let refuse = |e: Error| file.error(e.to_string());
        match file.optional::<String>("precision")?.as_deref() {
            None => {
                // Every tensor's shape is compared before memory is taken for all of them.
                plan.check(file)?;
                let mut network = Network::zeros(inputs, layers, plan);
                network.set_tensors(|name, shape| file.tensor_f32(name, shape)).map_err(refuse)?;
                Ok(Self::Floats(Predictor::new(network)?))
            }
            Some(DOUBLE) => {
                plan.check(file)?;
                let mut network = Network::zeros(inputs, layers, plan);
                network.set_tensors(|name, shape| file.tensor_f64(name, shape)).map_err(refuse)?;
                Ok(Self::Doubles(Predictor::new(network)?))
            }
            Some(INT8) => {
                drop(plan);
                Ok(Self::Bytes(QuantisedNetwork::from_file(file, inputs, layers)?))
            }
            Some(other) => {
                Err(file.error(format!("its precision is {other:?}; {DOUBLE:?} and {INT8:?} are known")))
            }
        }
    }

    /// The file of a model with these layers.
    pub(super) fn store(&self, mut metadata: Value) -> Writer {
        match self {
            Self::Floats(predictor) => {
                let tensors = predictor.network().tensors().into_iter();
                tensors.fold(Writer::new(KIND, metadata), |writer, (name, shape, data)| {
                    writer.tensor_f32(&name, &shape, &data)
                })
            }
            Self::Doubles(predictor) => {
                metadata["precision"] = DOUBLE.into();
                let tensors = predictor.network().tensors().into_iter();
                tensors.fold(Writer::new(KIND, metadata), |writer, (name, shape, data)| {
                    writer.tensor_f64(&name, &shape, &data)
                })
            }
            Self::Bytes(network) => {
                metadata["precision"] = INT8.into();
                network.store(Writer::new(KIND, metadata))
            }
        }
    }

    /// Answers for encoded rows, before any softmax or scale. Of bytes, which can be made of infinity too, the first row that is not
    /// finite in 32 bits.
    pub(super) fn answer(&self, encoded: &[f64], width: usize, answers: &mut [f64]) -> Result<Option<usize>> {
        let rows = encoded.len() / width;
        if let Self::Doubles(predictor) = self {
            predictor.predict(MatRef::new(encoded, rows, width)?, answers)?;
            return Ok(None);
        }
        let narrow: Vec<f32> = encoded.iter().map(|&x| x as f32).collect();
        let x = MatRef::new(&narrow, rows, width)?;
        let mut found = vec![0.0; answers.len()];
        let mut wrong = None;
        match self {
            Self::Floats(predictor) => predictor.predict(x, &mut found)?,
            Self::Bytes(network) => {
                wrong = narrow.iter().position(|x| !x.is_finite()).map(|at| at / width);
                network.predict(x, &mut found)?;
            }
            Self::Doubles(_) => {}
        }
        answers.iter_mut().zip(found).for_each(|(to, y)| *to = y.into());
        Ok(wrong)
    }

    /// Of the numbers between layers.
    pub(super) fn bits(&self) -> u32 {
        if let Self::Doubles(_) = self { 64 } else { 32 }
    }

    pub(super) fn layers(&self) -> &[Layer] {
        match self {
            Self::Floats(predictor) => predictor.network().layers(),
            Self::Doubles(predictor) => predictor.network().layers(),
            Self::Bytes(network) => network.layers(),
        }
    }

    /// Numbers that were learned.
    pub(super) fn parameters(&self) -> usize {
        match self {
            Self::Floats(predictor) => predictor.network().parameters(),
            Self::Doubles(predictor) => predictor.network().parameters(),
            Self::Bytes(network) => network.parameters(),
        }
    }

    /// Lines about weights that are no numbers of 32 or 64 bits.
    pub(super) fn describe(&self) -> Vec<String> {
        let Self::Bytes(network) = self else { return Vec::new() };
        let head = "weights of 8 bits, and what comes to them as bytes".to_owned();
        [head].into_iter().chain(network.describe().into_iter().map(|line| format!("  {line}"))).collect()
    }
}
