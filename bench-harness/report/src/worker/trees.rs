//! What trees are grown with in a comparison, the same for every system.

use super::Problem;
use std::io;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Training, from numbers in memory to a model: binning and containers of one's own included.
    Train,
    /// Training on a container of one's own that is there, binned.
    Grow,
    /// Predicting all test rows with a model that is there.
    Predict,
    /// Predicting one test row, another one each time.
    Row,
}

impl Operation {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Train, "train"), (Self::Grow, "grow"), (Self::Predict, "predict"), (Self::Row, "row")];

    /// Whether training is what is timed.
    pub fn trains(self) -> bool {
        matches!(self, Self::Train | Self::Grow)
    }
}

/// A tree, a forest or boosted trees, and their data. Operands of such a problem are `x` (rows x features), `y` (a class or a
/// number for each row) and `t` (tests x features); results are tests x classes probabilities, or a number for each test row. The
/// shape is rows x tests x features x classes, the last 0 for numbers; all else stands in `settings.txt`, a name and a value on a
/// line.
#[derive(Clone, Debug, PartialEq)]
pub struct Trees {
    /// What is timed.
    pub operation: Operation,
    /// Which data: with the seed it tells models apart that are kept from problem to problem.
    pub data: String,
    /// Of the data and of what is drawn in training.
    pub seed: u64,
    /// How many of the features, the last ones, are codes of categories: whole numbers, NaN where they are missing.
    pub categories: usize,
    /// How many trees, or stages of boosting; without boosting 1 is a decision tree that sees all rows, more are a forest.
    pub trees: usize,
    /// Splits on the way to a leaf at most; 0 for no limit.
    pub depth: usize,
    /// Leaves at most, the best splits first; 0 for no limit.
    pub leaves: usize,
    /// Features that are looked at for each split; 0 for all.
    pub features: usize,
    /// How trees are added up; `None` for a tree or the mean of a forest.
    pub boosting: Option<Boosting>,
}

/// What boosting needs to be told beside the trees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boosting {
    /// What a tree is multiplied by.
    pub learning_rate: f64,
    /// Added to the sum of second derivatives of a leaf.
    pub l2: f64,
    /// Rows of a leaf at least.
    pub min_rows: usize,
    /// Sum of second derivatives of a leaf at least.
    pub min_hessian: f64,
}

impl Trees {
    fn text(&self) -> String {
        let operation =
            Operation::ALL.iter().find(|(one, _)| *one == self.operation).map_or("", |(_, name)| name);
        let Self { data, seed, categories, trees, depth, leaves, features, .. } = self;
        let boosting = self.boosting.map_or(String::new(), |boosting| {
            let Boosting { learning_rate, l2, min_rows, min_hessian } = boosting;
            format!(
                "learning_rate {learning_rate}\nl2 {l2}\nmin_rows {min_rows}\nmin_hessian {min_hessian}\n"
            )
        });
        format!(
            "operation {operation}\ndata {data}\nseed {seed}\ncategories {categories}\ntrees {trees}\ndepth {depth}\n\
             leaves {leaves}\nfeatures {features}\n{boosting}"
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = |name: &str| value(name)?.parse().ok();
        let real = |name: &str| value(name)?.parse().ok();
        let boosting = || {
            let (learning_rate, l2) = (real("learning_rate")?, real("l2")?);
            let (min_rows, min_hessian) = (number("min_rows")?, real("min_hessian")?);
            Some(Boosting { learning_rate, l2, min_rows, min_hessian })
        };
        let named = |(_, name): &&(Operation, &str)| value("operation") == Some(name);
        Some(Self {
            operation: Operation::ALL.iter().find(named)?.0,
            data: value("data")?.into(),
            seed: value("seed")?.parse().ok()?,
            categories: number("categories")?,
            trees: number("trees")?,
            depth: number("depth")?,
            leaves: number("leaves")?,
            features: number("features")?,
            boosting: if value("learning_rate").is_some() { Some(boosting()?) } else { None },
        })
    }

    /// Writes the settings beside the operands.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, problem: &Problem) -> io::Result<()> {
        std::fs::write(problem.folder.join("settings.txt"), self.text())
    }

    /// Reads the settings of a problem.
    ///
    /// # Errors
    /// When there are none, or one is missing.
    pub fn read(problem: &Problem) -> io::Result<Self> {
        let text = std::fs::read_to_string(problem.folder.join("settings.txt"))?;
        Self::parse(&text)
            .ok_or_else(|| io::Error::other(format!("the settings of trees are not all in {text:?}")))
    }

    /// Whether a model trained for `other` is one for this: only what is done with it may differ.
    pub fn same_model(&self, other: &Self) -> bool {
        Self { operation: Operation::Train, ..self.clone() }
            == Self { operation: Operation::Train, ..other.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_file() {
        let (operation, data) = (Operation::Row, "rows of mine".to_string());
        let (categories, boosting) = (2, None);
        let trees = Trees {
            operation,
            data,
            seed: 3,
            categories,
            trees: 100,
            depth: 0,
            leaves: 64,
            features: 5,
            boosting,
        };
        let boosting = Boosting { learning_rate: 0.1, l2: 1.0, min_rows: 20, min_hessian: 1e-3 };
        let boosted = Trees { boosting: Some(boosting), ..trees.clone() };
        for trees in [&trees, &boosted] {
            assert_eq!(Trees::parse(&trees.text()), Some(trees.clone()));
            assert_eq!(Trees::parse(&trees.text().replace("leaves 64\n", "")), None);
            assert_eq!(Trees::parse(&trees.text().replace("row\n", "dance\n")), None);
        }
        assert_eq!(Trees::parse(&boosted.text().replace("min_rows 20\n", "")), None);
        assert!(trees.same_model(&Trees { operation: Operation::Grow, ..trees.clone() }));
        assert!(!trees.same_model(&boosted) && !trees.same_model(&Trees { seed: 4, ..trees.clone() }));
    }
}
