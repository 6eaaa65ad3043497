//! Inputs that are the pixels of images.

use tilewise_base::{Error, Field, Kind, Result};

/// That inputs are the pixels of an image.
pub(super) fn check_pixels([channels, height, width]: [usize; 3], inputs: &[Field]) -> Result<()> {
    if let Some(field) = inputs.iter().find(|field| matches!(field.kind, Kind::Categorical { .. })) {
        return Err(Error::column(&field.name, "holds categories, and pixels of images are numbers"));
    }
    let (found, text) = (inputs.len(), format!("{channels}x{height}x{width}"));
    match channels.saturating_mul(height).saturating_mul(width) == found {
        true => Ok(()),
        false => Err(Error::parameter(
            "image",
            text,
            format!("channels x height x width that are {found} columns are"),
        )),
    }
}

/// Mean and deviation of the channel of each column of rows of `width` numbers; a channel that is constant has deviation 1.
pub(super) fn of_channels(
    x: &[f64],
    width: usize,
    channels: usize,
    weights: Option<&[f64]>,
) -> Vec<(f64, f64)> {
    let pixels = width / channels;
    let mean = |channel: usize, of: &dyn Fn(f64) -> f64| {
        let (mut sum, mut total) = (0.0, 0.0);
        for (i, row) in x.chunks_exact(width).enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[i]);
            sum += weight * row[channel * pixels..][..pixels].iter().map(|&x| of(x)).sum::<f64>();
            total += weight * pixels as f64;
        }
        sum / total
    };
    let of_channel = |channel: usize| {
        // Around one of them, so that equal numbers have a mean that is theirs, however many they are.
        let first = x[channel * pixels];
        let centre = first + mean(channel, &|x| x - first);
        let deviation = mean(channel, &|x| (x - centre).powi(2)).sqrt();
        // As the encoder has it: less is the rounding of equal numbers.
        let constant = deviation <= 8.0 * f64::EPSILON * centre.abs();
        vec![(centre, if constant { 1.0 } else { deviation }); pixels]
    };
    (0..channels).flat_map(of_channel).collect()
}

#[cfg(test)]
mod tests {
    use super::of_channels;

    /// Sums of a tenth are none of a tenth: what is the same everywhere must not be scaled by their rounding.
    #[test]
    fn a_channel_that_is_constant_keeps_its_units() {
        let rows = 1797;
        let image: Vec<f64> = (0..64).map(|_| 0.1).chain((0..64).map(f64::from)).collect();
        let by = of_channels(&image.repeat(rows), 128, 2, None);
        assert_eq!(by[0], (0.1, 1.0));
        assert_eq!(by[63], by[0]);
        // Of 0 to 63 the mean and the deviation.
        assert!((by[64].0 - 31.5).abs() < 1e-9 && (by[64].1 - 341.25f64.sqrt()).abs() < 1e-9, "{:?}", by[64]);
    }
}
