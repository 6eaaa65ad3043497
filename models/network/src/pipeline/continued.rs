//! Models of tables that go on from their weights, with the preparation that they have.

use super::{Parameters, Pipeline};
use crate::{Layer, Plateau, Schedule};
use tilewise_base::encoder::Encoder;
use tilewise_base::{Context, Dataset, Error, Result, Roles, Task};

impl Pipeline {
    /// Trains further, from the weights of this model in place of drawn ones and with its preparation of inputs and targets, on these rows,
    /// which may be others: classes are those of the model, categories that it does not know are what they are in predictions.
    ///
    /// Where the model has its [`checkpoint`](tilewise_base::Model::checkpoint) in it (it was trained here, or read from such bytes) training
    /// goes on where it was, until there are as many epochs in all as `parameters` say: on the same rows, with the same parameters and seed, to
    /// the model that they make at once, to the last bit. Else an optimiser begins anew, and there are as many epochs more; that is so too
    /// for L-BFGS, and where rows are held out or were.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); when inputs, classes or layers are not those of this model, its weights are of 8 bits, or it goes on where it
    /// was by another optimiser, in another precision, along another schedule or with rows held out; when it has more epochs already.
    pub fn continued(
        &self,
        parameters: &Parameters,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        if self.standing.is_some() {
            self.same_training(parameters)?;
        }
        Self::fit_from(Some(self), parameters, classify, dataset, roles, context)
    }

    /// That a training goes on as it was.
    fn same_training(&self, new: &Parameters) -> Result<()> {
        let differ = |name: &str, ours: String, theirs: String| {
            let accepted = format!("the model to go on with was trained with {theirs}, which is");
            Err(Error::parameter(name, ours, accepted))
        };
        let (ours, theirs) = (&new.training, &self.parameters.training);
        if new.full_batch.is_some() {
            return differ("optimiser", "lbfgs".into(), format!("{:?}", theirs.optimiser));
        }
        if ours.optimiser != theirs.optimiser {
            return differ("optimiser", format!("{:?}", ours.optimiser), format!("{:?}", theirs.optimiser));
        }
        if new.precision != self.parameters.precision {
            let [ours, theirs] =
                [new.precision, self.parameters.precision].map(|of| format!("{of:?}").to_lowercase());
            return differ("precision", ours, theirs);
        }
        if ours.schedule != theirs.schedule {
            return differ("schedule", format!("{:?}", ours.schedule), format!("{:?}", theirs.schedule));
        }
        if ours.plateau != theirs.plateau {
            let told =
                |plateau: Option<Plateau>| plateau.map_or("none".into(), |plateau| format!("{plateau:?}"));
            return differ("plateau", told(ours.plateau), told(theirs.plateau));
        }
        let by_epochs = matches!(ours.schedule, Schedule::Cosine | Schedule::OneCycle);
        if by_epochs && ours.epochs != theirs.epochs {
            let accepted = format!("its schedule ends with epoch {}, which is", theirs.epochs);
            return Err(Error::parameter("epochs", ours.epochs, accepted));
        }
        if new.validation > 0.0 {
            let accepted = "a training that goes on where it was holds no rows out; 0 is";
            return Err(Error::parameter("validation_fraction", new.validation, accepted));
        }
        Ok(())
    }

    /// The encoder, if these columns are its inputs.
    pub(super) fn same_inputs(&self, inputs: &[String]) -> Result<&Encoder> {
        let ours: Vec<&str> = self.encoder.inputs().iter().map(|field| field.name.as_str()).collect();
        match inputs.iter().find(|name| !ours.contains(&name.as_str())) {
            Some(name) => {
                let what = format!("is no input of the model to go on with, which has {}", ours.join(", "));
                Err(Error::column(name, what))
            }
            // What it has besides is missed where rows are encoded.
            None => Ok(&self.encoder),
        }
    }

    /// That it answers the same by the same layers.
    pub(super) fn same_answers(&self, task: &Task, layers: &[Layer]) -> Result<()> {
        if self.task != *task {
            let (ours, asked) = (self.task.names().join(", "), task.names().join(", "));
            return Err(Error::Fit(format!("the model to go on with answers {ours}, not {asked}")));
        }
        if self.engine.layers() != layers {
            let told = |layers: &[Layer]| layers.iter().map(Layer::describe).collect::<Vec<_>>().join("; ");
            let (ours, asked) = (told(self.engine.layers()), told(layers));
            return Err(Error::Fit(format!("the model to go on with has other layers: {ours}; not {asked}")));
        }
        Ok(())
    }
}
