//! Training that stops and goes on with the same bits: of a [`Trainer`], by a file of its own, and of a [`Training`](crate::Training), by its
//! [`Standing`] beside the weights, which a model's file can have too.

use crate::plan::Plan;
use crate::schedule::{Watch, Watched};
use crate::{Initialiser, Loss, Optimiser};
use crate::{Layer, Network, Settings, Trainer};
use serde::{Deserialize, Serialize};
use tilewise_base::model_file::Writer;
use tilewise_base::{Error, FitReport, ModelFile, Result};
use tilewise_kernels::Float;

/// What the file calls itself.
const KIND: &str = "network-checkpoint";

/// All that the next epoch of a training depends on besides the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub(crate) epochs: u64,
    pub(crate) steps: u64,
    pub(crate) passes: u64,
    /// The loss of the last epoch, and the least of all.
    pub(crate) last: f64,
    pub(crate) least: f64,
    /// Epochs since the least one.
    pub(crate) waited: u64,
    pub(crate) watched: Watched,
    /// What the optimiser keeps, which is exact in `f64`; empty where it keeps nothing.
    #[serde(skip)]
    pub(crate) first: Vec<f64>,
    #[serde(skip)]
    pub(crate) second: Vec<f64>,
}

/// What tensors of an optimiser are called in the file of a model.
const KEPT: [&str; 2] = ["optimiser.first", "optimiser.second"];

impl Standing {
    /// Epochs that are done.
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Whether a file may hold it: squares of gradients may have come to be infinite where the weights have not.
    pub(crate) fn is_finite(&self) -> bool {
        self.first.iter().chain(&self.second).all(|x| x.is_finite())
            && self.last.is_finite()
            && self.least.is_finite()
    }

    /// The same after the epochs of a report.
    pub(crate) fn after(self, report: &FitReport, least: f64, waited: u64, watch: &Watch) -> Self {
        let (epochs, last) = (report.rounds, report.objective);
        Self { epochs, last, least, waited, watched: watch.watched, ..self }
    }

    /// Adds what the optimiser keeps to a file, whose metadata have all else.
    pub(crate) fn store(&self, writer: Writer, single: bool) -> Writer {
        let kept = KEPT.into_iter().zip([&self.first, &self.second]);
        kept.filter(|(_, data)| !data.is_empty()).fold(writer, |writer, (name, data)| match single {
            true => {
                let narrow: Vec<f32> = data.iter().map(|&x| x as f32).collect();
                writer.tensor_f32(name, &[data.len()], &narrow)
            }
            false => writer.tensor_f64(name, &[data.len()], data),
        })
    }

    /// Reads it from the file of a model with so many weights (the zeros between tensors counted), if it is there.
    ///
    /// # Errors
    /// When lengths are not those, or a number is none that a training comes to.
    pub(crate) fn of_file(file: &ModelFile<'_>, single: bool, weights: usize) -> Result<Option<Self>> {
        let Some(mut found) = file.optional::<Self>("standing")? else { return Ok(None) };
        let mut kept = [Vec::new(), Vec::new()];
        for (name, data) in KEPT.into_iter().zip(&mut kept) {
            if file.tensors().any(|tensor| tensor == name) {
                *data = match single {
                    true => file.tensor_f32(name, &[weights])?.into_iter().map(f64::from).collect(),
                    false => file.tensor_f64(name, &[weights])?,
                };
            }
            if let Some(wrong) = data.iter().find(|x| !x.is_finite() || name == KEPT[1] && **x < 0.0) {
                return Err(file.error(format!("tensor {name:?} holds {wrong}")));
            }
        }
        [found.first, found.second] = kept;
        if [found.epochs, found.steps, found.passes, found.waited].iter().any(|&n| n > 1 << 53) {
            return Err(file.error("its training had more steps than can be counted"));
        }
        if !(found.last.is_finite() && found.least.is_finite() && found.watched.is_usable()) {
            return Err(file.error("the losses that its training saw are no numbers"));
        }
        Ok(Some(found))
    }
}

impl<T: Float> Trainer<T> {
    /// Where it is; the epochs and their losses are those of whoever counts them.
    pub(crate) fn standing(&self) -> Standing {
        let wide = |kept: &[T]| kept.iter().map(|x| x.to_f64()).collect();
        Standing {
            epochs: 0,
            steps: self.steps,
            passes: self.passes,
            last: 0.0,
            least: 0.0,
            waited: 0,
            watched: Watched::default(),
            first: wide(&self.state.first),
            second: wide(&self.state.second),
        }
    }

