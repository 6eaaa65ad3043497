//! Models of other libraries in our files.

use super::cells::Reading;
use super::model::{ForeignModel, KIND, Scale};
use crate::Ensemble;
use tilewise_base::{Field, Kind, ModelFile, Result, Unseen};
use tilewise_tree::{Input, stored};

impl ForeignModel {
    pub(super) fn store(&self) -> Result<Vec<u8>> {
        let trees: Vec<_> = self.in_order().cloned().collect();
        stored::to_bytes(KIND, self.told(), &trees)
    }

    /// What the file says beside trees.
    pub(super) fn told(&self) -> serde_json::Value {
        serde_json::json!({
            "bins": self.in_order().next().map_or(&[][..], |tree| tree.inputs()),
            "inputs": self.inputs,
            "library": self.library,
            "link": self.link,
            "order": self.order,
            "readings": self.readings,
            "refuses_unseen": self.refuses_unseen,
            "report": self.report,
            "scale": self.scale,
            "task": self.task,
        })
    }

    /// Reads a model from our file of it.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let inputs: Vec<Field> = file.metadata("inputs")?;
        let readings: Vec<Reading> = file.metadata("readings")?;
        let trees = stored::from_file(file, &inputs, Unseen::Majority, 1)?;
        let read = trees.first().map_or(&[][..], |tree| tree.inputs());
        for ((field, reading), input) in inputs.iter().zip(&readings).zip(read) {
            let fits = match (reading, input, &field.kind) {
                (Reading::AsIs, Input::Number, Kind::Numeric) => true,
                (Reading::ZeroIsMissing, Input::Number, Kind::Numeric) => true,
                (Reading::AsIs, Input::Category(_), Kind::Categorical { .. }) => true,
                (Reading::Places { of, .. }, Input::Category(bins), Kind::Numeric | Kind::Boolean) => {
                    bins.bins().len() == of.len() && of.is_sorted_by(|a, b| a < b)
                }
                _ => false,
            };
            if !fits {
                return Err(file.error(format!("input {:?} is not read as its kind is", field.name)));
            }
        }
        let (order, scale): (Vec<u32>, Scale) = (file.metadata("order")?, file.metadata("scale")?);
        if order.len() != trees.len() {
            return Err(file.error(format!(
                "it tells the scores of {} trees and has {}",
                order.len(),
                trees.len()
            )));
        }
        let mut of_scores = vec![Vec::new(); scale.plus.len()];
        for (tree, &score) in trees.into_iter().zip(&order) {
            let of_score = of_scores.get_mut(score as usize);
            of_score
                .ok_or_else(|| file.error(format!("a tree adds to score {score}, which is not there")))?
                .push(tree);
        }
        let model = Self {
            library: file.metadata("library")?,
            ensemble: Ensemble::new(vec![0.0; of_scores.len()], of_scores)?,
            link: file.metadata("link")?,
            refuses_unseen: file.metadata("refuses_unseen")?,
            report: file.metadata("report")?,
            task: file.metadata("task")?,
            inputs,
            readings,
            order,
            scale,
        };
        model.check().map_err(|what| file.error(what))?;
        Ok(model)
    }
}
