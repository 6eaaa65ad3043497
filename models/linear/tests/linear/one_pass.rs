//! How often the rows are read: bytes of chunks that are handed out.

use crate::support::normal;
use tilewise_base::rounds::Rounds;
use tilewise_kernels::MatRef;
use tilewise_linear::least_squares::LeastSquaresTrainer;
use tilewise_linear::{Chunk, LeastSquares, Rows};

/// Runs to the end over chunks of 100 rows; bytes of features that these had.
fn bytes_read(params: &LeastSquares, x: &[f64], y: &[f64]) -> usize {
    let cols = x.len() / y.len();
    let mut trainer = params.trainer::<f64>(cols, y.len()).unwrap();
    let mut bytes = 0;
    while let Some(request) = trainer.request() {
        let partials = x.chunks(100 * cols).zip(y.chunks(100)).enumerate().map(|(i, (x, y))| {
            bytes += size_of_val(x);
            let x = MatRef::new(x, y.len(), cols).unwrap();
            let chunk = Chunk { x, y, rows: Rows::default(), first_row: 100 * i };
            LeastSquaresTrainer::partial(&request, &chunk).unwrap()
        });
        let partial = partials.reduce(LeastSquaresTrainer::<f64>::merge).unwrap();
        trainer.advance(partial).unwrap();
    }
    let fit = trainer.finish().unwrap();
    assert!(fit.report.converged);
    bytes
}

#[test]
fn least_squares_read_the_rows_once_and_nearly_dependent_ones_twice() {
    let (rows, cols) = (1050, 6);
    let mut x = normal(rows, cols, 1);
    let y: Vec<f64> = x.chunks(cols).zip(normal(rows, 1, 2)).map(|(row, e)| row[0] - row[5] + e).collect();
    for l2 in [0.0, 1.0] {
        let params = LeastSquares { l2, ..Default::default() };
        assert_eq!(bytes_read(&params, &x, &y), size_of_val(&*x));
    }
    // Corrected by the residuals of the rows.
    x.chunks_mut(cols).for_each(|row| row[1] = row[0] + 1e-3 * row[1]);
    assert_eq!(bytes_read(&LeastSquares::default(), &x, &y), 2 * size_of_val(&*x));
}
