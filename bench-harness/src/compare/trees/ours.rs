//! Our side.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use tilewise_base::{Context, Error};
use tilewise_forest::{Forest, RandomForest};
use tilewise_gbdt::{Boosted, GradientBoosting, Lesson, Link};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::{Float, MatMut, MatRef};
use tilewise_report::worker::{Boosting, Job, Operation, Problem, Trees};
use tilewise_tree::{
    Answers, BinnedTable, DecisionTree, Feature, MaxBins, MaxFeatures, Penalty, Tree, WhenAsked,
};

/// Trees, compiled for prediction when it is first asked.
pub(super) enum Model {
    Tree(Box<Tree>, WhenAsked),
    Forest(Box<Forest>, WhenAsked),
    Boosted(Box<Boosted>, Link),
}

/// The inputs of a model.
pub(super) enum Inputs {
    /// Numbers row by row, and how many a row has.
    Numbers(Vec<f32>, usize),
    /// Numbers and categories as they are.
    Columns(Vec<Column>),
}

/// A column of inputs.
pub(super) enum Column {
    Numbers(Vec<f64>),
    /// One code for each row, and how many there are; others are missing.
    Codes(Vec<u32>, usize),
}

impl Inputs {
    /// Of rows whose last `categories` features are codes.
    fn new(x: Vec<f32>, features: usize, categories: usize) -> Self {
        if categories == 0 {
            return Self::Numbers(x, features);
        }
        let column = |j: usize| {
            let values = x.chunks_exact(features).map(move |row| row[j]);
            if j < features - categories {
                return Column::Numbers(values.map(f64::from).collect());
            }
            let codes: Vec<u32> = values.map(|x| if x.is_nan() { u32::MAX } else { x as u32 }).collect();
            let known = codes.iter().copied().filter(|&code| code != u32::MAX);
            let levels = known.max().map_or(0, |most| most as usize + 1);
            Column::Codes(codes, levels)
        };
        Self::Columns((0..features).map(column).collect())
    }

    fn bin(&self, seed: u64) -> Result<BinnedTable, Error> {
        match self {
            Self::Numbers(x, features) => {
                let x = MatRef::new(x, x.len() / features.max(&1), *features)?;
                BinnedTable::of_matrix(x, None, MaxBins::default(), seed)
            }
            Self::Columns(columns) => {
                let feature = |column| match column {
                    &Column::Codes(ref codes, levels) => Feature::Categorical { codes, levels },
                    Column::Numbers(values) => Feature::Numeric(values),
                };
                let features: Vec<Feature<'_>> = columns.iter().map(feature).collect();
                BinnedTable::new(&features, None, MaxBins::default(), seed)
            }
        }
    }
}

impl Model {
    /// Trains as `settings` say; binning is part of it.
    pub(super) fn train(
        inputs: &Inputs,
        answers: &Answers,
        settings: &Trees,
        scheme: Scheme,
    ) -> Result<Self, Error> {
        Self::grow(&inputs.bin(settings.seed)?, answers, settings, scheme)
    }

    /// Trains on what is binned.
    fn grow(table: &BinnedTable, answers: &Answers, settings: &Trees, scheme: Scheme) -> Result<Self, Error> {
        let limit = |n: usize| (n > 0).then_some(n);
        let max_features = limit(settings.features).map_or(MaxFeatures::All, MaxFeatures::Count);
        let (max_depth, max_leaves) = (limit(settings.depth), limit(settings.leaves));
        let tree = DecisionTree { max_depth, max_leaves, max_features, ..DecisionTree::default() };
        let context = Context { seed: settings.seed, scheme, ..Context::default() };
        if let Some(Boosting { learning_rate, l2, min_rows, min_hessian }) = settings.boosting {
            let (stages, penalty) = (settings.trees, Penalty { l2, min_hessian, ..Penalty::default() });
            let tree = DecisionTree { min_samples_leaf: min_rows, ..tree };
            let boosting =
                GradientBoosting { stages, learning_rate, penalty, tree, ..GradientBoosting::default() };
            let link = match answers {
                Answers::Classes { classes: 2, .. } => Link::Logistic,
                Answers::Classes { .. } => Link::Softmax,
                _ => Link::Identity,
            };
            return Ok(Self::Boosted(
                Box::new(boosting.fit(table, &Lesson::new(answers), &context)?.model),
                link,
            ));
        }
        if settings.trees > 1 {
            let (trees, max_features) = (settings.trees, Some(max_features));
            let forest = RandomForest { trees, max_features, tree, ..RandomForest::default() };
            let forest = forest.fit(table, answers, &context)?.model;
            return Ok(Self::Forest(Box::new(forest), WhenAsked::default()));
        }
        let tree = match answers {
            Answers::Classes { y, classes } => tree.fit_classes(table, y, *classes, &context)?.model,
            Answers::Numbers(y) => tree.fit_numbers(table, y, &context)?.model,
            Answers::Outputs(y) => tree.fit_outputs(table, y, &context)?.model,
        };
        Ok(Self::Tree(Box::new(tree), WhenAsked::default()))
    }

