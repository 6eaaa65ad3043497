//! A model as the server holds it: its columns by name, and the pieces of JSON that every reply repeats.

use crate::cost::Cost;
use crate::failure::{self, Failure};
use crate::metrics::Rows;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tilewise_base::model::UNSEEN;
use tilewise_base::unseen::Refusal;
use tilewise_base::{Field, Kind, Model, Task, Unseen};
use tilewise_kernels::{MatMut, MatRef, parallel};

/// Cells in a piece of a large request: about a tenth of a millisecond for a linear model, so that pieces cost far
/// more than handing them out, and a large request still has pieces for every core.
const PIECE_CELLS: usize = 32 * 1024;

/// What a cell of a column may be.
pub(crate) enum Accepts {
    Number,
    /// The categories it takes, text to index, and how others are refused, if they are.
    Category(HashMap<String, f64>, Option<Refusal>),
    Boolean,
}

/// A column of the model's inputs, or its offset.
pub(crate) struct Input {
    pub(crate) name: String,
    /// The name as JSON writes it, quotes included.
    pub(crate) quoted: Vec<u8>,
    pub(crate) accepts: Accepts,
}

impl Input {
    /// The cell of a text.
    pub(crate) fn category(&self, text: &str) -> failure::Result<f64> {
        match &self.accepts {
            Accepts::Category(known, refusal) => match (known.get(text), refusal) {
                (Some(cell), _) => Ok(*cell),
                (None, None) => Ok(UNSEEN),
                (None, Some(refusal)) => {
                    Err(Failure::bad(format!("column {:?}: {}", self.name, refusal.told(Some(text)))))
                }
            },
            _ => Err(self.mistyped("a string")),
        }
    }

    /// The cell of a number.
    #[inline]
    pub(crate) fn number(&self, x: f64) -> failure::Result<f64> {
        match self.accepts {
            Accepts::Number => Ok(x),
            Accepts::Boolean if x == 0.0 || x == 1.0 => Ok(x),
            _ => Err(self.mistyped("a number")),
        }
    }

    /// The cell of true or false.
    pub(crate) fn boolean(&self, x: bool) -> failure::Result<f64> {
        match self.accepts {
            Accepts::Boolean => Ok(f64::from(u8::from(x))),
            _ => Err(self.mistyped("true or false")),
        }
    }

    /// What it accepts, in words.
    pub(crate) fn accepted(&self) -> &'static str {
        match self.accepts {
            Accepts::Number => "a number or null",
            Accepts::Category(..) => "a string or null",
            Accepts::Boolean => "true, false, 0, 1 or null",
        }
    }

    #[cold]
    pub(crate) fn mistyped(&self, found: &str) -> Failure {
        Failure::bad(format!("column {:?} accepts {}, not {found}", self.name, self.accepted()))
    }
}

/// A model and what the server derives from it once.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) model: Arc<dyn Model>,
    /// What a row holds: the inputs of the model, then its offset if it has one.
    pub(crate) inputs: Vec<Input>,
    positions: HashMap<String, usize>,
    /// Class names as JSON writes them, quotes included; empty for regression.
    pub(crate) classes: Vec<String>,
    /// The same as plain text.
    pub(crate) labels: Vec<String>,
    /// Bytes of the longest of the class names as JSON writes them, and of all.
    pub(crate) longest: usize,
    pub(crate) named: usize,
    pub(crate) outputs: usize,
    /// From 1.
    pub(crate) version: u64,
    /// Its rows, with those of the other versions of its name.
    pub(crate) counted: Arc<Rows>,
    /// What its predictions cost.
    pub(crate) cost: Cost,
}

