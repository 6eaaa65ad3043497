//! Least squares, ridge and logistic regression against independent answers.

mod bounds;
mod elastic_net;
mod extremes;
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
mod solvers;
mod solvers_smooth;
mod sparse;
mod stochastic;
mod support;
