//! Importances of models that are formulas, against shuffles made one by one.

use super::*;
use crate::{Column, Field, FitReport, Kind, Task};

/// 3 a - b, or the probability that it is above 0 as a hard 0 or 1; c is not used.
struct Formula(Vec<Field>, Task, FitReport);

fn formula(task: Task, inputs: [&str; 3]) -> Formula {
    let field = |name: &str| Field { name: name.to_owned(), kind: Kind::Numeric };
    Formula(inputs.map(field).into(), task, FitReport::default())
}

impl Model for Formula {
    fn kind(&self) -> &str {
        "formula"
    }
    fn inputs(&self) -> &[Field] {
        &self.0
    }
    fn target(&self) -> &str {
        "y"
    }
    fn task(&self) -> &Task {
        &self.1
    }
    fn report(&self) -> &FitReport {
        &self.2
    }
    fn predict(
        &self,
        cells: MatRef<'_, f64>,
        offset: Option<&[f64]>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        let at = |name: &str| self.0.iter().position(|field| field.name == name).unwrap();
        for i in 0..cells.rows() {
            let x = 3.0 * cells.get(i, at("a")) - cells.get(i, at("b")) + offset.map_or(0.0, |o| o[i]);
            if out.cols() == 2 {
                out.set(i, 0, f64::from(u8::from(x <= 0.0)));
                out.set(i, 1, f64::from(u8::from(x > 0.0)));
            } else {
                out.set(i, 0, x);
            }
        }
        Ok(())
    }
    fn to_bytes(&self) -> Result<Vec<u8>> {
        Err(Error::Fit("a formula has no file".into()))
    }
    fn describe(&self) -> String {
        String::new()
    }
}

const ORDER: [&str; 3] = ["a", "b", "c"];

/// More rows than a block has.
fn table() -> Dataset {
    let random = Philox::new(3, Philox::purpose("table"));
    let column = |j: u64| (0..5000).map(|i| random.normal(5000 * j + i)).collect::<Vec<f64>>();
    let [a, b, c, noise] = [0, 1, 2, 3].map(column);
    let y: Vec<f64> = (0..5000).map(|i| 3.0 * a[i] - b[i] + noise[i]).collect();
    let class = y.iter().map(|y| Some(*y > 0.0)).collect();
    let columns =
        [("a", a), ("b", b), ("c", c), ("y", y)].map(|(n, x)| (n.to_owned(), Column::F64(x.into())));
    Dataset::new(columns.into_iter().chain([("class".to_owned(), Column::Boolean(class))]).collect()).unwrap()
}

fn of(model: &Formula, roles: &Roles, repeats: usize, metric: Option<&str>) -> Result<Importances> {
    permutation_importance(model, &table(), roles, repeats, metric, &Context::default())
}

#[test]
fn shuffled_columns_cost_what_theory_says() {
    let model = formula(Task::Regression, ORDER);
    let found = of(&model, &Roles::default(), 5, None).unwrap();
    assert_eq!(found.metric, "R2");
    // Of a variance of 9 + 1 + 1 one is noise; two independent draws of w x differ by 2 w^2 in the mean of squares.
    assert!((found.score - 10.0 / 11.0).abs() < 0.01, "{}", found.score);
    for (importance, (name, expected)) in
        found.columns.iter().zip([("a", 18.0 / 11.0), ("b", 2.0 / 11.0), ("c", 0.0)])
    {
        assert_eq!(importance.column, name);
        assert!((importance.mean - expected).abs() < 0.06, "{importance:?}");
        assert!(
            importance.deviation < 0.05 && (name == "c") == (importance.deviation == 0.0),
            "{importance:?}"
        );
    }
    // For a measure of which less is better the sign is the same.
    let rmse = of(&model, &Roles::default(), 2, Some("rmse")).unwrap();
    assert_eq!(rmse.metric, "RMSE");
    assert!((rmse.columns[0].mean - (19.0_f64.sqrt() - 1.0)).abs() < 0.15, "{rmse:?}");
    let classes = Task::Classification { classes: vec!["false".into(), "true".into()] };
    let by_class = of(&formula(classes, ORDER), &Roles::target("class"), 3, None).unwrap();
    assert_eq!(by_class.metric, "accuracy");
    assert!(by_class.columns[0].mean > 0.25 && by_class.columns[2].mean == 0.0, "{by_class:?}");
}

