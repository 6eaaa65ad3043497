//! Every way to fit, by slices of plain numbers, for what all of them promise: what bad input does, bits at any number of threads, weights
//! that are repetitions.

use tilewise_base::{Context, Fit, Result, Sparse};
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::Scheme;
use tilewise_linear::{
    DescentLoss, Distribution, ElasticNet, ElasticNetSolver, Generalised, GradientDescent, GroupLasso,
    GroupLoss, Huber, LeastSquares, LinearModel, Link, Logistic, LogisticSolver, Quantile, Rows,
    StochasticDescent, StochasticLoss,
};

/// What targets a family takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Any numbers.
    Numbers,
    /// Numbers above 0.
    Amounts,
    /// 0 and 1, as numbers: NaN is one.
    Sides,
    /// Classes 0 and 1, which have no NaN.
    Classes,
}

/// How near a fit of all rows comes to the minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To rounding, or a tolerance near it.
    Minimum,
    /// As near as steps by single rows, or along gradients, came.
    Descent,
}

type Fitted = Result<Fit<LinearModel>>;
type Call = Box<dyn Fn(&[f64], usize, &[f64], Rows<'_>) -> Fitted + Send + Sync>;

/// A way to fit.
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) reach: Reach,
    /// Whether something is penalised.
    pub(crate) penalised: bool,
    call: Call,
}

impl Family {
    fn new(name: &str, target: Target, penalised: bool, call: Call) -> Self {
        Self { name: name.into(), target, reach: Reach::Minimum, penalised, call }
    }

    fn by_descent(self) -> Self {
        Self { reach: Reach::Descent, ..self }
    }

    /// Of rows of `cols` numbers and a target for each, one that the family takes.
    pub(crate) fn fit(&self, x: &[f64], cols: usize, y: &[f64], rows: Rows<'_>) -> Fitted {
        (self.call)(x, cols, y, rows)
    }

    /// Scores as targets that the family takes.
    pub(crate) fn targets(&self, scores: &[f64]) -> Vec<f64> {
        let of = |s: &f64| match self.target {
            Target::Numbers => 2.0 * s + 1.0,
            Target::Amounts => (0.5 * s.clamp(-3.0, 3.0)).exp(),
            Target::Sides | Target::Classes => f64::from(u8::from(*s > 0.0)),
        };
        scores.iter().map(of).collect()
    }
}

fn view(x: &[f64], cols: usize) -> MatRef<'_, f64> {
    MatRef::new(x, x.len() / cols.max(1), cols).unwrap()
}

/// Fits of dense rows of numbers.
macro_rules! of_numbers {
    ($params:expr) => {{
        let params = $params;
        Box::new(move |x: &[f64], cols: usize, y: &[f64], rows: Rows<'_>| {
            params.fit(view(x, cols), y, rows, &Context::default())
        })
    }};
    ($params:expr, sparse) => {{
        let params = $params;
        Box::new(move |x: &[f64], cols: usize, y: &[f64], rows: Rows<'_>| {
            params.fit_sparse(Sparse::of_dense(view(x, cols))?.view(), y, rows, &Context::default())
        })
    }};
}

/// The same of classes.
macro_rules! of_classes {
    ($params:expr $(, $sparse:ident)?) => {{
        let params = $params;
        Box::new(move |x: &[f64], cols: usize, y: &[f64], rows: Rows<'_>| {
            let y: Vec<u32> = y.iter().map(|y| *y as u32).collect();
            of_classes!(@ params, x, cols, &y, rows $(, $sparse)?)
        })
    }};
    (@ $params:expr, $x:expr, $cols:expr, $y:expr, $rows:expr) => {
        $params.fit(view($x, $cols), $y, $rows, &Context::default())
    };
    (@ $params:expr, $x:expr, $cols:expr, $y:expr, $rows:expr, sparse) => {
        $params.fit_sparse(Sparse::of_dense(view($x, $cols))?.view(), $y, $rows, &Context::default())
    };
}

