//! What trees promise, as one program: thirteen would each instantiate and link what they share.

mod absolute;
mod bad_input;
mod best_split;
mod class_weights;
mod compiled;
mod constraints;
mod criteria;
mod outputs;
mod promises;
mod pruning;
mod shap;
mod unseen;
mod wide;