    /// Goes to where another one with the same weights was.
    ///
    /// # Errors
    /// When what is kept is not what this one's optimiser keeps for its weights.
    pub(crate) fn stand(&mut self, at: &Standing) -> Result<()> {
        for (to, from) in [(&mut self.state.first, &at.first), (&mut self.state.second, &at.second)] {
            if to.len() != from.len() {
                let (kept, needed) = (from.len(), to.len());
                return Err(Error::Fit(format!(
                    "the training to go on with kept {kept} numbers where this optimiser keeps {needed}: it was another one, or of other layers"
                )));
            }
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = T::from_f64(from));
        }
        (self.steps, self.passes) = (at.steps, at.passes);
        Ok(())
    }

    /// Everything that the next step depends on, as the bytes of a safetensors file: layers, weights, running numbers, what the
    /// optimiser keeps, how many steps are done. Numbers are `f64` there, which is exact.
    ///
    /// # Errors
    /// When there is too much for a file.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        let Settings { loss, optimiser, weight_decay, clip, seed, class_weights, .. } = &self.settings;
        let decay_biases = self.settings.decay_biases;
        let metadata = serde_json::json!({
            "inputs": self.network.inputs(),
            "layers": self.network.layers(),
            "loss": loss,
            "optimiser": optimiser,
            "weight_decay": weight_decay,
            "decay_biases": decay_biases,
            "clip": clip,
            "class_weights": class_weights,
            "seed": seed,
            "steps": self.steps,
            "passes": self.passes,
            "element": std::any::type_name::<T>(),
        });
        self.arenas()
            .into_iter()
            .fold(Writer::new(KIND, metadata), |writer, (name, data)| {
                let wide: Vec<f64> = data.iter().map(|x| x.to_f64()).collect();
                writer.tensor_f64(name, &[wide.len()], &wide)
            })
            .to_bytes()
    }

    /// A trainer that goes on where the one that wrote `bytes` was: every further step has the bits that it would have had, at any number
    /// of threads, with either scheme. `settings` must be those of that trainer (but for the scheme); `capacity` may differ where batches are not
    /// cut into pieces of that size ([`Trainer::step_in_pieces`]), which decides what pieces are.
    ///
    /// # Errors
    /// When the bytes are no checkpoint, parts of it do not fit each other, its layers are too large (2^28 numbers of a row are accepted), a number is not finite, or a setting is another one (it
    /// is named).
    pub fn resume(bytes: &[u8], settings: Settings, capacity: usize) -> Result<Self> {
        let file = ModelFile::parse(bytes)?;
        if file.kind() != KIND {
            return Err(file.error(format!("it holds a {}, not a checkpoint of a network", file.kind())));
        }
        let (inputs, layers): (usize, Vec<Layer>) = (file.metadata("inputs")?, file.metadata("layers")?);
        let (loss, optimiser): (Loss, Optimiser) = (file.metadata("loss")?, file.metadata("optimiser")?);
        for (name, same) in [
            ("element", file.metadata::<String>("element")? == std::any::type_name::<T>()),
            ("loss", loss == settings.loss),
            ("optimiser", optimiser == settings.optimiser),
            ("weight_decay", file.metadata::<f64>("weight_decay")? == settings.weight_decay),
            // Of files of before there was the choice all weights decay.
            ("decay_biases", file.optional("decay_biases")?.unwrap_or(true) == settings.decay_biases),
            ("clip", file.metadata::<Option<f64>>("clip")? == settings.clip),
            ("class_weights", file.metadata::<Option<Vec<f64>>>("class_weights")? == settings.class_weights),
            ("seed", file.metadata::<u64>("seed")? == settings.seed),
        ] {
            if !same {
                return Err(file.error(format!("its {name} is not that of the settings")));
            }
        }
        // Lengths are compared before memory is taken for them.
        let plan = Plan::new(inputs, &layers).map_err(|e| file.error(e.to_string()))?;
        if *file.shape("weights")? != [plan.weights] || *file.shape("running")? != [plan.running_len] {
            return Err(file.error("it has not as many numbers as its layers need"));
        }
        let network = Network::new(inputs, &layers, Initialiser::Auto, 0)?;
        let mut trainer = Self::new(network, settings, capacity)?;
        for (name, data) in trainer.arenas_mut() {
            let found = file.tensor_f64(name, &[data.len()])?;
            if let Some(wrong) = found.iter().find(|x| !x.is_finite() || name == "second" && **x < 0.0) {
                return Err(file.error(format!("tensor \"{name}\" holds {wrong}")));
            }
            data.iter_mut().zip(found).for_each(|(x, found)| *x = T::from_f64(found));
        }
        (trainer.steps, trainer.passes) = (file.metadata("steps")?, file.metadata("passes")?);
        Ok(trainer)
    }

    fn arenas(&self) -> [(&'static str, &[T]); 4] {
        let Self { network, state, .. } = self;
        [
            ("weights", &network.weights),
            ("running", &network.running),
            ("first", &state.first),
            ("second", &state.second),
        ]
    }

    fn arenas_mut(&mut self) -> [(&'static str, &mut [T]); 4] {
        let Self { network, state, .. } = self;
        [
            ("weights", &mut network.weights),
            ("running", &mut network.running),
            ("first", &mut state.first),
            ("second", &mut state.second),
        ]
    }
}
