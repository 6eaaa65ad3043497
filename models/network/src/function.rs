//! Functions between layers, and their derivatives.

use crate::compiled::{compiled, for_each_rows};
use serde::{Deserialize, Serialize};
use tilewise_kernels::{Activation, Elementary, Float};

/// 1 / sqrt(2 pi): the height of the normal density.
const DENSITY: f64 = 0.398_942_280_401_432_7;

/// A function that is applied to each number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// x: layers around it are one product of rank at most the width between them.
    Identity,
    /// max(x, 0).
    Relu,
    /// x where positive, else `slope` x (Maas, Hannun, Ng 2013).
    LeakyRelu {
        /// Above 0; PyTorch's default is 0.01.
        slope: f64,
    },
    /// x Phi(x), Phi being the normal distribution (Hendrycks, Gimpel 2016); the exact form, not that by tanh.
    Gelu,
    /// x / (1 + e^-x) (Elfwing, Uchibe, Doya 2017).
    Silu,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
}

impl Function {
    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky-relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
        }
    }

    /// The same as something a product does to its result, where its derivative can be told from its value: the argument is then
    /// nowhere needed, so layer and function share one buffer.
    pub(crate) fn fused(self) -> Option<Activation> {
        match self {
            Self::Relu => Some(Activation::Relu),
            Self::Tanh => Some(Activation::Tanh),
            Self::Sigmoid => Some(Activation::Sigmoid),
            Self::Identity | Self::LeakyRelu { .. } | Self::Gelu | Self::Silu => None,
        }
    }

    /// y = f(x).
    pub(crate) fn forward<T: Float>(self, x: &[T], y: &mut [T]) {
        for_each_rows(y, 1, |at, y| {
            let x = &x[at..at + y.len()];
            match self {
                Self::Identity => y.copy_from_slice(x),
                Self::LeakyRelu { slope } => {
                    let slope = T::from_f64(slope);
                    compiled::<T, _>(
                        #[inline(always)]
                        || {
                            y.iter_mut()
                                .zip(x)
                                .for_each(|(y, &x)| *y = if x < T::ZERO { slope * x } else { x })
                        },
                    );
                }
                Self::Silu => {
                    y.copy_from_slice(x);
                    Elementary::Sigmoid.in_place(y);
                    compiled::<T, _>(
                        #[inline(always)]
                        || y.iter_mut().zip(x).for_each(|(y, &x)| *y *= x),
                    );
                }
                Self::Relu | Self::Gelu | Self::Tanh | Self::Sigmoid => {
                    y.copy_from_slice(x);
                    // GELU is the one of them that layers do not do by themselves.
                    apply(self.fused().unwrap_or(Activation::Gelu), y);
                }
            }
        });
    }

    /// dx = dy f'(x) from arguments.
    pub(crate) fn backward<T: Float>(self, x: &[T], dy: &[T], dx: &mut [T]) {
        let (one, half) = (T::ONE, T::from_f64(0.5));
        for_each_rows(dx, 1, |at, dx| {
            let (x, dy) = (&x[at..at + dx.len()], &dy[at..at + dx.len()]);
            match self {
                Self::Identity => dx.copy_from_slice(dy),
                Self::Relu => slopes(
                    x,
                    dy,
                    dx,
                    #[inline(always)]
                    |x| if x > T::ZERO { one } else { T::ZERO },
                ),
                Self::LeakyRelu { slope } => {
                    let slope = T::from_f64(slope);
                    slopes(
                        x,
                        dy,
                        dx,
                        #[inline(always)]
                        |x| if x > T::ZERO { one } else { slope },
                    );
                }
                Self::Silu => {
                    // s (1 + x (1 - s))
                    dx.copy_from_slice(x);
                    Elementary::Sigmoid.in_place(dx);
                    in_place(
                        x,
                        dy,
                        dx,
                        #[inline(always)]
                        |x, s| s * (one + x * (one - s)),
                    );
                }
                Self::Gelu => {
                    // Phi(x) + x phi(x); e^(-x^2 / 2) and erf(x / sqrt 2) one after the other.
                    let root = T::from_f64(std::f64::consts::FRAC_1_SQRT_2);
                    dx.iter_mut().zip(x).for_each(|(e, &x)| *e = x * root);
                    Elementary::Erf.in_place(dx);
                    in_place(
                        x,
                        dy,
                        dx,
                        #[inline(always)]
                        |_, erf| half * (one + erf),
                    );
                    let density = T::from_f64(DENSITY);
                    const STEP: usize = 256;
                    let mut e = [T::ZERO; STEP];
                    for ((x, dy), dx) in x.chunks(STEP).zip(dy.chunks(STEP)).zip(dx.chunks_mut(STEP)) {
                        let e = &mut e[..x.len()];
                        e.iter_mut().zip(x).for_each(|(e, &x)| *e = -half * x * x);
                        Elementary::Exp.in_place(e);
                        for i in 0..x.len() {
                            dx[i] += dy[i] * x[i] * (density * e[i]);
                        }
                    }
                }
                Self::Tanh | Self::Sigmoid => {
                    dx.copy_from_slice(x);
                    if self == Self::Tanh {
                        Elementary::Tanh.in_place(dx);
                        in_place(
                            x,
                            dy,
                            dx,
                            #[inline(always)]
                            |_, y| one - y * y,
                        );
                    } else {
                        Elementary::Sigmoid.in_place(dx);
                        in_place(
                            x,
                            dy,
                            dx,
                            #[inline(always)]
                            |_, y| y * (one - y),
                        );
                    }
                }
            }
        });
    }
}

