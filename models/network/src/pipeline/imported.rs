//! Models from files of ONNX: those that we wrote of models of tables, and networks that get their rows as they are.

use super::{Engine, Parameters, Pipeline, Precision, Scale};
use crate::exported::{Exported, is_of_a_table};
use crate::{Imported, Network};
use tilewise_base::encoder::Encoder;
use tilewise_base::onnx;
use tilewise_base::{Error, FitReport, Result, Task};

/// Most columns of rows and of answers, each of which gets a name.
const MOST_COLUMNS: usize = 1 << 18;

/// Whether a file that begins so, with 16 bytes or more, is one of ONNX: its first field is the version of the format, a small number, and
/// another one follows.
pub fn is_onnx(bytes: &[u8]) -> bool {
    // The fields of a file that have a length, 0x42 being the versions of operators, and 0x28, a whole number, the model's version.
    const FIELDS: [u8; 10] = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72, 0xa2, 0xca];
    let is_file =
        matches!(bytes, [0x08, version, field, ..] if (1..=64).contains(version) && FIELDS.contains(field));
    // The length of a header of ours may have these bytes, but a brace behind them.
    is_file && bytes.get(4..9) != Some(b"\0\0\0\0{")
}

impl Pipeline {
    /// Reads a model from a file of ONNX; `file` is what errors call it. One that [`Pipeline::to_onnx`] wrote comes back with its inputs, their
    /// categories, its target and its classes, and gives the same answers, to the last bit where its weights were of 32 bits; how it was
    /// trained the file does not tell. Any other is a network ([`Network::from_onnx`]). Its inputs are numbers called x0, x1 and so
    /// on, none of which may be missing. A softmax at the end makes its answers probabilities of the classes 0, 1 and so on; without, one output is a
    /// number, and several are the numbers y0, y1 and so on.
    ///
    /// # Errors
    /// When it is none, or holds what is not read (names the node), or has more than 262,144 inputs or outputs.
    pub fn from_onnx(bytes: &[u8], file: &str) -> Result<Self> {
        let refuse = |what: String| Error::ModelFile { file: file.to_owned(), what };
        let told = |e: Error| refuse(e.to_string());
        let model = onnx::parse(bytes).map_err(told)?;
        if is_of_a_table(&model) {
            let Exported { encoder, network, scales, task, target } =
                Exported::read(model, bytes.len()).map_err(told)?;
            return Self::whole(&network, encoder, scales, task, target);
        }
        let Some(graph) = model.graph else { return Err(refuse("has no graph".to_owned())) };
        let Imported { network, softmax } = Network::of_graph(&graph, bytes.len()).map_err(told)?;
        let (inputs, outputs) = (network.inputs(), network.outputs());
        if inputs.max(outputs) > MOST_COLUMNS {
            return Err(refuse(format!(
                "has {inputs} inputs and {outputs} outputs; up to {MOST_COLUMNS} of each are accepted"
            )));
        }
        let task = match (softmax, outputs) {
            (true, 1) => return Err(refuse("has a softmax of one output, which is always 1".to_owned())),
            (true, _) => Task::Classification { classes: (0..outputs).map(|i| i.to_string()).collect() },
            (false, 1) => Task::Regression,
            (false, _) => Task::Outputs { names: (0..outputs).map(|i| format!("y{i}")).collect() },
        };
        let encoder = Encoder::plain((0..inputs).map(|i| format!("x{i}")), false)?;
        Self::whole(&network, encoder, vec![Scale::NONE; outputs], task, String::new())
    }

    /// Of all layers and what is around them.
    fn whole(
        network: &Network<f32>,
        encoder: Encoder,
        scales: Vec<Scale>,
        task: Task,
        target: String,
    ) -> Result<Self> {
        let report = FitReport {
            converged: true,
            stopped: "read from a file of ONNX".to_owned(),
            objective: f64::NAN,
            optimality: 0.0,
            rounds: 0,
            warnings: Vec::new(),
        };
        // Of a training that is not known.
        let parameters = Parameters {
            hidden: Vec::new(),
            body: Some(network.layers().to_vec()),
            validation: 0.0,
            ..Parameters::default()
        };
        Ok(Self {
            parameters,
            encoder,
            whole: true,
            engine: Engine::of(network, Precision::Single)?,
            scales,
            target,
            task,
            seed: 0,
            report,
            standing: None,
        })
    }
}
