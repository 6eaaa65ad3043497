//! Layers as a person writes them: `conv16x3,norm,pool2,conv32x3,pool2,64`.

use crate::plan::Plan;
use crate::{Function, Layer, Window};
use tilewise_base::{Error, Result};

/// What parts of a text are, for error messages and help.
pub const PARTS: &str = "convCxK (C channels of windows of K x K pixels; sS behind it is a stride, pP a padding; without them and with odd K images stay as large), \
    poolK or avgpoolK (sS, pP: of K x K pixels side by side), norm (batch norm), dropoutR, flatten, and a width of a dense layer";

/// Most channels, columns and pixels of a window.
const MOST: usize = 65_536;

/// The layers of `text`, parts divided by commas ([`PARTS`]), but for the last dense layer, whose width is that of the target. Behind each
/// dense layer and each convolution comes `function`, and behind a dense one a dropout where `dropout` is above 0; a `norm` goes
/// before the function, in place of the biases. With `image` (channels, height, width) rows are images, and become rows of numbers before
/// the first dense layer or at the end. `none` is no layer.
///
/// ```
/// use tilewise_network::{Function, layers_of};
/// let layers = layers_of("conv16x3,pool2,conv32x3,pool2,64", Some([1, 8, 8]), Function::Relu, 0.0)?;
/// let told: Vec<String> = layers.iter().map(|layer| layer.describe()).collect();
/// assert_eq!(told[1], "convolution, 16 channels, 3 x 3, padding 1 x 1");
/// assert_eq!(told[6..], ["max pool, 2 x 2, stride 2 x 2", "flatten", "dense, 64 outputs", "relu"]);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
///
/// # Errors
/// When a part is none of those (it is named), or layers do not fit the image or each other (named by their place).
pub fn layers_of(
    text: &str,
    image: Option<[usize; 3]>,
    function: Function,
    dropout: f64,
) -> Result<Vec<Layer>> {
    let refuse = |part: &str, accepted: String| {
        Err(Error::parameter("layers", format!("{part:?} in {text:?}"), accepted))
    };
    let mut layers = Vec::new();
    let mut images = image.is_some();
    if let Some([channels, height, width]) = image {
        layers.push(Layer::image(channels, height, width));
    }
    let parts = if text.trim() == "none" { Vec::new() } else { text.split(',').map(str::trim).collect() };
    let mut rest = parts.iter().peekable();
    while let Some(&part) = rest.next() {
        let Some(mut layer) = layer(part) else { return refuse(part, format!("{PARTS} are")) };
        let of_images = matches!(
            layer,
            Layer::Convolution { .. } | Layer::MaxPool { .. } | Layer::AveragePool { .. } | Layer::Flatten
        );
        if of_images && !images {
            let accepted = match image {
                Some(_) => "it before the first dense layer is, as it is of images",
                None => "it with image=CxHxW is, as it is of images",
            };
            return refuse(part, accepted.into());
        }
        let is_dense = matches!(layer, Layer::Dense { .. });
        if is_dense && images {
            layers.push(Layer::Flatten);
        }
        images &= !is_dense && layer != Layer::Flatten;
        let learns = match &mut layer {
            Layer::Dense { bias, .. } | Layer::Convolution { bias, .. } => Some(bias),
            _ => None,
        };
        let Some(bias) = learns else {
            layers.push(layer);
            continue;
        };
        let norm = rest.next_if(|part| **part == "norm").is_some();
        *bias = !norm;
        layers.push(layer);
        layers.extend(norm.then(Layer::batch_norm));
        layers.push(Layer::activate(function));
        if is_dense && dropout > 0.0 {
            layers.push(Layer::Dropout { rate: dropout });
        }
    }
    if images {
        layers.push(Layer::Flatten);
    }
    if let Some([channels, height, width]) = image {
        // Shapes are known, so that what does not fit is told before a file is read.
        let inputs = channels.saturating_mul(height).saturating_mul(width);
        Plan::new(inputs, &[&layers[..], &[Layer::dense(1)]].concat())?;
    }
    Ok(layers)
}

fn layer(part: &str) -> Option<Layer> {
    if part == "norm" {
        return Some(Layer::batch_norm());
    }
    if part == "flatten" {
        return Some(Layer::Flatten);
    }
    if let Some(rest) = part.strip_prefix("conv") {
        let (channels, rest) = rest.split_once('x')?;
        let (size, stride, padding) = window(rest)?;
        let window =
            Window::square(size).stride(stride.unwrap_or(1)).padding(padding.unwrap_or((size - 1) / 2));
        return Some(Layer::convolution(number(channels)?, window));
    }
    let pool = |rest| {
        let (size, stride, padding) = window(rest)?;
        Some(Window::square(size).stride(stride.unwrap_or(size)).padding(padding.unwrap_or(0)))
    };
    if let Some(rest) = part.strip_prefix("pool") {
        return Some(Layer::MaxPool { window: pool(rest)? });
    }
    if let Some(rest) = part.strip_prefix("avgpool") {
        return Some(Layer::AveragePool { window: pool(rest)? });
    }
    if let Some(rest) = part.strip_prefix("dropout") {
        let rate = rest.parse().ok().filter(|rate| (0.0..1.0).contains(rate))?;
        return Some(Layer::Dropout { rate });
    }
    number(part).map(Layer::dense)
}

/// A whole number from 1 on.
fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (1..=MOST).contains(number))
}

/// Size, stride and padding of `3`, `3s2`, `3p0` or `3s2p1`.
fn window(text: &str) -> Option<(usize, Option<usize>, Option<usize>)> {
    let (text, padding) = match text.split_once('p') {
        Some((text, "0")) => (text, Some(0)),
        Some((text, padding)) => (text, Some(number(padding)?)),
        None => (text, None),
    };
    let (size, stride) = match text.split_once('s') {
        Some((size, stride)) => (size, Some(number(stride)?)),
        None => (text, None),
    };
    Some((number(size)?, stride, padding))
}
