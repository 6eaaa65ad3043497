//! Writes the networks of the tests as files of ONNX: `cargo run -p tilewise-network --example onnx FOLDER`.

#[path = "../tests/network/networks.rs"]
mod networks;

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("a folder")?);
    for (name, network) in networks::networks() {
        tilewise_base::replace::write(&folder.join(format!("{name}.onnx")), &network.to_onnx()?)?;
    }
    Ok(())
}
