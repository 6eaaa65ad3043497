//! Parquet files: columns in compressed pages.

use crate::batches::{Batches, Shape, damaged};
use crate::options::ReadOptions;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use tilewise_base::Result;

/// Rows decoded at a time: pages of a column stay in cache.
const BATCH_ROWS: usize = 8192;

/// The wanted columns of a Parquet file, batch by batch.
pub(crate) fn open<R: ChunkReader + 'static>(
    input: R,
    file: &str,
    options: &ReadOptions<'_>,
) -> Result<(Shape, Batches)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(input).map_err(|e| damaged(file, e))?;
    let shape = Shape::of(builder.schema(), file, options)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), shape.places());
    let reader =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|e| damaged(file, e))?;
    Ok((shape.projected(), Box::new(reader)))
}
