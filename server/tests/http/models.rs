//! Made-up models: their answers depend on every cell, and are computed here without the server too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use tilewise_base::{Error, Field, FitReport, Kind, Model, Result, Task};
use tilewise_kernels::{MatMut, MatRef};

type Row = dyn Fn(&[f64], &mut [f64]) -> Result<()> + Send + Sync;

/// A model whose rows are answered by a function.
pub(crate) struct Fake {
    inputs: Vec<Field>,
    task: Task,
    report: FitReport,
    offset: Option<&'static str>,
    prepared: AtomicBool,
    row: Box<Row>,
}

impl Model for Fake {
    fn kind(&self) -> &str {
        "fake"
    }
    fn inputs(&self) -> &[Field] {
        &self.inputs
    }
    fn target(&self) -> &str {
        "target"
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn report(&self) -> &FitReport {
        &self.report
    }
    fn offset(&self) -> Option<&str> {
        self.offset
    }
    fn predict(
        &self,
        cells: MatRef<'_, f64>,
        offset: Option<&[f64]>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        // Whoever serves it has made it ready before it listens.
        assert!(self.prepared.load(Ordering::Relaxed));
        assert_eq!(offset.map(<[f64]>::len), self.offset.map(|_| cells.rows()));
        for i in 0..cells.rows() {
            let out = out.row_mut(i).unwrap();
            (self.row)(cells.row(i).unwrap(), out).map_err(|e| e.moved_down(i))?;
            out.iter_mut().for_each(|out| *out += offset.map_or(0.0, |offset| offset[i]));
        }
        Ok(())
    }
    fn prepare(&self) -> Result<()> {
        self.prepared.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn describe(&self) -> String {
        String::new()
    }
}

fn fake(
    inputs: Vec<Field>,
    task: Task,
    row: impl Fn(&[f64], &mut [f64]) -> Result<()> + Send + Sync + 'static,
) -> Arc<dyn Model> {
    Arc::new(Fake {
        inputs,
        task,
        report: FitReport::default(),
        offset: None,
        prepared: AtomicBool::new(false),
        row: Box::new(row),
    })
}

/// Ten times "x" plus the offset "known". Refuses x above 1e300.
pub(crate) fn shifted() -> Arc<dyn Model> {
    let row = |x: &[f64], out: &mut [f64]| {
        if x[0] > 1e300 {
            return Err(Error::cell(0, "x", "is above 1e300"));
        }
        out[0] = 10.0 * x[0];
        Ok(())
    };
    let report = FitReport::default();
    let (inputs, task, offset) = (vec![numeric("x")], Task::Regression, Some("known"));
    Arc::new(Fake { inputs, task, report, offset, prepared: AtomicBool::new(false), row: Box::new(row) })
}

fn numeric(name: impl Into<String>) -> Field {
    Field { name: name.into(), kind: Kind::Numeric }
}

/// 30 numeric columns, two classes.
pub(crate) fn logistic() -> Arc<dyn Model> {
    let classes = vec!["no".into(), "it's \"yes\"".into()];
    let inputs = (0..30).map(|i| numeric(format!("x{i}"))).collect();
    fake(inputs, Task::Classification { classes }, |x, out| {
        let score: f64 = x.iter().zip(1..).map(|(x, j)| x * (f64::from(j) / 100.0)).sum();
        out[1] = 1.0 / (1.0 + (-score).exp());
        out[0] = 1.0 - out[1];
        Ok(())
    })
}

/// A number, a category and a boolean; a missing number gives 1000 instead, a missing category 2000, a missing boolean
/// 4000. Refuses numbers above 1e300.
pub(crate) fn mixed() -> Arc<dyn Model> {
    let dictionary = vec!["blue".into(), "green, or é".into(), "red".into()];
    let inputs = vec![
        numeric("age"),
        Field { name: "colour".into(), kind: Kind::Categorical { dictionary } },
        Field { name: "member".into(), kind: Kind::Boolean },
    ];
    fake(inputs, Task::Regression, |x, out| {
        let or = |x: f64, missing: f64| if x.is_nan() { missing } else { x };
        if x[0] > 1e300 {
            return Err(Error::cell(0, "age", "is above 1e300"));
        }
        out[0] = or(x[0], 1000.0) + 10.0 * or(x[1], 200.0) + 100.0 * or(x[2], 40.0);
        Ok(())
    })
}

/// One column; answers it less 1, it, and it and 1, as three quantiles.
pub(crate) fn quantiles() -> Arc<dyn Model> {
    fake(vec![numeric("x")], Task::Quantiles { quantiles: vec![0.1, 0.5, 0.9] }, |x, out| {
        out.copy_from_slice(&[x[0] - 1.0, x[0], x[0] + 1.0]);
        Ok(())
    })
}

/// One column; answers its double and its negative, as two targets.
pub(crate) fn outputs() -> Arc<dyn Model> {
    fake(vec![numeric("x")], Task::Outputs { names: vec!["double".into(), "less \"x\"".into()] }, |x, out| {
        out.copy_from_slice(&[2.0 * x[0], -x[0]]);
        Ok(())
    })
}

/// One column; answers an eighth of it 4,096 times: 24,000 bytes of reply for 4 of request.
pub(crate) fn wide() -> Arc<dyn Model> {
    let names = (0..4096).map(|i| format!("y{i}")).collect();
    fake(vec![numeric("x")], Task::Outputs { names }, |x, out| {
        out.fill(x[0] / 8.0);
        Ok(())
    })
}

/// One column, which is the score; 0.75 and more is an anomaly.
pub(crate) fn scores() -> Arc<dyn Model> {
    fake(vec![numeric("x")], Task::Anomaly { threshold: Some(0.75) }, |x, out| {
        out[0] = x[0];
        Ok(())
    })
}

/// One column; answers its double; NaN for 0; panics at 13.
pub(crate) fn moody() -> Arc<dyn Model> {
    fake(vec![numeric("x")], Task::Regression, |x, out| {
        assert_ne!(x[0], 13.0, "an unlucky number");
        out[0] = if x[0] == 0.0 { f64::NAN } else { 2.0 * x[0] };
        Ok(())
    })
}

/// One column, and classes of one letter; no probability is a number.
pub(crate) fn undecided() -> Arc<dyn Model> {
    let classes = vec!["a".into(), "b".into()];
    fake(vec![numeric("x")], Task::Classification { classes }, |_, out| {
        out.fill(f64::NAN);
        Ok(())
    })
}

/// One column, which is multiplied; panics at 0 times -13.
pub(crate) fn factor(by: f64) -> Arc<dyn Model> {
    fake(vec![numeric("x")], Task::Regression, move |x, out| {
        assert!(by != -13.0 || x[0] != 0.0);
        out[0] = by * x[0];
        Ok(())
    })
}

/// One column; when it is freed it tells the name of the thread.
pub(crate) fn mourned(tell: Sender<String>) -> Arc<dyn Model> {
    struct Tell(Mutex<Sender<String>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            let _ = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).send(thread);
        }
    }
    let tell = Tell(Mutex::new(tell));
    fake(vec![numeric("x")], Task::Regression, move |x, out| {
        let _ = &tell;
        out[0] = x[0];
        Ok(())
    })
}

