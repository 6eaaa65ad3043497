//! Checks every kernel against a naive version, measures scaling, compares with peers.