/// y = f(y).
pub(crate) fn apply<T: Float>(function: Activation, y: &mut [T]) {
    match function {
        Activation::Relu => compiled::<T, _>(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y = if *y < T::ZERO { T::ZERO } else { *y }),
        ),
        Activation::Tanh => Elementary::Tanh.in_place(y),
        Activation::Sigmoid => Elementary::Sigmoid.in_place(y),
        Activation::Softplus => Elementary::Softplus.in_place(y),
        Activation::Gelu => Elementary::Gelu.in_place(y),
    }
}

/// dx = dy slope(x).
#[inline(always)]
fn slopes<T: Float>(x: &[T], dy: &[T], dx: &mut [T], slope: impl Fn(T) -> T) {
    compiled::<T, _>(
        #[inline(always)]
        || dx.iter_mut().zip(x.iter().zip(dy)).for_each(|(dx, (&x, &dy))| *dx = dy * slope(x)),
    );
}

/// dx = dy slope(x, dx).
#[inline(always)]
fn in_place<T: Float>(x: &[T], dy: &[T], dx: &mut [T], slope: impl Fn(T, T) -> T) {
    compiled::<T, _>(
        #[inline(always)]
        || dx.iter_mut().zip(x.iter().zip(dy)).for_each(|(dx, (&x, &dy))| *dx = dy * slope(x, *dx)),
    );
}

/// dy = dy f'(argument of y), for functions whose derivative is one of their value.
pub(crate) fn through_fused<T: Float>(function: Activation, y: &[T], dy: &mut [T]) {
    for_each_rows(dy, 1, |at, dy| {
        let y = &y[at..at + dy.len()];
        let mut each = |slope: fn(T) -> T| dy.iter_mut().zip(y).for_each(|(dy, &y)| *dy *= slope(y));
        match function {
            Activation::Tanh => each(|y| T::ONE - y * y),
            Activation::Sigmoid => each(|y| y * (T::ONE - y)),
            // All others that are ever fused.
            _ => compiled::<T, _>(
                #[inline(always)]
                || dy.iter_mut().zip(y).for_each(|(dy, &y)| *dy = if y > T::ZERO { *dy } else { T::ZERO }),
            ),
        }
    });
}