    /// Numbers that are predicted for a row.
    fn outputs(&self) -> usize {
        match self {
            Self::Tree(tree, _) => tree.outputs(),
            Self::Forest(forest, _) => forest.trees().first().map_or(0, Tree::outputs),
            Self::Boosted(boosted, link) => link.outputs(boosted.ensemble().scores()),
        }
    }

    /// Predicts rows into rows x outputs.
    fn predict_into<T: Float>(&self, x: MatRef<'_, T>, out: MatMut<'_, f64>) -> Result<(), Error> {
        let (compiled, trees) = match self {
            Self::Tree(tree, compiled) => (compiled, std::slice::from_ref(&**tree)),
            Self::Forest(forest, compiled) => (compiled, forest.trees()),
            Self::Boosted(boosted, link) => return boosted.ensemble().predict(x, None, *link, out),
        };
        Ok(compiled.get(trees)?.mean(x, out)?)
    }

    fn predict_row(&self, row: &[f64], out: &mut [f64]) -> Result<(), Error> {
        let outputs = out.len();
        self.predict_into(MatRef::new(row, 1, row.len())?, MatMut::new(out, 1, outputs)?)
    }

    /// Predicts rows of as many features, over threads.
    pub(super) fn predict<T: Float>(&self, x: &[T], features: usize) -> Result<Vec<f64>, Error> {
        let (rows, outputs) = (x.len() / features.max(1), self.outputs());
        let mut out = vec![0.0; rows * outputs];
        self.predict_into(MatRef::new(x, rows, features)?, MatMut::new(&mut out, rows, outputs)?)?;
        Ok(out)
    }
}

/// A model and what it was trained for.
type Kept = Rc<RefCell<Option<(Trees, Vec<usize>, Model)>>>;

/// Keeps the last model from problem to problem: what is predicted with need not be trained again.
#[derive(Default)]
pub(in crate::compare) struct Worker {
    kept: Kept,
    scheme: Scheme,
}

impl Worker {
    /// Training is divided as told.
    pub(in crate::compare) fn new(scheme: Scheme) -> Self {
        Self { scheme, ..Self::default() }
    }

    /// Reads the rows of a problem.
    pub(in crate::compare) fn load(&self, problem: &Problem) -> io::Result<Box<dyn Job>> {
        let &[rows, tests, features, classes] = problem.shape.as_slice() else {
            return Err(io::Error::other("expected rows, tests, features and classes"));
        };
        let y = problem.elements::<f32>("y", rows)?;
        let answers = match classes {
            0 => Answers::Numbers(y.into_iter().map(f64::from).collect()),
            _ => Answers::Classes { y: y.into_iter().map(|y| y as u32).collect(), classes },
        };
        let settings = Trees::read(problem)?;
        let inputs = Inputs::new(problem.elements("x", rows * features)?, features, settings.categories);
        let binned = (settings.operation == Operation::Grow).then(|| inputs.bin(settings.seed));
        let job = Grove {
            kept: Rc::clone(&self.kept),
            scheme: self.scheme,
            binned: binned.transpose().map_err(io::Error::other)?,
            settings,
            shape: problem.shape.clone(),
            features,
            inputs,
            tests: problem.elements("t", tests * features)?,
            answers,
            row: 0,
            out: vec![0.0; classes.max(1)],
        };
        let is_kept = |(settings, shape, _): &(Trees, Vec<usize>, Model)| {
            settings.same_model(&job.settings) && *shape == job.shape
        };
        if !job.kept.borrow().as_ref().is_some_and(is_kept) {
            job.kept.take();
            if !job.settings.operation.trains() {
                job.train().map_err(io::Error::other)?;
            }
        }
        Ok(Box::new(job))
    }
}

struct Grove {
    kept: Kept,
    scheme: Scheme,
    settings: Trees,
    shape: Vec<usize>,
    features: usize,
    inputs: Inputs,
    /// The inputs, where binning them is not timed.
    binned: Option<BinnedTable>,
    tests: Vec<f32>,
    answers: Answers,
    /// The next row to predict alone, and its answer.
    row: usize,
    out: Vec<f64>,
}

impl Grove {
    fn train(&self) -> Result<(), Error> {
        // The model before goes first: two need not fit.
        self.kept.take();
        let (answers, settings) = (&self.answers, &self.settings);
        let model = match &self.binned {
            Some(table) => Model::grow(table, answers, settings, self.scheme)?,
            None => Model::train(&self.inputs, answers, settings, self.scheme)?,
        };
        self.kept.replace(Some((self.settings.clone(), self.shape.clone(), model)));
        Ok(())
    }

    fn predict(&self) -> Result<Vec<f64>, Error> {
        let kept = self.kept.borrow();
        kept.as_ref().map_or(Ok(Vec::new()), |(.., model)| model.predict(&self.tests, self.features))
    }

