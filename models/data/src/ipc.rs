//! Arrow IPC files (Feather 2) and streams; which of both the first bytes tell.

use crate::batches::{Batches, Shape, damaged};
use crate::options::ReadOptions;
use arrow_ipc::reader::{FileReader, StreamReader};
use std::io::{Read, Seek};
use tilewise_base::{Error, Result};

/// What an IPC file starts with, and a stream does not.
const MAGIC: &[u8; 6] = b"ARROW1";

/// The wanted columns, batch by batch.
pub(crate) fn open<R: Read + Seek + Send + 'static>(
    mut input: R,
    file: &str,
    options: &ReadOptions<'_>,
) -> Result<(Shape, Batches)> {
    let mut start = Vec::new();
    (&mut input).take(MAGIC.len() as u64).read_to_end(&mut start).map_err(|e| Error::io(file, e))?;
    input.rewind().map_err(|e| Error::io(file, e))?;
    if start == MAGIC {
        let reader = FileReader::try_new(input, None).map_err(|e| damaged(file, e))?;
        Ok((Shape::of(&reader.schema(), file, options)?, Box::new(reader)))
    } else {
        let reader = StreamReader::try_new(input, None).map_err(|e| damaged(file, e))?;
        Ok((Shape::of(&reader.schema(), file, options)?, Box::new(reader)))
    }
}
