//! Readers for CSV, Parquet, Arrow IPC and libsvm files.