/// A string as JSON writes it.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether `name` can stand in a path: no separators, no leading dot, nothing to decode.
pub(crate) fn acceptable(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl Served {
    /// An error says why the model cannot be served under this name.
    pub(crate) fn new(
        counted: Arc<Rows>,
        name: String,
        version: u64,
        model: Arc<dyn Model>,
    ) -> Result<Self, String> {
        if !acceptable(&name) {
            return Err("a name has 1 to 128 of A-Z a-z 0-9 . _ - and does not begin with a dot".into());
        }
        let input =
            |name: &str, accepts| Input { name: name.to_owned(), quoted: quote(name).into_bytes(), accepts };
        let refuses = model.unseen() == Unseen::Error;
        let of_field = |(number, field): (usize, &Field)| {
            let accepts = match &field.kind {
                Kind::Numeric => Accepts::Number,
                Kind::Boolean => Accepts::Boolean,
                Kind::Categorical { dictionary } => {
                    let known = dictionary.iter().cloned().zip(0_u32..);
                    let known = known.filter(|(_, code)| !refuses || model.saw(number, *code as usize));
                    let known = known.map(|(text, code)| (text, f64::from(code))).collect();
                    Accepts::Category(known, refuses.then(|| Refusal::new(&*model, number)))
                }
            };
            input(&field.name, accepts)
        };
        let offset = model.offset().map(|name| input(name, Accepts::Number));
        let inputs: Vec<Input> = model.inputs().iter().enumerate().map(of_field).chain(offset).collect();
        let positions: HashMap<_, _> = inputs.iter().enumerate().map(|(i, c)| (c.name.clone(), i)).collect();
        if inputs.is_empty() || positions.len() != inputs.len() {
            return Err("a model needs inputs, each with a name of its own".into());
        }
        let outputs = model.outputs();
        let labels = match model.task() {
            Task::Classification { classes } => classes.clone(),
            _ => Vec::new(),
        };
        let classes: Vec<String> = labels.iter().map(|c| quote(c)).collect();
        if outputs == 0 || !classes.is_empty() && classes.len() != outputs {
            return Err("a model needs one output per class, or one or more per row".into());
        }
        Ok(Self {
            name,
            model,
            inputs,
            positions,
            longest: classes.iter().map(String::len).max().unwrap_or(0),
            named: classes.iter().map(String::len).sum(),
            classes,
            labels,
            outputs,
            version,
            counted,
            cost: Cost::default(),
        })
    }

    /// Lets the model answer a row of zeros, so that no request is the first. It may refuse the row, not panic.
    pub(crate) fn warm_up(&self) -> Result<(), String> {
        let zeros = vec![0.0; self.inputs.len()];
        let mut took = Duration::MAX;
        // The first may have to make something ready that all others use.
        for _ in 0..2 {
            let start = Instant::now();
            match self.predict(&zeros, 1, &mut Vec::new(), false) {
                Err(failure) if failure.status.is_server_error() => return Err(failure.message),
                _ => took = took.min(start.elapsed()),
            }
        }
        self.cost.warmed_up(took);
        Ok(())
    }

    /// Position of an input column.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Predicts `rows` rows of `cells` into `out`; `divided` lets the rows of one request run on several threads.
    /// A row's answer is the same either way.
    pub(crate) fn predict(
        &self,
        cells: &[f64],
        rows: usize,
        out: &mut Vec<f64>,
        divided: bool,
    ) -> failure::Result<()> {
        out.clear();
        out.resize(rows * self.outputs, 0.0);
        let width = self.inputs.len();
        let piece = if divided { (PIECE_CELLS / width).max(1) } else { rows };
        // A panic inside a model ends one request, not the worker with all its connections.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if rows <= piece {
                return if rows == 0 { Ok(()) } else { self.piece(cells, rows, out) };
            }
            let refused = std::sync::Mutex::new(None);
            parallel::for_each_chunk_mut(out, piece * self.outputs, |i, out| {
                let rows = out.len() / self.outputs;
                let first = i * piece;
                if let Err(e) = self.piece(&cells[first * width..(first + rows) * width], rows, out)
                    && let Ok(mut refused) = refused.lock()
                    // The first of the rows that fail, not the first to fail in time.
                    && refused.as_ref().is_none_or(|(known, _)| first < *known)
                {
                    *refused = Some((first, e));
                }
            });
            match refused.into_inner().ok().flatten() {
                None => Ok(()),
                Some((first, e)) => Err(e.moved_down(first)),
            }
        }));
        match outcome {
            Ok(Ok(())) => Ok(()),
            // The cells have been checked against the schema: what a model still refuses is the request's content.
            Ok(Err(e)) => Err(Failure::bad(e.to_string())),
            Err(_) => Err(Failure::new(
                hyper::StatusCode::INTERNAL_SERVER_ERROR,
                format!("model {:?} failed on this request", self.name),
            )),
        }
    }

    fn piece(&self, cells: &[f64], rows: usize, out: &mut [f64]) -> tilewise_base::Result<()> {
        let (all, inputs) = (MatRef::new(cells, rows, self.inputs.len())?, self.model.inputs().len());
        let mut out = MatMut::new(out, rows, self.outputs)?;
        let Some(column) = self.inputs.get(inputs) else { return self.model.predict(all, None, out) };
        let offsets = all.col_range(inputs..inputs + 1).to_vec();
        if let Some(row) = offsets.iter().position(|offset| !offset.is_finite()) {
            // What the model refuses in a row before this one is told first.
            let before = all.row_range(0..row).col_range(0..inputs);
            self.model.predict(before, Some(&offsets[..row]), out.reborrow().split_rows_at(row).0)?;
            return Err(tilewise_base::Error::cell(row, &column.name, "the offset is a number, not null"));
        }
        self.model.predict(all.col_range(0..inputs), Some(&offsets), out)
    }
}
