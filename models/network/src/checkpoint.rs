//! Training that stops and goes on with the same bits.

use crate::plan::Plan;
use crate::{Initialiser, Loss, Optimiser};
use crate::{Layer, Network, Settings, Trainer};
use tilewise_base::model_file::Writer;
use tilewise_base::{ModelFile, Result};
use tilewise_kernels::Float;

/// What the file calls itself.
const KIND: &str = "network-checkpoint";

impl<T: Float> Trainer<T> {
    /// Everything that the next step depends on, as the bytes of a safetensors file: layers, weights, running numbers, what the
    /// optimiser keeps, how many steps are done. Numbers are `f64` there, which is exact.
    ///
    /// # Errors
    /// When there is too much for a file.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        let Settings { loss, optimiser, weight_decay, clip, seed, class_weights, .. } = &self.settings;
        let metadata = serde_json::json!({
            "inputs": self.network.inputs(),
            "layers": self.network.layers(),
            "loss": loss,
            "optimiser": optimiser,
            "weight_decay": weight_decay,
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
