//! Drawing rows in proportion to weights, one number and one comparison each: the alias method (Walker, "An efficient method for generating
//! discrete random variables with general distributions", 1977; set up as in Vose, "A linear algorithm for generating random numbers with a
//! given distribution", 1991).

/// Each place is drawn evenly, and keeps the draw with its own chance or passes it on to one other.
pub(crate) struct Drawing {
    keep: Vec<f64>,
    other: Vec<u32>,
}

impl Drawing {
    /// For weights that are finite and not negative, one of them above 0, at most 2^32 of them; one of 0 is never drawn. O(weights).
    pub(crate) fn new(weights: &[f64]) -> Self {
        let n = weights.len();
        let per_place = weights.iter().sum::<f64>() / n as f64;
        let mut keep: Vec<f64> = weights.iter().map(|w| w / per_place).collect();
        let mut other: Vec<u32> = (0..n as u32).collect();
        let (mut short, mut full): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| keep[i] < 1.0);
        while let (Some(&i), Some(&k)) = (short.last(), full.last()) {
            short.pop();
            other[i] = k as u32;
            keep[k] -= 1.0 - keep[i];
            if keep[k] < 1.0 {
                full.pop();
                short.push(k);
            }
        }
        // What rounding leaves over is full.
        full.iter().for_each(|&i| keep[i] = 1.0);
        let largest = (0..n).fold(0, |most, i| if weights[i] > weights[most] { i } else { most });
        for i in short {
            (keep[i], other[i]) = if weights[i] > 0.0 { (1.0, other[i]) } else { (0.0, largest as u32) };
        }
        Self { keep, other }
    }

    /// The place that four random words draw.
    pub(crate) fn place(&self, [a, b, c, d]: [u32; 4]) -> usize {
        let (bits, coin) = (u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32);
        let place = ((u128::from(bits) * self.keep.len() as u128) >> 64) as usize;
        let coin = (coin >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        if coin < self.keep[place] { place } else { self.other[place] as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_kernels::random::Philox;

    #[test]
    fn chances_are_the_weights() {
        let random = Philox::new(3, 4);
        for n in [1, 2, 7, 500] {
            let weights: Vec<f64> = (0..n as u64)
                .map(|i| if i % 5 == 3 { 0.0 } else { (4.0 * random.normal(i)).exp() })
                .collect();
            let drawing = Drawing::new(&weights);
            let mut chances = vec![0.0; n];
            for i in 0..n {
                chances[i] += drawing.keep[i] / n as f64;
                chances[drawing.other[i] as usize] += (1.0 - drawing.keep[i]) / n as f64;
            }
            let total: f64 = weights.iter().sum();
            for (chance, weight) in chances.iter().zip(&weights) {
                assert!((chance - weight / total).abs() < 1e-13, "{chance} {weight} of {total}");
                assert!(*weight > 0.0 || *chance == 0.0);
            }
        }
        // Words to places: a third of the draws, five standard errors of 30,000 of them.
        let drawing = Drawing::new(&[1.0, 0.0, 2.0]);
        let first = (0..30_000).filter(|&i| drawing.place(random.words(i)) == 0).count();
        assert!((first as f64 - 10_000.0).abs() < 410.0, "{first}");
    }
}