/// One column; each row waits for a permit and tells that it does.
pub(crate) struct Gate {
    pub(crate) permits: Sender<()>,
    pub(crate) waiting: Receiver<()>,
}

/// One column, which is doubled, after so long a time.
pub(crate) fn slow(time: std::time::Duration) -> Arc<dyn Model> {
    fake(vec![numeric("x")], Task::Regression, move |x, out| {
        std::thread::sleep(time);
        out[0] = 2.0 * x[0];
        Ok(())
    })
}

pub(crate) fn gated() -> (Arc<dyn Model>, Gate) {
    let (permits, permit) = channel();
    let (tell, waiting) = channel();
    let ends = Mutex::new((permit, tell));
    let model = fake(vec![numeric("x")], Task::Regression, move |x, out| {
        let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.1.send(()).ok();
        ends.0.recv().ok();
        out[0] = x[0] + 1.0;
        Ok(())
    });
    (model, Gate { permits, waiting })
}

/// What a model answers in this process.
pub(crate) fn answers(model: &dyn Model, cells: &[f64]) -> Vec<f64> {
    let rows = cells.len() / model.inputs().len();
    let mut out = vec![0.0; rows * model.outputs()];
    let shape = MatMut::new(&mut out, rows, model.outputs()).unwrap();
    model.predict(MatRef::new(cells, rows, model.inputs().len()).unwrap(), None, shape).unwrap();
    out
}
