//! What decision trees, forests and boosting spend their time in: histograms over bins, their difference, the scan for
//! the best split, the stable partition of rows, binning, and the ways of rows down finished trees.
//!
//! A column's values are replaced once by small integers, their *bins* ([`Bins`]). A node of a tree is a list of rows
//! ([`Rows`]); its histogram holds, for every bin of every feature, the sum over the node's rows of what each row brings.
//! These sums are integers ([`Packed`], [`Pair`], counts), so no order of additions, number of threads, block size or
//! instruction set can change them, and a parent's histogram is exactly the sum of its children's. Real gradients are
//! made integers by the caller, who multiplies by a power of two, with sample weights folded in.
//!
//! Histograms of gradients: Chen and Guestrin, *XGBoost*, KDD 2016; Ke et al., *LightGBM*, NeurIPS 2017. Integers in
//! place of real gradients: Shi et al., *Quantized Training of Gradient Boosting Decision Trees*, NeurIPS 2022.

mod binning;
mod bins;
mod categories;
mod cells;
mod codes;
mod fixed;
mod gini;
mod histogram;
mod masks;
mod nodes;
mod partition;
mod row_split;
mod shared;
mod split;
mod subtract;
mod tops;
mod walk;

pub use binning::{Binner, bin_values};
pub use bins::{Bin, Bins, OwnedBins, Rows};
pub use categories::Categories;
pub use cells::{Cell, ClassWeight, Gradients, Labels, Packed, Pair};
pub use codes::{CodeNode, CodedTrees, Coder, Coding, predict_coded};
pub use fixed::{Derivatives, FixedPoint, exponents, fixed_point, largest, round_fixed, sizes};
pub use gini::{ClassBins, best_gini_split};
pub use histogram::{class_histogram, histogram, histogram_pairs, histogram_wide};
pub use masks::{MaskTest, MaskedTrees, predict_masked};
pub use nodes::{Node, Parts, Values, predict};
pub use partition::{LeftBins, partition};
pub use row_split::{Asked, RowSplit, RowSums, best_split_of_rows};
pub use shared::Shared;
pub use split::{NewtonRule, Split, best_split};
pub use subtract::subtract;
pub use walk::{Layout, MISSING, Tests, Trees, Visit};
