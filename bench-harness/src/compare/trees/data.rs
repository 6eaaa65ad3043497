//! Generated rows: the same for every system, functions of the seed and of the number of rows alone.

use tilewise_kernels::random::Philox;

/// A distribution of rows.
pub(super) struct Data {
    pub(super) name: &'static str,
    pub(super) features: usize,
    /// How many of the features, the last ones, are codes of categories; NaN is missing.
    pub(super) categories: usize,
    pub(super) classes: usize,
    /// So many rows, row by row, and their classes.
    pub(super) draw: fn(usize, u64) -> (Vec<f64>, Vec<u32>),
}

pub(super) const ALL: [Data; 5] = [
    Data { name: "dense_binary", features: 28, categories: 0, classes: 2, draw: dense_binary },
    Data { name: "cover_like", features: 54, categories: 0, classes: 7, draw: cover_like },
    Data { name: "wide_binary", features: 500, categories: 0, classes: 2, draw: wide_binary },
    Data { name: "categorical_missing", features: 40, categories: 20, classes: 2, draw: categorical_missing },
    Data { name: "small", features: 20, categories: 0, classes: 2, draw: small },
];

/// Random numbers one after another.
struct Stream {
    stream: Philox,
    next: u64,
}

impl Stream {
    fn new(seed: u64, name: &'static str) -> Self {
        Self { stream: Philox::new(seed, Philox::purpose(name)), next: 0 }
    }

