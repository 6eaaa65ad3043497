//! Features in random order, and bins that are drawn.

use std::ops::ControlFlow;
use tilewise_kernels::random::Philox;

/// Calls `see` (how many were seen before, feature) with the features of a node of this key in random order until it has seen
/// enough. `features` holds those that there are in ascending order, before and after; `moved` is room.
pub fn draw(
    key: u64,
    features: &mut [u32],
    moved: &mut Vec<usize>,
    mut see: impl FnMut(usize, usize) -> ControlFlow<()>,
) {
    const DRAWN: u64 = Philox::purpose("features of a node");
    let random = Philox::new(key, DRAWN);
    moved.clear();
    let mut words = [0; 4];
    for left in (1..=features.len()).rev() {
        let seen = moved.len();
        if seen.is_multiple_of(4) {
            words = random.words(seen as u64 / 4);
        }
        // The bias is below features / 2^32.
        let place = ((u64::from(words[seen % 4]) * left as u64) >> 32) as usize;
        let feature = features[place];
        features.swap(place, left - 1);
        moved.push(place);
        if see(seen, feature as usize).is_break() {
            break;
        }
    }
    while let Some(place) = moved.pop() {
        features.swap(place, features.len() - 1 - moved.len());
    }
}

/// These features, or all of so many, in the order of [`draw`].
#[cfg(test)]
pub(crate) fn drawn(key: u64, features: usize, these: Option<&[u32]>) -> Vec<usize> {
    let mut all: Vec<u32> = these.map_or((0..features as u32).collect(), <[u32]>::to_vec);
    let mut order = Vec::new();
    draw(key, &mut all, &mut Vec::new(), |_, feature| {
        order.push(feature);
        ControlFlow::Continue(())
    });
    order
}

/// The bin up to which rows go left where splits are drawn: one of those from `first` to before `last`.
pub(crate) fn drawn_bin(key: u64, feature: usize, first: usize, last: usize) -> usize {
    const THRESHOLD: u64 = Philox::purpose("threshold of a node");
    let many = (last - first).max(1) as u64;
    first + Philox::new(key, THRESHOLD).below(feature as u64, many) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_drawn_without_repetition_and_put_back() {
        for features in [1, 2, 5, 28, 100] {
            let (mut all, mut moved): (Vec<u32>, _) = ((0..features).collect(), Vec::new());
            let mut firsts = vec![0; features as usize];
            for key in 0..2000 {
                let mut seen = Vec::new();
                draw(key, &mut all, &mut moved, |place, feature| {
                    assert_eq!(place, seen.len());
                    seen.push(feature);
                    if key % 3 == 0 && place == 1 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
                assert!(all.iter().copied().eq(0..features));
                firsts[seen[0]] += 1;
                assert_eq!(
                    seen.len(),
                    if key % 3 == 0 { 2.min(features as usize) } else { features as usize }
                );
                seen.sort_unstable();
                assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
            }
            // Each is the first about equally often: within six standard deviations.
            let mean = 2000.0 / f64::from(features);
            assert!(firsts.iter().all(|&n| (f64::from(n) - mean).abs() <= 6.0 * mean.sqrt()), "{firsts:?}");
        }
    }
}
