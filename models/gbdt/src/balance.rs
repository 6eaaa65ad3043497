//! Classes that count the same, whatever their rows.

use tilewise_base::{Error, Result};
use tilewise_kernels::same;
use tilewise_tree::BinnedTable;

/// The weights of rows by which all classes count the same.
pub(crate) fn balanced(table: &BinnedTable, y: &[u32], classes: usize) -> Result<Vec<f64>> {
    same("answers against rows", table.rows(), y.len())?;
    let mut of_classes = vec![Vec::new(); classes];
    for &row in table.counted() {
        let class = y[row as usize];
        let Some(rows) = of_classes.get_mut(class as usize) else {
            let what = format!("is class {class}, and there are {classes}");
            return Err(Error::cell(row as usize, "target", what));
        };
        rows.push(row);
    }
    let of_classes: Vec<f64> = of_classes.iter().map(|rows| table.weight_of(rows)).collect();
    let factors = factors(&of_classes, table.weight_of(table.counted()));
    // Of a row that does not count the class may be any.
    let of_row = |(row, &class): (usize, &u32)| {
        let weight = table.weight(row);
        if weight == 0.0 { 0.0 } else { weight * factors[class as usize] }
    };
    Ok(y.iter().enumerate().map(of_row).collect())
}

/// What the weights of the rows of each class are multiplied by, given the weights of the classes and of all rows.
pub(crate) fn factors(of_classes: &[f64], all: f64) -> Vec<f64> {
    let present = of_classes.iter().filter(|weight| **weight > 0.0).count() as f64;
    of_classes.iter().map(|weight| all / (present * weight)).collect()
}