    /// Rows as a server has them: cells of f64.
    fn predict_rows(&mut self, times: u64) -> Result<(), Error> {
        let kept = self.kept.borrow();
        let Some((.., model)) = kept.as_ref() else { return Ok(()) };
        let rows = self.tests.len().checked_div(self.features).unwrap_or(0);
        if rows == 0 {
            return Err(Error::Fit("there are no test rows".into()));
        }
        let mut cells = vec![0.0; self.features];
        for _ in 0..times {
            self.row = (self.row + 1) % rows;
            let row = &self.tests[self.row * self.features..][..self.features];
            cells.iter_mut().zip(row).for_each(|(cell, &x)| *cell = f64::from(x));
            model.predict_row(&cells, &mut self.out)?;
        }
        Ok(())
    }
}

impl Job for Grove {
    fn run(&mut self, times: u64) -> Result<(), String> {
        match self.settings.operation {
            Operation::Train | Operation::Grow => (0..times).try_for_each(|_| self.train()),
            Operation::Predict => {
                (0..times).try_for_each(|_| std::hint::black_box(self.predict()).map(|_| ()))
            }
            Operation::Row => self.predict_rows(times),
        }
        .map_err(|error| error.to_string())
    }

    fn result(&self) -> Vec<f64> {
        // What cannot be predicted agrees with nobody.
        self.predict().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Scores, write};
    use super::*;
    use tilewise_report::worker::Layout;

    /// Solves problems of some kinds of 1,500 rows of the same data; results beside the scores.
    fn solve(kinds: &[&str], features: usize, name: &str) -> Vec<(Scores, Vec<f64>)> {
        let folder = std::env::temp_dir().join(format!("tilewise {name} {}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let worker = Worker::new(Scheme::Auto);
        let mut solved = Vec::new();
        for kind in kinds {
            let problem = Problem {
                kind: (*kind).into(),
                element: "f32".into(),
                shape: vec![1_500, 500, features, 2],
                layout: Layout::default(),
                folder: folder.clone(),
            };
            let agreement = write(&problem, None).unwrap();
            let mut job = worker.load(&problem).unwrap();
            job.run(3).unwrap();
            let super::super::Agreement::Predictions(truth, classes) = agreement else { panic!("classes") };
            let result = job.result();
            solved.push((Scores::of(&truth, &result, classes).unwrap(), result));
        }
        std::fs::remove_dir_all(folder).unwrap();
        solved
    }

    #[test]
    fn a_forest_is_kept_for_prediction_and_better_than_a_tree() {
        let solved = solve(&["tree", "predict_64", "row_64"], 28, "trees");
        assert!(solved[1].0.auc > solved[0].0.auc + 0.05, "{:?} {:?}", solved[1].0, solved[0].0);
        assert_eq!(solved[1].1, solved[2].1);
    }

    #[test]
    fn boosting_is_the_same_on_bins_that_are_there_and_better_than_a_tree() {
        let solved = solve(&["tree", "boost", "boost_binned", "predict_boost", "row_boost"], 28, "boosting");
        assert!(solved[1].0.auc > solved[0].0.auc + 0.05, "{:?} {:?}", solved[1].0, solved[0].0);
        assert!(solved[2..].iter().all(|one| one.1 == solved[1].1));
    }

    #[test]
    fn categories_and_missing_values_are_taken_as_they_are() {
        // The class is whether the code is odd: one split tells, if it is a set of categories.
        let code = |i: usize| if i.is_multiple_of(10) { f32::NAN } else { (i % 40) as f32 };
        let x: Vec<f32> = (0..400).flat_map(|i| [0.25 * (i % 7) as f32, code(i)]).collect();
        let y: Vec<u32> = (0..400).map(|i: usize| u32::from(!i.is_multiple_of(10) && i % 2 == 1)).collect();
        let settings = Trees {
            operation: Operation::Train,
            data: String::new(),
            seed: 1,
            categories: 1,
            trees: 1,
            depth: 1,
            leaves: 0,
            features: 0,
            boosting: None,
        };
        let answers = Answers::Classes { y: y.clone(), classes: 2 };
        let inputs = Inputs::new(x.clone(), 2, settings.categories);
        let model = Model::train(&inputs, &answers, &settings, Scheme::Auto).unwrap();
        let ones: Vec<f64> = model.predict(&x, 2).unwrap().chunks_exact(2).map(|row| row[1]).collect();
        assert!(ones.iter().zip(&y).all(|(p, &y)| *p == f64::from(y)));
        let x = vec![0.5, 3.0, f32::NAN, f32::NAN, 1.5, 0.0];
        let Inputs::Columns(columns) = Inputs::new(x, 2, 1) else { panic!("columns") };
        assert!(matches!(&columns[1], Column::Codes(codes, 4) if *codes == [3, u32::MAX, 0]));
    }
}
