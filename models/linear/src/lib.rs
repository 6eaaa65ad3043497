//! Least squares, ridge, logistic and multinomial regression.
