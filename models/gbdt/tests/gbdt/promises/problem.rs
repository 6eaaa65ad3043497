//! Tables to learn from.

use tilewise_base::{Column, Dataset};
use tilewise_gbdt::loss::Truth;
use tilewise_gbdt::{Ensemble, Loss};
use tilewise_kernels::random::Philox;
use tilewise_tree::{Answers, BinnedTable, Feature};

/// Three columns of numbers, of which the second is missing in some rows, and one of categories.
#[derive(Clone)]
pub(super) struct Problem {
    pub(super) columns: [Vec<f64>; 3],
    pub(super) codes: Vec<u32>,
    pub(super) y: Vec<f64>,
}

/// Categories.
pub(super) const LEVELS: usize = 7;

impl Problem {
    pub(super) fn new(rows: usize, seed: u64) -> Self {
        let random = Philox::new(seed, Philox::purpose("problem of boosting"));
        let normal =
            |column: u64| (0..rows).map(|i| random.normal(8 * i as u64 + column)).collect::<Vec<f64>>();
        let mut columns = [normal(0), normal(1), normal(2)];
        let code = |i: usize| random.below(8 * i as u64 + 3, LEVELS as u64 + 1) as u32;
        let codes: Vec<u32> = (0..rows).map(code).collect();
        let noise = normal(4);
        let y = |i: usize| {
            columns[0][i] * 1.5 - columns[1][i].powi(2)
                + f64::from(codes[i] % 3)
                + (3.0 * columns[2][i]).sin()
                + 0.3 * noise[i]
        };
        let y = (0..rows).map(y).collect();
        (0..rows).filter(|i| i % 11 == 3).for_each(|i| columns[1][i] = f64::NAN);
        Self { columns, codes, y }
    }

    pub(super) fn rows(&self) -> usize {
        self.y.len()
    }

    pub(super) fn features(&self) -> Vec<Feature<'_>> {
        // The last code is missing.
        let codes = Feature::Categorical { codes: &self.codes, levels: LEVELS };
        self.columns.iter().map(|column| Feature::Numeric(column)).chain([codes]).collect()
    }

    pub(super) fn table(&self, weights: Option<&[f64]>) -> BinnedTable {
        BinnedTable::new(&self.features(), weights, 255, 0).unwrap()
    }

    pub(super) fn numbers(&self) -> Answers {
        Answers::Numbers(self.y.clone())
    }

    /// Classes by thirds or halves of the numbers.
    pub(super) fn classes(&self, classes: usize) -> Answers {
        let class = |y: &f64| {
            if classes == 2 { u32::from(*y > 0.0) } else { u32::from(*y > -1.0) + u32::from(*y > 1.0) }
        };
        Answers::Classes { y: self.y.iter().map(class).collect(), classes }
    }

    /// Answers that a loss accepts.
    pub(super) fn answers(&self, loss: Loss) -> Answers {
        match loss {
            Loss::Logistic => self.classes(2),
            Loss::Softmax => self.classes(3),
            Loss::Poisson | Loss::Tweedie { .. } => {
                Answers::Numbers(self.y.iter().map(|y| y.abs().floor()).collect())
            }
            Loss::Gamma => Answers::Numbers(self.y.iter().map(|y| y.abs() + 0.1).collect()),
            Loss::LambdaRank { .. } => {
                Answers::Numbers(self.y.iter().map(|y| (y + 3.0).clamp(0.0, 4.0).floor()).collect())
            }
            _ => self.numbers(),
        }
    }

    /// The cells of a row, as trees read them.
    pub(super) fn row(&self, i: usize) -> [f64; 4] {
        let [a, b, c] = &self.columns;
        [a[i], b[i], c[i], f64::from(self.codes[i])]
    }

    pub(super) fn dataset(&self, y: Column) -> Dataset {
        let dictionary: Vec<String> = (0..LEVELS).map(|level| format!("level {level}")).collect();
        let codes =
            self.codes.iter().map(|&code| if code as usize == LEVELS { u32::MAX } else { code }).collect();
        let [a, b, c] = self.columns.clone().map(|x| Column::F64(x.into()));
        let columns =
            [("a", a), ("b", b), ("c", c), ("level", Column::Categorical { codes, dictionary }), ("y", y)];
        Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap()
    }
}

/// The numbers behind answers.
pub(super) fn numbers(answers: &Answers) -> Vec<f64> {
    match answers {
        Answers::Numbers(y) => y.clone(),
        Answers::Classes { y, .. } => y.iter().map(|&y| y.into()).collect(),
        Answers::Outputs(_) => unreachable!(),
    }
}

/// The loss on all rows after each stage, before the first in front.
pub(super) fn losses(ensemble: &Ensemble, loss: Loss, problem: &Problem, answers: &Answers) -> Vec<f64> {
    let classes = if let Answers::Classes { classes, .. } = answers { Some(*classes) } else { None };
    let (objective, y) = (loss.objective(classes).unwrap(), numbers(answers));
    let stages = ensemble.trees(0).len();
    let after = |stages: usize| {
        let trees = (0..ensemble.scores()).map(|score| ensemble.trees(score)[..stages].to_vec()).collect();
        let part = Ensemble::new(ensemble.base().to_vec(), trees).unwrap();
        let mut scores = vec![0.0; y.len() * part.scores()];
        let mut of_row = vec![0.0; part.scores()];
        for row in 0..y.len() {
            part.score_row(&problem.row(row), &mut of_row);
            of_row.iter().enumerate().for_each(|(k, &score)| scores[k * y.len() + row] = score);
        }
        objective.loss(&Truth::new(&y), &scores)
    };
    (0..=stages).map(after).collect()
}
