//! Least squares, ridge and logistic regression against independent answers.

mod bad_input;
mod bounds;
mod certificate;
mod elastic_net;
mod extremes;
mod families;
mod generalised;
mod golden_numbers;
mod gradient_descent;
mod group_lasso;
mod group_likelihood;
mod huber;
mod inference;
mod least_squares;
mod logistic;
mod nist;
mod penalised;
mod pieces;
mod pipeline;
mod quantile;
mod saga;
mod sameness;
mod sparse;
mod stochastic;
mod support;
