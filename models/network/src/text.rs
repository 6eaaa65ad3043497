//! Layers as a person writes them: `conv16x3,norm,pool2,res(conv16x3,norm,conv16x3,norm),64`.

use crate::plan::Plan;
use crate::{Function, Layer, Window};
use std::iter::Peekable;
use tilewise_base::{Error, Result};

/// What parts of a text are, for error messages and help.
pub const PARTS: &str = "convCxK (C channels of windows of K x K pixels; sS behind it is a stride, pP a padding; without them and with odd K images stay as large), \
    poolK or avgpoolK (sS, pP: of K x K pixels side by side), norm (batch norm), layernorm, dropoutR, flatten, a width of a dense layer, \
    and res(PARTS), a residual block of such parts, whose result is as wide as its input";

/// Most channels, columns and pixels of a window.
const MOST: usize = 65_536;

/// Most blocks inside of each other.
const DEEPEST: usize = 8;

/// The layers of `text`, parts divided by commas ([`PARTS`]), but for the last dense layer, whose width is that of the target. Behind each
/// dense layer and each convolution comes `function`, and behind a dense one a dropout where `dropout` is above 0; a `norm` goes
/// before the function, in place of the biases, and so does a `layernorm`, beside them. Of the last of them in a block the function comes
/// behind the block's sum (He and others 2015). With `image` (channels, height, width) rows are images, and become rows of numbers before
/// the first dense layer or at the end. `none` is no layer.
///
/// ```
/// use tilewise_network::{Function, layers_of};
/// let layers = layers_of("conv16x3,pool2,conv32x3,pool2,64", Some([1, 8, 8]), Function::Relu, 0.0)?;
/// let told: Vec<String> = layers.iter().map(|layer| layer.describe()).collect();
/// assert_eq!(told[1], "convolution, 16 channels, 3 x 3, padding 1 x 1");
/// assert_eq!(told[6..], ["max pool, 2 x 2, stride 2 x 2", "flatten", "dense, 64 outputs", "relu"]);
/// let block = &layers_of("64,res(32,64)", None, Function::Relu, 0.0)?[2..];
/// assert_eq!(block[0].describe(), "residual (dense, 32 outputs; relu; dense, 64 outputs)");
/// assert_eq!(block[1].describe(), "relu");
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
    let mut reader = Reader { text, image, function, dropout, images: image.is_some() };
    let mut layers = Vec::new();
    if let Some([channels, height, width]) = image {
        layers.push(Layer::image(channels, height, width));
    }
    if text.trim() != "none" {
        layers.extend(reader.parts(text, 0)?.0);
    }
    if reader.images {
        layers.push(Layer::Flatten);
    }
    // What does not fit is told before a file is read. How wide rows are is not known; a dense layer takes any, a block what it gives.
    let inputs = match image {
        Some([channels, height, width]) => channels.saturating_mul(height).saturating_mul(width),
        None => {
            let width = layers.iter().find_map(|layer| match layer {
                Layer::Dense { .. } => Some(1),
                Layer::Residual { layers } => last_width(layers),
                _ => None,
            });
            width.unwrap_or(1)
        }
    };
    Plan::new(inputs, &[&layers[..], &[Layer::dense(1)]].concat())?;
    Ok(layers)
}

/// The width of the last dense layer, be it in a block.
fn last_width(layers: &[Layer]) -> Option<usize> {
    layers.iter().rev().find_map(|layer| match layer {
        Layer::Dense { outputs, .. } => Some(*outputs),
        Layer::Residual { layers } => last_width(layers),
        _ => None,
    })
}

/// Reads parts from the first to the last.
struct Reader<'a> {
    /// All of it, for error messages.
    text: &'a str,
    image: Option<[usize; 3]>,
    function: Function,
    dropout: f64,
    /// Whether what comes next is of images.
    images: bool,
}

