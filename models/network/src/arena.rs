//! One flat piece of memory for everything of a kind: weights, gradients, activations.
//!
//! It begins on a cache line, so that a vector of 64 bytes never straddles two.

use std::ops::{Deref, DerefMut};
use tilewise_base::{Error, Result};
use tilewise_kernels::Float;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Numbers that begin on a cache line. Its length never changes.
pub(crate) struct Arena<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Float> Arena<T> {
    /// `len` zeros, of which there may be too many.
    ///
    /// # Errors
    /// When there is no memory for them. (`vec!`, which gets pages that are zero already, would end the process.)
    pub(crate) fn try_zeros(len: usize) -> Result<Self> {
        let tried = Vec::<T>::new().try_reserve_exact(len.saturating_add(LINE));
        tried.map_err(|e| Error::Fit(format!("there is no memory for the {len} numbers of a batch: {e}")))?;
        Ok(Self::zeros(len))
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let data = vec![T::ZERO; len + LINE / size_of::<T>()];
        // An offset is at most a line; were there none, any start is as right.
        let start = data.as_ptr().align_offset(LINE).min(data.len() - len);
        Self { data, start, len }
    }
}

impl<T: Float> Clone for Arena<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> Deref for Arena<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Arena<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}
