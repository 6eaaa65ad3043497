//! All cases, a file for each kind of kernel.

use crate::case::Case;

mod add;
mod batched;
mod boosting;
mod conv;
mod elementary;
mod gemm;
mod gemv;
mod gram;
mod growing;
mod linear;
mod network;
mod quantised;
mod tree;
mod vector;

pub(crate) use growing::AUTO;

/// Every case: what `check`, `scale`, `report` and the criterion benches go through.
pub fn all() -> Vec<Case> {
    [
        vector::cases::<f32>(),
        vector::cases::<f64>(),
        add::cases::<f32>(),
        add::cases::<f64>(),
        gemv::cases::<f32>(),
        gemv::cases::<f64>(),
        gemm::cases::<f32>(),
        gemm::cases::<f64>(),
        batched::cases::<f32>(),
        batched::cases::<f64>(),
        conv::cases::<f32>(),
        conv::cases::<f64>(),
        gram::cases::<f32>(),
        gram::cases::<f64>(),
        elementary::cases::<f32>(),
        elementary::cases::<f64>(),
        quantised::cases(),
        tree::cases(),
        growing::cases(),
        boosting::cases(),
        linear::cases(),
        network::cases(),
    ]
    .concat()
}

/// The cases whose title contains one of `filters`; without any all cases.
pub fn matching(filters: &[impl AsRef<str>]) -> Vec<Case> {
    let matches = |case: &Case| filters.iter().any(|filter| case.title().contains(filter.as_ref()));
    all().into_iter().filter(|case| filters.is_empty() || matches(case)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operand::Draw;

    #[test]
    fn titles_are_unique_and_shapes_fit() {
        let mut titles: Vec<String> = all().iter().map(Case::title).collect();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), all().len());
        for case in all() {
            for shape in case.timed.iter().copied().chain([case.quick, case.largest]) {
                assert_eq!(shape.len(), case.dims.len(), "{} {shape:?}", case.title());
            }
            let mut work = (case.make)(case.quick, &mut Draw::packed(1));
            work.ours().unwrap();
            assert_eq!(work.output().len(), work.allowed().len(), "{}", case.title());
            assert!(work.cost().flops > 0.0 && work.cost().bytes > 0.0);
        }
    }
}
