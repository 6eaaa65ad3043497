//! The register tile of bytes: `H` rows by two vectors of sums while k runs over packed panels, a group at a time.
//!
//! The shape is that of the f32 tile, and so are the loads: a lane takes four bytes where it took one f32.

use super::dot::Dot;

/// sums = (or, with `more`, sums +) A x B for the first `H` rows of a panel of A, which is `D::TILE_ROWS` high, and a
/// panel of B of two vectors, over `groups` groups. `sums` is row-major and as wide as the panel of B.
///
/// # Safety
/// `a` must be readable for `groups` groups of `D::TILE_ROWS` rows, `b` for as many of `2 * D::LANES` columns.
#[inline(always)]
pub(super) unsafe fn tile<D: Dot, const H: usize>(
    simd: D,
    groups: usize,
    a: *const D::A,
    b: *const D::B,
    sums: &mut [i32],
    more: bool,
) {
    assert!(H <= D::TILE_ROWS && sums.len() >= H * 2 * D::LANES);
    let at = |i: usize, v: usize| sums.as_ptr().wrapping_add((2 * i + v) * D::LANES).cast::<D::Sums>();
    let mut acc = [[simd.zero(); 2]; H];
    if more {
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the slice holds H rows of two vectors of LANES sums.
            *acc = unsafe { [at(i, 0).read_unaligned(), at(i, 1).read_unaligned()] };
        }
    }
    let (mut a, mut b) = (a, b);
    for _ in 0..groups {
        let columns = b.cast::<D::Columns>();
        // SAFETY: the caller promises two vectors of columns in each of `groups` groups.
        let columns = unsafe { [columns.read_unaligned(), columns.add(1).read_unaligned()] };
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller promises TILE_ROWS >= H rows in each of `groups` groups.
            let row = unsafe { simd.row(a.wrapping_add(i * D::GROUP)) };
            acc[0] = simd.dot(row, columns[0], acc[0]);
            acc[1] = simd.dot(row, columns[1], acc[1]);
        }
        a = a.wrapping_add(D::TILE_ROWS * D::GROUP);
        b = b.wrapping_add(2 * D::LANES * D::GROUP);
    }
    let to = sums.as_mut_ptr();
    for (i, acc) in acc.iter().enumerate() {
        for (v, &acc) in acc.iter().enumerate() {
            // SAFETY: as above.
            unsafe { to.add((2 * i + v) * D::LANES).cast::<D::Sums>().write_unaligned(acc) };
        }
    }
}

/// The sums of the columns of a packed panel of B: a tile whose row is all ones.
#[inline(always)]
pub(super) fn column_sums<D: Dot>(simd: D, panel: &[D::B], out: &mut [i32]) {
    assert!(out.len() == 2 * D::LANES);
    let ones = [D::A::from(1); 4];
    // SAFETY: no group is longer than four.
    let row = unsafe { simd.row(ones.as_ptr()) };
    let mut sums = [simd.zero(); 2];
    for group in panel.chunks_exact(2 * D::LANES * D::GROUP) {
        let columns = group.as_ptr().cast::<D::Columns>();
        for (v, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the group holds two vectors of columns.
            *sums = simd.dot(row, unsafe { columns.add(v).read_unaligned() }, *sums);
        }
    }
    for (v, sums) in sums.into_iter().enumerate() {
        // SAFETY: the slice holds two vectors of LANES sums.
        unsafe { out.as_mut_ptr().add(v * D::LANES).cast::<D::Sums>().write_unaligned(sums) };
    }
}

/// Adds the sums of the rows of a packed panel of A to `sums`.
#[inline(always)]
pub(super) fn add_row_sums<D: Dot>(_: D, panel: &[D::A], sums: &mut [i32]) {
    for group in panel.chunks_exact(D::TILE_ROWS * D::GROUP) {
        for (sum, row) in sums.iter_mut().zip(group.chunks_exact(D::GROUP)) {
            for &x in row {
                let x: i32 = x.into();
                *sum = sum.wrapping_add(x);
            }
        }
    }
}
