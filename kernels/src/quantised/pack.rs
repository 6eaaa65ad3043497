//! Packing of bytes: panels of `width` lines (rows of A or columns of B), group after group of steps of k; in a group
//! the steps of a line lie side by side, as one lane takes them. What lies beyond the operand is zero.

use crate::MatRef;

/// Packs lines `first..first + count` and steps `from..from + steps` of `view`, k x lines, into consecutive panels of
/// `width` lines and `steps`, rounded up to groups of `group`, at `out`.
#[inline(always)]
pub(super) fn pack<S: Copy + Default, P: Copy + From<S>>(
    view: MatRef<'_, S>,
    lines: (usize, usize),
    steps: (usize, usize),
    (width, group): (usize, usize),
    out: &mut [P],
) {
    match (width, group) {
        (32, 4) => panels::<S, P, 32, 4>(view, lines, steps, out),
        (16, 4) => panels::<S, P, 16, 4>(view, lines, steps, out),
        (12, 4) => panels::<S, P, 12, 4>(view, lines, steps, out),
        (6, 4) => panels::<S, P, 6, 4>(view, lines, steps, out),
        (32, 2) => panels::<S, P, 32, 2>(view, lines, steps, out),
        (16, 2) => panels::<S, P, 16, 2>(view, lines, steps, out),
        (12, 2) => panels::<S, P, 12, 2>(view, lines, steps, out),
        (8, 2) => panels::<S, P, 8, 2>(view, lines, steps, out),
        (6, 2) => panels::<S, P, 6, 2>(view, lines, steps, out),
        (4, 2) => panels::<S, P, 4, 2>(view, lines, steps, out),
        (16, 1) => panels::<S, P, 16, 1>(view, lines, steps, out),
        (6, 1) => panels::<S, P, 6, 1>(view, lines, steps, out),
        _ => unreachable!("a way of multiplying whose panels are not listed here"),
    }
}

/// The same for `W` lines and groups of `G`: known lengths let a group be copied as one number and, where the lines are
/// contiguous, whole vectors of groups be put together. With a width known only to the inliner, packing 1 MiB of B took
/// 230 microseconds.
#[inline(always)]
fn panels<S: Copy + Default, P: Copy + From<S>, const W: usize, const G: usize>(
    view: MatRef<'_, S>,
    (first, count): (usize, usize),
    (from, steps): (usize, usize),
    out: &mut [P],
) {
    assert!(first + count <= view.cols() && from + steps <= view.rows());
    let (along_k, along_line) = (view.row_stride(), view.col_stride());
    let at = |step: usize, line: usize| {
        let offset = (from + step) as isize * along_k + (first + line) as isize * along_line;
        view.as_ptr().wrapping_offset(offset)
    };
    let deep = steps.next_multiple_of(G);
    for (p, panel) in out.chunks_exact_mut(W * deep).take(count.div_ceil(W)).enumerate() {
        let line = p * W;
        let lines = W.min(count - line);
        let whole = steps / G * G;
        let (panel, _) = panel.as_chunks_mut::<G>();
        let mut done = 0;
        if along_line == 1 && lines == W {
            for (g, side) in panel.chunks_exact_mut(W).take(whole / G).enumerate() {
                // SAFETY: the elements of all lines of the panel at these steps lie in the view, contiguous by stride 1.
                let sources: [[S; W]; G] =
                    std::array::from_fn(|t| unsafe { at(g * G + t, line).cast::<[S; W]>().read_unaligned() });
                for (i, to) in side.iter_mut().enumerate() {
                    *to = std::array::from_fn(|t| P::from(sources[t][i]));
                }
            }
            done = whole;
        } else if along_k == 1 {
            for (g, side) in panel.chunks_exact_mut(W).take(whole / G).enumerate() {
                let sources: [[S; G]; W] = std::array::from_fn(|i| {
                    // Where there are fewer lines, the last one again, to be zeroed below.
                    let source = at(g * G, line + i.min(lines - 1)).cast::<[S; G]>();
                    // SAFETY: a group of steps of a line lies in the view, contiguous by stride 1.
                    unsafe { source.read_unaligned() }
                });
                for (to, from) in side.iter_mut().zip(sources) {
                    *to = from.map(P::from);
                }
                side[lines..].fill([P::from(S::default()); G]);
            }
            done = whole;
        }
        panel[done / G * W..].as_flattened_mut().fill(P::from(S::default()));
        for step in done..steps {
            let side = &mut panel[step / G * W..][..lines];
            for (i, to) in side.iter_mut().enumerate() {
                // SAFETY: a step and a line of the view.
                to[step % G] = P::from(unsafe { *at(step, line + i) });
            }
        }
    }
}
