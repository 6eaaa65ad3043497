//! Views of matrices of other crates: nothing is copied, any strides they have are ours.

use super::{MatMut, MatRef, canonical};
use std::marker::PhantomData;

/// A conversion from a view with a pointer, a shape and strides in elements.
macro_rules! view {
    ($(#[$doc:meta])* $ours:ident from $theirs:ty, $view:ident => $ptr:expr, $shape:expr, $strides:expr) => {
        $(#[$doc])*
        impl<'a, T: Copy> From<$theirs> for $ours<'a, T> {
            #[allow(unused_mut, reason = "only views that may be written are asked for a pointer for writing")]
            fn from(mut $view: $theirs) -> Self {
                let ((rows, cols), (rs, cs)) = ($shape, $strides);
                // The elements stay borrowed for 'a as theirs were; theirs that may be written are distinct.
                let (row_stride, col_stride) = canonical(rows, cols, rs, cs);
                Self { ptr: $ptr, rows, cols, row_stride, col_stride, life: PhantomData }
            }
        }
    };
}

#[cfg(feature = "ndarray")]
view! {
    /// With the feature `ndarray`.
    MatRef from ndarray::ArrayView2<'a, T>,
    x => x.as_ptr(), x.dim(), (x.strides()[0], x.strides()[1])
}
#[cfg(feature = "ndarray")]
view! {
    /// With the feature `ndarray`.
    MatMut from ndarray::ArrayViewMut2<'a, T>,
    x => x.as_mut_ptr(), x.dim(), (x.strides()[0], x.strides()[1])
}
#[cfg(feature = "faer")]
view! {
    /// With the feature `faer`.
    MatRef from faer::MatRef<'a, T>,
    x => x.as_ptr(), x.shape(), (x.row_stride(), x.col_stride())
}
#[cfg(feature = "faer")]
view! {
    /// With the feature `faer`.
    MatMut from faer::MatMut<'a, T>,
    x => x.as_ptr_mut(), x.shape(), (x.row_stride(), x.col_stride())
}
