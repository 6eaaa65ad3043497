//! Layers that are written as text.

use tilewise_network::{Function, Layer, Window, layers_of};

const DIGITS: Option<[usize; 3]> = Some([1, 8, 8]);

#[test]
fn every_part_is_its_layer() {
    let relu = Layer::activate(Function::Relu);
    let of = |text: &str, image| layers_of(text, image, Function::Relu, 0.0).unwrap();
    assert_eq!(of("none", None), []);
    assert_eq!(of("256, 128", None), [Layer::dense(256), relu.clone(), Layer::dense(128), relu.clone()]);
    let all = of("conv4x3s2,avgpool2,conv6x1p0,norm,pool2s1p1,norm,flatten,dropout0.5,9,norm", DIGITS);
    let bare = |channels, window| Layer::Convolution { channels, window, bias: false };
    let expected = [
        Layer::image(1, 8, 8),
        Layer::convolution(4, Window::square(3).stride(2).padding(1)),
        relu.clone(),
        Layer::average_pool(2),
        bare(6, Window::square(1)),
        Layer::batch_norm(),
        relu.clone(),
        Layer::MaxPool { window: Window::square(2).padding(1) },
        Layer::batch_norm(),
        Layer::Flatten,
        Layer::Dropout { rate: 0.5 },
        Layer::Dense { outputs: 9, bias: false },
        Layer::batch_norm(),
        relu.clone(),
    ];
    assert_eq!(all, expected);
    let dropped = layers_of("conv2x3,5", DIGITS, Function::Tanh, 0.25).unwrap();
    assert_eq!(dropped.last(), Some(&Layer::Dropout { rate: 0.25 }));
    assert_eq!(dropped.iter().filter(|layer| matches!(layer, Layer::Dropout { .. })).count(), 1);
    assert_eq!(of("none", DIGITS), [Layer::image(1, 8, 8), Layer::Flatten]);
}

#[test]
fn what_is_wrong_is_told_by_part_or_by_layer() {
    for (text, image, parts) in [
        ("conv16,pool2", DIGITS, &["\"conv16\"", "convCxK"][..]),
        ("convx3", DIGITS, &["\"convx3\""]),
        ("conv4x3s0", DIGITS, &["\"conv4x3s0\""]),
        ("conv4x3q2", DIGITS, &["\"conv4x3q2\""]),
        ("conv4x+3", DIGITS, &["\"conv4x+3\""]),
        ("64,,32", None, &["\"\" in \"64,,32\""]),
        ("70000", None, &["\"70000\""]),
        ("dropout1", None, &["\"dropout1\""]),
        ("linear", None, &["\"linear\"", "width of a dense layer"]),
        ("conv4x3", None, &["\"conv4x3\"", "image=CxHxW"]),
        ("8,pool2", DIGITS, &["\"pool2\"", "before the first dense"]),
        ("pool2,pool2,pool2,pool2,4", DIGITS, &["layer 4 (max pool, 2 x 2", "1 x 1 x 1"]),
        ("conv4x9p0", DIGITS, &["layer 1 (convolution, 4 channels, 9 x 9"]),
    ] {
        let told = layers_of(text, image, Function::Relu, 0.0).unwrap_err().to_string();
        assert!(parts.iter().all(|part| told.contains(part)), "{text}: {told}");
    }
}