    fn step(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// In (0, 1].
    fn uniform(&mut self) -> f64 {
        let at = self.step();
        1.0 - self.stream.uniform(at)
    }

    fn normal(&mut self) -> f64 {
        let at = self.step();
        self.stream.normal(at)
    }

    fn below(&mut self, n: u64) -> usize {
        let at = self.step();
        self.stream.below(at, n) as usize
    }

    /// The difference of two of these is logistic.
    fn gumbel(&mut self) -> f64 {
        -(-self.uniform().ln()).max(f64::MIN_POSITIVE).ln()
    }

    /// Of whole shape: a sum of exponential waiting times.
    fn gamma(&mut self, shape: u32, scale: f64) -> f64 {
        -scale * (0..shape).map(|_| self.uniform().ln()).sum::<f64>()
    }

    fn logistic(&mut self) -> f64 {
        self.gumbel() - self.gumbel()
    }

    /// 1, 2, ... with probabilities as k^-a, a above 1, by rejection (Devroye 1986, X.6.1).
    fn zipf(&mut self, a: f64) -> f64 {
        let b = 2.0_f64.powf(a - 1.0);
        loop {
            let (u, v) = (self.uniform(), self.uniform());
            let x = u.powf(-1.0 / (a - 1.0)).floor();
            let t = (1.0 + 1.0 / x).powf(a - 1.0);
            if v * x * (t - 1.0) / (b - 1.0) <= t / b {
                return x;
            }
        }
    }

    /// By rejection (Johnk 1964).
    fn beta(&mut self, a: f64, b: f64) -> f64 {
        loop {
            let (u, v) = (self.uniform().powf(1.0 / a), self.uniform().powf(1.0 / b));
            if u + v <= 1.0 {
                return u / (u + v);
            }
        }
    }
}

/// As measurements are: products of features, a sine, a threshold, half of the 28 features with a heavy tail; logistic noise,
/// so that nobody reaches an AUC above about 0.87.
pub(crate) fn dense_binary(rows: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
    const FEATURES: usize = 28;
    let mut stream = Stream::new(seed, "dense binary");
    let (mut x, mut y) = (Vec::with_capacity(rows * FEATURES), Vec::with_capacity(rows));
    for _ in 0..rows {
        let row: [f64; FEATURES] = std::array::from_fn(|j| {
            let normal = stream.normal();
            // Numbers that an f32 holds: what is learned is a function of what is seen.
            f64::from(if j < FEATURES / 2 { normal } else { normal.abs().powf(1.3) } as f32)
        });
        let z = row[0] * row[1] + (2.0 * row[2]).sin() + 0.7 * row[14] * row[3]
            - 0.5 * f64::from(u8::from(row[15] > 1.0)) * row[4]
            + 0.3 * row[5] * row[5]
            - 0.4 * row[20]
            + 0.2 * row[6] * row[7] * row[8];
        let noise = 0.7 * stream.logistic();
        y.push(u32::from(z + noise > 0.2));
        x.extend(row);
    }
    (x, y)
}

/// As land covers are: 10 whole numbers, one of 4 and one of 40 categories as zeros and ones, 7 classes of 0.5 to 48 %
/// before the inputs speak.
fn cover_like(rows: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
    const PRIORS: [f64; 7] = [0.36, 0.48, 0.06, 0.005, 0.02, 0.03, 0.035];
    let mut stream = Stream::new(seed, "cover like");
    let (mut x, mut y) = (Vec::with_capacity(rows * 54), Vec::with_capacity(rows));
    for _ in 0..rows {
        let numbers: [f64; 10] = std::array::from_fn(|_| stream.gamma(3, 200.0).round());
        let (area, soil) = (stream.below(4), ((stream.beta(1.2, 4.0) * 40.0) as usize).min(39));
        let score = |(k, prior): (usize, &f64), noise: f64| {
            let wave = 2.0 * (numbers[k] / (150.0 + 40.0 * k as f64)).sin();
            wave + 0.3 * ((soil * (k + 3)) % 7) as f64
                + f64::from(u8::from(area == k % 4))
                + prior.ln()
                + noise
        };
        let scores: Vec<f64> = PRIORS.iter().enumerate().map(|one| score(one, stream.gumbel())).collect();
        y.push((0..7).fold(0, |best, k| if scores[k] > scores[best] { k } else { best }) as u32);
        x.extend(numbers);
        x.extend((0..4).map(|k| f64::from(u8::from(k == area))));
        x.extend((0..40).map(|k| f64::from(u8::from(k == soil))));
    }
    (x, y)
}

/// 500 standard normal features of which 30 tell something, alone but for two of them.
fn wide_binary(rows: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
    const FEATURES: usize = 500;
    let mut weights = vec![0.0; FEATURES];
    let order = Philox::new(seed, Philox::purpose("wide choice")).permutation(FEATURES);
    let mut drawn = Stream::new(seed, "wide weights");
    order[..30].iter().for_each(|&j| weights[j] = drawn.normal());
    let mut stream = Stream::new(seed, "wide binary");
    let (mut x, mut y) = (Vec::with_capacity(rows * FEATURES), Vec::with_capacity(rows));
    for _ in 0..rows {
        let row: [f64; FEATURES] = std::array::from_fn(|_| f64::from(stream.normal() as f32));
        let z = row.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>() + (3.0 * row[0]).sin() * row[1];
        y.push(u32::from(z + stream.logistic() > 0.0));
        x.extend(row);
    }
    (x, y)
}

/// 20 numbers and 20 categories of 2 to 5,000 levels, few of them frequent, all of which tell something; a tenth of the cells is
/// missing.
fn categorical_missing(rows: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
    const HALF: usize = 20;
    // Their ratio is constant but for rounding.
    let levels: [f64; HALF] =
        std::array::from_fn(|k| (2.0 * 2500.0_f64.powf(k as f64 / (HALF - 1) as f64)).round());
    let mut drawn = Stream::new(seed, "categorical effects");
    let effects: Vec<Vec<f64>> =
        levels.iter().map(|&n| (0..n as usize).map(|_| drawn.normal()).collect()).collect();
    let mut stream = Stream::new(seed, "categorical missing");
    let (mut x, mut y) = (Vec::with_capacity(rows * 2 * HALF), Vec::with_capacity(rows));
    for _ in 0..rows {
        let numbers: [f64; HALF] = std::array::from_fn(|_| f64::from(stream.normal() as f32));
        let codes: [f64; HALF] = std::array::from_fn(|k| (stream.zipf(1.3) - 1.0).min(levels[k] - 1.0));
        let effect: f64 = codes.iter().zip(&effects).map(|(&code, effects)| effects[code as usize]).sum();
        let z = numbers[0] * numbers[1] + 0.5 * numbers[2] + 0.4 * effect;
        y.push(u32::from(z + stream.logistic() > 0.0));
        let cells = numbers.into_iter().chain(codes);
        x.extend(cells.map(|cell| if stream.uniform() <= 0.1 { f64::NAN } else { cell }));
    }
    (x, y)
}

/// The first 20 features of other rows of [`dense_binary`].
fn small(rows: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
    let (x, y) = dense_binary(rows, seed + 1_000);
    (x.chunks_exact(28).flat_map(|row| row[..20].iter().copied()).collect(), y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_moments_that_they_should() {
        let rows = 40_000;
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            sum / count
        };
        let (x, y) = dense_binary(rows, 1);
        let column = |j: usize| x.chunks_exact(28).map(move |row| row[j]);
        assert!(mean(&mut column(3)).abs() < 0.02);
        // E |z|^1.3 = 2^0.65 Gamma(1.15) / sqrt(pi) for a standard normal z.
        assert!((mean(&mut column(20)) - 0.8262).abs() < 0.01, "{}", mean(&mut column(20)));
        let ones = mean(&mut y.iter().map(|&y| f64::from(y)));
        assert!((0.3..0.7).contains(&ones), "{ones}");
        let (x, y) = cover_like(rows, 1);
        let row = |i: usize| &x[i * 54..][..54];
        assert!((0..rows).all(|i| row(i)[10..14].iter().sum::<f64>() == 1.0));
        assert!((0..rows).all(|i| row(i)[14..].iter().sum::<f64>() == 1.0));
        // Gamma(3, 200) and 40 Beta(1.2, 4), rounded down.
        assert!((mean(&mut (0..rows).map(|i| row(i)[0])) - 600.0).abs() < 6.0);
        let soil = |i: usize| row(i)[14..].iter().position(|&x| x == 1.0).unwrap_or(40) as f64;
        assert!((mean(&mut (0..rows).map(soil)) - (40.0 * 1.2 / 5.2 - 0.5)).abs() < 0.2);
        let counts: Vec<usize> = (0..7).map(|k| y.iter().filter(|&&y| y == k).count()).collect();
        assert!(counts.iter().all(|&count| count > rows / 1000), "{counts:?}");
        assert_ne!(dense_binary(10, 1).0, dense_binary(10, 2).0);
        assert_eq!(dense_binary(10, 1), dense_binary(10, 1));
    }

    #[test]
    fn rows_of_boosting_have_the_shares_that_they_should() {
        let (x, y) = wide_binary(2_000, 1);
        let column = |j: usize| x.chunks_exact(500).map(move |row| row[j]);
        let correlation =
            |j: usize| column(j).zip(&y).map(|(x, &y)| x * (f64::from(y) - 0.5)).sum::<f64>() / 1_000.0;
        // A feature without a weight has a standard deviation of 1 / sqrt(2000) = 0.022; the 30 weights are standard normal.
        let told = (0..500).filter(|&j| correlation(j).abs() > 0.09).count();
        assert!((5..=30).contains(&told), "{told}");

        let rows = 20_000;
        let (x, y) = categorical_missing(rows, 1);
        let missing = x.iter().filter(|x| x.is_nan()).count() as f64 / x.len() as f64;
        assert!((missing - 0.1).abs() < 0.002, "{missing}");
        let codes = |j: usize| x.chunks_exact(40).map(move |row| row[j]).filter(|x| !x.is_nan());
        // Two levels: the first has 1 / zeta(1.3) of the rows, zeta(1.3) = 3.9319.
        let first = codes(20).filter(|&code| code == 0.0).count() as f64 / codes(20).count() as f64;
        assert!((first - 1.0 / 3.9319).abs() < 0.015, "{first}");
        assert_eq!([20, 30, 39].map(|j| codes(j).fold(0.0, f64::max)), [1.0, 122.0, 4_999.0]);
        assert!(x.chunks_exact(40).all(|row| row[20..].iter().all(|x| x.is_nan() || x.fract() == 0.0)));
        let ones = f64::from(y.iter().sum::<u32>()) / rows as f64;
        assert!((0.1..0.9).contains(&ones), "{ones}");

        assert_eq!(small(5, 1).0[20..40], dense_binary(5, 1_001).0[28..48]);
    }
}
