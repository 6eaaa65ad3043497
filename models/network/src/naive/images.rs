//! Layers of images in the plainest form: rows x channels x height x width, a loop for each.

use crate::Window;

/// Images one after the other.
#[derive(Clone, Debug)]
pub struct Images {
    /// How many.
    pub rows: usize,
    /// Of each.
    pub channels: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// rows x channels x height x width.
    pub values: Vec<f64>,
}

impl Images {
    /// The pixel, or nothing outside the image.
    fn get(&self, row: usize, channel: usize, at: [Option<usize>; 2]) -> Option<f64> {
        let [i, j] = [at[0]?, at[1]?];
        let inside = i < self.size[0] && j < self.size[1];
        inside.then(|| self.values[((row * self.channels + channel) * self.size[0] + i) * self.size[1] + j])
    }

    /// `f(row, channel, pixels)` for every pixel of the result, pixels being those that the window sees: of channel c the tap (i, j) is
    /// `pixels(c, i, j)`.
    fn slide(
        &self,
        window: Window,
        channels: usize,
        f: impl Fn(usize, usize, &dyn Fn(usize, usize, usize) -> Option<f64>) -> f64,
    ) -> Self {
        let Window { size, stride, padding, dilation } = window;
        let places = |axis: usize| {
            (self.size[axis] + 2 * padding[axis] - (size[axis] - 1) * dilation[axis] - 1) / stride[axis] + 1
        };
        let (height, width) = (places(0), places(1));
        let mut values = Vec::new();
        for row in 0..self.rows {
            for channel in 0..channels {
                for y in 0..height {
                    for x in 0..width {
                        let at = |axis: usize, place: usize, tap: usize| {
                            (place * stride[axis] + tap * dilation[axis]).checked_sub(padding[axis])
                        };
                        values.push(f(row, channel, &|c, i, j| self.get(row, c, [at(0, y, i), at(1, x, j)])));
                    }
                }
            }
        }
        Self { rows: self.rows, channels, size: [height, width], values }
    }
}

/// y = bias + the sum over channels and taps of x w, w being outputs x channels x height x width, zero outside the image.
pub fn convolution(x: &Images, window: Window, weights: &[f64], bias: &[f64]) -> Images {
    let [height, width] = window.size;
    x.slide(window, bias.len(), |_, output, pixel| {
        let mut sum = bias[output];
        for c in 0..x.channels {
            for i in 0..height {
                for j in 0..width {
                    let w = weights[((output * x.channels + c) * height + i) * width + j];
                    sum += w * pixel(c, i, j).unwrap_or(0.0);
                }
            }
        }
        sum
    })
}

/// The largest number inside the image that the window sees.
pub fn max_pool(x: &Images, window: Window) -> Images {
    x.slide(window, x.channels, |_, channel, pixel| {
        let all = (0..window.size[0]).flat_map(|i| (0..window.size[1]).map(move |j| (i, j)));
        all.filter_map(|(i, j)| pixel(channel, i, j)).fold(f64::NEG_INFINITY, f64::max)
    })
}

/// The mean of what the window sees, zeros outside the image.
pub fn average_pool(x: &Images, window: Window) -> Images {
    let [height, width] = window.size;
    x.slide(window, x.channels, |_, channel, pixel| {
        let all = (0..height).flat_map(|i| (0..width).map(move |j| (i, j)));
        all.filter_map(|(i, j)| pixel(channel, i, j)).sum::<f64>() / (height * width) as f64
    })
}