/// All of them, with penalties of this weight (per unit of weight; families without one have none) or, at 0, those that go without.
pub(crate) fn all(alpha: f64) -> Vec<Family> {
    use Target::{Amounts, Classes, Numbers, Sides};
    let penalised = alpha > 0.0;
    let l2 = 50.0 * alpha;
    let squares = LeastSquares { l2, ..LeastSquares::default() };
    let bounded = LeastSquares { lower: Some(-0.5), upper: Some(0.7), ..squares.clone() };
    let mut all = vec![
        Family::new("least squares", Numbers, penalised, of_numbers!(squares.clone())),
        Family::new("bounded least squares", Numbers, penalised, of_numbers!(bounded)),
        Family::new("sparse least squares", Numbers, penalised, of_numbers!(squares, sparse)),
    ];
    for (name, solver) in [
        ("newton", LogisticSolver::NewtonCholesky),
        ("lbfgs", LogisticSolver::Lbfgs),
        ("auto", LogisticSolver::Auto),
        ("saga", LogisticSolver::Saga),
    ] {
        let params = Logistic { l2, solver, ..Logistic::default() };
        let family = Family::new(&format!("logistic {name}"), Classes, penalised, of_classes!(params));
        all.push(if solver == LogisticSolver::Saga { family.by_descent() } else { family });
    }
    let logistic = Logistic { l2, ..Logistic::default() };
    all.push(Family::new("sparse logistic", Classes, penalised, of_classes!(logistic.clone(), sparse)));
    for distribution in [
        Distribution::Poisson,
        Distribution::Gamma,
        Distribution::Tweedie(1.5),
        Distribution::Tweedie(3.0),
        Distribution::Normal(Link::Log),
        Distribution::Normal(Link::Identity),
    ] {
        let params = Generalised { distribution, alpha, ..Generalised::default() };
        let name = format!("{distribution:?}");
        all.push(Family::new(&name, Amounts, penalised, of_numbers!(params.clone())));
        if (1.0..=2.0).contains(&distribution.power()) {
            let name = format!("sparse {name}");
            all.push(Family::new(&name, Amounts, penalised, of_numbers!(params, sparse)));
        }
    }
    let huber = Huber { alpha, ..Huber::default() };
    let joint = Huber { joint_scale: true, ..huber.clone() };
    // No share of whole weights: the answer is one.
    let quantile = Quantile { quantile: 0.371, alpha, ..Quantile::default() };
    all.extend([
        Family::new("Huber", Numbers, penalised, of_numbers!(huber.clone())),
        Family::new("sparse Huber", Numbers, penalised, of_numbers!(huber, sparse)),
        Family::new("Huber with its scale", Numbers, penalised, of_numbers!(joint)),
        Family::new("quantile", Numbers, penalised, of_numbers!(quantile)),
    ]);
    for (loss, target) in [
        (StochasticLoss::Squared, Numbers),
        (StochasticLoss::Logistic, Sides),
        (StochasticLoss::Huber(1.0), Numbers),
    ] {
        let params = StochasticDescent { loss, alpha, ..StochasticDescent::default() };
        let name = format!("stochastic {loss:?}");
        all.push(Family::new(&name, target, penalised, of_numbers!(params.clone())).by_descent());
        let name = format!("sparse {name}");
        all.push(Family::new(&name, target, penalised, of_numbers!(params, sparse)).by_descent());
    }
    for (loss, target) in [(DescentLoss::Squared, Numbers), (DescentLoss::Logistic, Sides)] {
        for scheme in [Scheme::Tasks, Scheme::Rows] {
            let params = GradientDescent { loss, l2, ..GradientDescent::default() };
            let call: Call = Box::new(move |x, cols, y, rows| {
                params.fit(view(x, cols), y, rows, &Context { scheme, ..Context::default() })
            });
            let name = format!("descent {loss:?} {scheme:?}");
            all.push(Family::new(&name, target, penalised, call).by_descent());
        }
    }
    if penalised {
        all.extend(corners(alpha));
    }
    all
}

/// With penalties that make coefficients zero.
fn corners(alpha: f64) -> Vec<Family> {
    use Target::{Amounts, Classes, Numbers, Sides};
    let mut all = Vec::new();
    for (name, solver) in [
        ("gram", ElasticNetSolver::Gram),
        ("working set", ElasticNetSolver::WorkingSet),
        ("saga", ElasticNetSolver::Saga),
    ] {
        let params = ElasticNet { alpha, l1_ratio: 0.5, solver, ..ElasticNet::default() };
        let family = Family::new(&format!("elastic net {name}"), Numbers, true, of_numbers!(params));
        all.push(if solver == ElasticNetSolver::Saga { family.by_descent() } else { family });
    }
    let net = ElasticNet { alpha, l1_ratio: 0.5, ..ElasticNet::default() };
    let positive = ElasticNet { positive: true, standardise: true, ..net.clone() };
    let logistic = Logistic { l1: 10.0 * alpha, l2: 10.0 * alpha, ..Logistic::default() };
    let saga = Logistic { solver: LogisticSolver::Saga, ..logistic.clone() };
    let counts = Generalised { alpha, l1_ratio: 0.5, ..Generalised::default() };
    let huber = Huber { alpha, l1_ratio: 0.5, ..Huber::default() };
    let stochastic = StochasticDescent { alpha, l1_ratio: 0.5, ..StochasticDescent::default() };
    all.extend([
        Family::new("positive elastic net", Numbers, true, of_numbers!(positive)),
        Family::new("sparse elastic net", Numbers, true, of_numbers!(net, sparse)),
        Family::new("logistic with corners", Classes, true, of_classes!(logistic.clone())),
        Family::new("sparse logistic with corners", Classes, true, of_classes!(logistic, sparse)),
        Family::new("logistic with corners by saga", Classes, true, of_classes!(saga)).by_descent(),
        Family::new("counts with corners", Amounts, true, of_numbers!(counts.clone())),
        Family::new("sparse counts with corners", Amounts, true, of_numbers!(counts, sparse)),
        Family::new("Huber with corners", Numbers, true, of_numbers!(huber.clone())),
        Family::new("sparse Huber with corners", Numbers, true, of_numbers!(huber, sparse)),
        Family::new("stochastic with corners", Numbers, true, of_numbers!(stochastic)).by_descent(),
    ]);
    for (loss, target) in [
        (GroupLoss::Squared, Numbers),
        (GroupLoss::Logistic, Sides),
        (GroupLoss::Deviance(Distribution::Poisson), Amounts),
    ] {
        let params =
            GroupLasso { loss, alpha, l1_ratio: 0.3, groups: vec![vec![0, 1]], ..GroupLasso::default() };
        all.push(Family::new(&format!("groups {loss:?}"), target, true, of_numbers!(params)));
    }
    all
}
