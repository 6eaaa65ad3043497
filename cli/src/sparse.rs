//! libsvm files that are too wide for dense tables, and what models predict of them.

use crate::arguments::Table;
use crate::failure::Failure;
use tilewise_base::{Model, Result, SparseTable};
use tilewise_kernels::MatMut;
use tilewise_models::takes_sparse;

/// The table for a model, if it is better kept sparse and the model can take it so: one of a linear family whose inputs are f1, f2 ...
pub(crate) fn table_for(model: &dyn Model, table: &Table) -> Result<Option<SparseTable>, Failure> {
    let named = |(i, name): (usize, &str)| name.strip_prefix('f') == Some(&(i + 1).to_string()[..]);
    let inputs = model.inputs();
    if !takes_sparse(model.kind())
        || model.offset().is_some()
        || !inputs.iter().map(|f| &f.name[..]).enumerate().all(named)
    {
        return Ok(None);
    }
    table.read_sparse(Some(inputs.len()))
}

/// Predictions of all rows.
pub(crate) fn predict(model: &dyn Model, table: &SparseTable) -> Result<Vec<f64>> {
    let (rows, outputs) = (table.target.len(), model.outputs());
    let mut out = vec![0.0; rows * outputs];
    model.predict_sparse(table.x.view(), None, MatMut::new(&mut out, rows, outputs)?)?;
    Ok(out)
}