#[test]
fn they_are_those_of_columns_shuffled_by_hand() {
    let model = formula(Task::Regression, ORDER);
    let found = of(&model, &Roles::default(), 2, Some("MAE")).unwrap();
    let table = table();
    let mae = |from: &dyn Fn(usize) -> usize| {
        let cell = |name: &str, row: usize| table.column(name).unwrap().cell(row);
        let error = |i: usize| (3.0 * cell("a", i) - cell("b", from(i)) - cell("y", i)).abs();
        (0..5000).map(error).sum::<f64>() / 5000.0
    };
    let key = Philox::new(0, Philox::purpose("shuffled columns")).bits(Philox::purpose("b"));
    let orders = [0, 1].map(|repeat| {
        Philox::new(key.wrapping_add(repeat), Philox::purpose("cells of a shuffled column")).permutation(5000)
    });
    let losses = orders.map(|order| mae(&|i| order[i]) - mae(&|i| i));
    let b = &found.columns[1];
    assert!((b.mean - (losses[0] + losses[1]) / 2.0).abs() < 1e-12, "{b:?} {losses:?}");
    assert!((b.deviation - (losses[0] - losses[1]).abs() / 2.0_f64.sqrt()).abs() < 1e-12, "{b:?} {losses:?}");
}

#[test]
fn threads_and_the_order_of_columns_change_nothing() {
    let model = formula(Task::Regression, ORDER);
    let run = |model: &Formula| of(model, &Roles::default(), 3, None).unwrap();
    let one = parallel::with_threads(1, || run(&model));
    for threads in [2, 3, 7] {
        assert_eq!(parallel::with_threads(threads, || run(&model)), one);
    }
    let mut turned = run(&formula(Task::Regression, ["c", "b", "a"]));
    turned.columns.reverse();
    assert_eq!(turned, one);
    let other = Context { seed: 1, ..Context::default() };
    let other = permutation_importance(&model, &table(), &Roles::default(), 3, None, &other).unwrap();
    assert_ne!(other, one);
    assert!(of(&model, &Roles::default(), 1, None).unwrap().columns[0].deviation.is_nan());
}

#[test]
fn what_cannot_be_measured_is_told() {
    let model = formula(Task::Regression, ORDER);
    let message = |roles: &Roles, repeats, metric| {
        of(&model, roles, repeats, metric).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(message(&Roles::default(), 0, None).contains("repeats"));
    assert!(message(&Roles::default(), 1, Some("beauty")).contains("RMSE, MAE, R2"));
    assert!(message(&Roles::target("nowhere"), 1, None).contains("\"nowhere\""));
    let short = Dataset::new(vec![
        ("a".into(), Column::F64(vec![1.0].into())),
        ("y".into(), Column::F64(vec![1.0].into())),
    ]);
    let refused =
        permutation_importance(&model, &short.unwrap(), &Roles::default(), 1, None, &Context::default());
    assert!(refused.unwrap_err().to_string().contains("\"b\""));
    // R2 of one row is undefined.
    let one = table().take(&[0]);
    let refused = permutation_importance(&model, &one, &Roles::default(), 1, None, &Context::default());
    assert!(refused.unwrap_err().to_string().contains("R2"));
    let stop = std::sync::atomic::AtomicBool::new(true);
    let context = Context { cancel: &stop, ..Context::default() };
    let stopped = permutation_importance(&model, &table(), &Roles::default(), 1, None, &context);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}
