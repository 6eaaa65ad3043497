//! A minimal threaded inference server for Tilewise models.