impl<'a> Reader<'a> {
    fn refuse<T>(&self, part: &str, accepted: &str) -> Result<T> {
        Err(Error::parameter("layers", format!("{part:?} in {:?}", self.text), accepted.to_owned()))
    }

    /// Layers of `text`, which is so many blocks inside, and where the function of the last that has one is.
    fn parts(&mut self, text: &'a str, depth: usize) -> Result<(Vec<Layer>, Option<usize>)> {
        let Some(parts) = divided(text) else { return self.refuse(text, "a ) for each ( is") };
        let (mut layers, mut function) = (Vec::new(), None);
        let mut rest = parts.into_iter().peekable();
        while let Some(part) = rest.next() {
            let inside = part.strip_prefix("res(").and_then(|rest| rest.strip_suffix(')'));
            let (has_function, is_dense) = match inside {
                Some(_) if depth == DEEPEST => {
                    return self.refuse(part, "up to 8 blocks inside of each other are");
                }
                Some(inside) => {
                    let (mut inner, function) = self.parts(inside, depth + 1)?;
                    let behind = function.map(|at| inner.remove(at));
                    layers.push(Layer::Residual { layers: inner });
                    (behind.is_some(), false)
                }
                None => self.simple(part, &mut rest, depth > 0, &mut layers)?,
            };
            if has_function {
                function = Some(layers.len());
                layers.push(Layer::activate(self.function));
            }
            if is_dense && self.dropout > 0.0 {
                layers.push(Layer::Dropout { rate: self.dropout });
            }
        }
        Ok((layers, function))
    }

    /// Adds the layer of a part that is no block, with the norm behind it; whether a function comes then, and whether it is a dense one.
    fn simple(
        &mut self,
        part: &str,
        rest: &mut Peekable<impl Iterator<Item = &'a str>>,
        in_block: bool,
        layers: &mut Vec<Layer>,
    ) -> Result<(bool, bool)> {
        let Some(mut layer) = layer(part) else { return self.refuse(part, &format!("{PARTS} are")) };
        let is_dense = matches!(layer, Layer::Dense { .. });
        let of_images = matches!(
            layer,
            Layer::Convolution { .. } | Layer::MaxPool { .. } | Layer::AveragePool { .. } | Layer::Flatten
        );
        if of_images && !self.images {
            let accepted = match self.image {
                Some(_) => "it before the first dense layer is, as it is of images",
                None => "it with image=CxHxW is, as it is of images",
            };
            return self.refuse(part, accepted);
        }
        if self.images && in_block && (is_dense || layer == Layer::Flatten) {
            return self.refuse(part, "it behind a block of images is, whose result is added to images");
        }
        let is_layer_norm = |layer: &Layer| matches!(layer, Layer::LayerNorm { .. });
        if self.images && is_layer_norm(&layer) {
            return self.refuse(part, "it behind flatten or the first dense layer is; images have norm");
        }
        if is_dense && self.images {
            layers.push(Layer::Flatten);
        }
        self.images &= !is_dense && layer != Layer::Flatten;
        let learns = match &mut layer {
            Layer::Dense { bias, .. } | Layer::Convolution { bias, .. } => Some(bias),
            _ => None,
        };
        let has_function = learns.is_some();
        let mut norm = None;
        if let Some(bias) = learns {
            norm = rest.next_if(|part| *part == "norm" || *part == "layernorm" && is_dense);
            *bias = norm != Some("norm");
        }
        layers.push(layer);
        layers.extend(norm.and_then(self::layer));
        Ok((has_function, is_dense))
    }
}

/// What stands between commas, but for those in parentheses; nothing where these are not closed.
fn divided(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut open) = (Vec::new(), 0, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.checked_sub(1)?,
            b',' if open == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    (open == 0).then_some(parts)
}

fn layer(part: &str) -> Option<Layer> {
    if part == "norm" {
        return Some(Layer::batch_norm());
    }
    if part == "layernorm" {
        return Some(Layer::layer_norm());
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
