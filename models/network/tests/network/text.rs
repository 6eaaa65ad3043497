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

#[test]
fn blocks_have_the_function_of_their_last_layer_behind_the_sum() {
    let relu = Layer::activate(Function::Relu);
    let of = |text: &str, image| layers_of(text, image, Function::Relu, 0.0).unwrap();
    let block = |layers: Vec<Layer>| Layer::Residual { layers };
    let bare = |outputs| Layer::Dense { outputs, bias: false };
    assert_eq!(
        of("9, layernorm, res( 5 , 9 ), res(norm), layernorm", None),
        [
            Layer::dense(9),
            Layer::layer_norm(),
            relu.clone(),
            block(vec![Layer::dense(5), relu.clone(), Layer::dense(9)]),
            relu.clone(),
            block(vec![Layer::batch_norm()]),
            Layer::layer_norm(),
        ]
    );
    let inner = block(vec![bare(4), Layer::batch_norm()]);
    let outer =
        block(vec![Layer::layer_norm(), Layer::dense(4), relu.clone(), inner, Layer::Dropout { rate: 0.5 }]);
    assert_eq!(of("res(layernorm,4,res(4,norm),dropout0.5)", None), [outer, relu.clone()]);
    let bare = |channels| Layer::Convolution { channels, window: Window::square(3).padding(1), bias: false };
    let images = of("conv4x3,res(conv8x3,norm,conv4x3,norm),6", DIGITS);
    let inner = vec![bare(8), Layer::batch_norm(), relu.clone(), bare(4), Layer::batch_norm()];
    assert_eq!(images[3..6], [block(inner), relu.clone(), Layer::Flatten]);
    // Dropouts belong to the branch.
    let dropped = layers_of("7,res(7,7)", None, Function::Tanh, 0.25).unwrap();
    let (tanh, drop) = (Layer::activate(Function::Tanh), Layer::Dropout { rate: 0.25 });
    let inner = vec![Layer::dense(7), tanh.clone(), drop.clone(), Layer::dense(7), drop];
    assert_eq!(dropped[3..], [block(inner), tanh]);
}

#[test]
fn blocks_that_do_not_fit_are_told_by_part_or_by_layer() {
    let deep = |n: usize| format!("{}4{}", "res(".repeat(n), ")".repeat(n));
    assert!(layers_of(&deep(8), None, Function::Relu, 0.0).is_ok());
    for (text, image, parts) in [
        ("64,res(64,32)", None, &["layer 2 (residual", "32 columns of 64"][..]),
        ("res(64,64", None, &["\"res(64,64\"", "a ) for each ("]),
        ("64),res(64", None, &["a ) for each ("]),
        ("res()", None, &["\"\" in \"res()\"", "res(PARTS)"]),
        ("res 64", None, &["\"res 64\""]),
        ("64,res(conv4x3)", None, &["\"conv4x3\"", "image=CxHxW"]),
        ("res(conv4x3)", DIGITS, &["layer 1 (residual", "256 columns of 64"]),
        ("conv4x3,res(conv2x3,64)", DIGITS, &["\"64\"", "behind a block of images"]),
        ("conv4x3,layernorm", DIGITS, &["\"layernorm\"", "images have norm"]),
        (&deep(9), None, &["up to 8 blocks"]),
        (&deep(100_000), None, &["up to 8 blocks"]),
        (&"(".repeat(100_000), None, &["a ) for each ("]),
    ] {
        let told = layers_of(text, image, Function::Relu, 0.0).unwrap_err().to_string();
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
}
