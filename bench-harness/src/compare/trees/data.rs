//! Generated rows: the same for every system, functions of the seed and of the number of rows alone.

use tilewise_kernels::random::Philox;

/// A distribution of rows.
pub(super) struct Data {
    pub(super) name: &'static str,
    pub(super) features: usize,
    pub(super) classes: usize,
    /// So many rows, row by row, and their classes.
    pub(super) draw: fn(usize, u64) -> (Vec<f64>, Vec<u32>),
}

pub(super) const ALL: [Data; 2] = [
    Data { name: "dense_binary", features: 28, classes: 2, draw: dense_binary },
    Data { name: "cover_like", features: 54, classes: 7, draw: cover_like },
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
fn dense_binary(rows: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
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
        let noise = 0.7 * (stream.gumbel() - stream.gumbel());
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
}
