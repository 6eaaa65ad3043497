//! Any Tilewise model by name or by file.
