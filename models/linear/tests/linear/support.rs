//! Data and golden numbers.

use std::path::Path;
use tilewise_kernels::MatRef;
use tilewise_kernels::random::Philox;
use tilewise_linear::LinearModel;

/// A data set: features row-major, target cells as text.
pub(crate) struct Table {
    pub(crate) x: Vec<f64>,
    pub(crate) cols: usize,
    pub(crate) target: Vec<String>,
}

impl Table {
    pub(crate) fn view(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.x, self.target.len(), self.cols).unwrap()
    }
    pub(crate) fn numbers(&self) -> Vec<f64> {
        self.target.iter().map(|t| t.parse().unwrap()).collect()
    }
    pub(crate) fn labels(&self) -> Vec<u32> {
        let classes: std::collections::BTreeSet<_> = self.target.iter().collect();
        self.target.iter().map(|t| classes.iter().position(|c| *c == t).unwrap() as u32).collect()
    }
    pub(crate) fn head(mut self, rows: usize) -> Self {
        self.target.truncate(rows);
        self.x.truncate(rows * self.cols);
        self
    }
    /// Columns to mean 0 and population deviation 1; constant ones to 0.
    pub(crate) fn standardised(mut self) -> Self {
        let n = self.target.len() as f64;
        for j in 0..self.cols {
            let column = || self.x.iter().skip(j).step_by(self.cols);
            let mean = column().sum::<f64>() / n;
            let deviation = (column().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            let scale = if deviation > 1e-12 { deviation } else { 1.0 };
            self.x.iter_mut().skip(j).step_by(self.cols).for_each(|x| *x = (*x - mean) / scale);
        }
        self
    }
}

/// One of the workspace's data sets; none outside the workspace (in a packaged crate).
pub(crate) fn load(name: &str) -> Option<Table> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cli/data");
    let Ok(text) = std::fs::read_to_string(folder.join(format!("{name}.csv"))) else {
        eprintln!("skipped: cli/data/{name}.csv is not here");
        return None;
    };
    let mut table = Table { x: Vec::new(), cols: 0, target: Vec::new() };
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        let (features, target) = line.rsplit_once(',').unwrap();
        table.x.extend(features.split(',').map(|cell| cell.parse::<f64>().unwrap()));
        table.target.push(target.to_owned());
    }
    table.cols = table.x.len() / table.target.len();
    Some(table)
}

/// The number at `golden[case][key]`.
pub(crate) fn golden(case: &str) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/golden.json")).unwrap();
    all[case].clone()
}

/// Fails unless coefficients and intercepts are the golden ones to `tolerance`, relative to the largest.
pub(crate) fn assert_golden(case: &str, model: &LinearModel, tolerance: f64) {
    let golden = golden(case);
    for (key, ours) in [("coefficients", &model.coefficients), ("intercepts", &model.intercepts)] {
        let theirs: Vec<f64> = golden[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(ours.len(), theirs.len(), "{case}: {key}");
        let scale = theirs.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= tolerance * scale, "{case}: {key} differ by {worst:e} where the largest is {scale}");
    }
}

/// `rows x cols` standard normal numbers.
pub(crate) fn normal(rows: usize, cols: usize, seed: u64) -> Vec<f64> {
    let random = Philox::new(seed, Philox::purpose("linear tests"));
    (0..(rows * cols) as u64).map(|i| random.normal(i)).collect()
}

/// Columns of which the second repeats the first and the third is constant, on these scales.
pub(crate) fn dependent(rows: usize, cols: usize, seed: u64, scale: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut x = normal(rows, cols, seed);
    for row in x.chunks_exact_mut(cols) {
        if cols > 2 {
            row[1] = row[0];
            row[2] = 3.0;
        }
        row.iter_mut().enumerate().for_each(|(j, x)| *x = scale(j) * (*x + 0.5));
    }
    x
}

/// Columns in groups of so many, the last column alone.
pub(crate) fn in_groups(cols: usize, size: usize) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let all: Vec<usize> = (0..cols - 1).collect();
    let named: Vec<Vec<usize>> = all.chunks(size).map(<[usize]>::to_vec).collect();
    let every = named.iter().cloned().chain([vec![cols - 1]]).collect();
    (named, every)
}
