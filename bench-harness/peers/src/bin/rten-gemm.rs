//! The `rten-gemm` crate: f32 into a packed C. Its threads are set by the environment.

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use tilewise_peers::{Outcome, serve_gemm, version};
use tilewise_report::worker::Product;

fn main() -> std::io::Result<()> {
    let executor = GemmExecutor::<f32>::new();
    let kernel = executor.kernel_name().to_string();
    let f32 = |p: &mut Product<f32>, times: u64| -> Outcome {
        let ((m, n, k), sa, sb, sc) = (p.shape(), p.a, p.b, p.c);
        if sc.leading != n {
            return Err("C has to be packed".into());
        }
        let (a, b, c) = p.arrays();
        let strides = |stored: tilewise_report::worker::Stored| {
            [stored.row_stride() as usize, stored.col_stride() as usize]
        };
        let text = |error: &dyn std::fmt::Debug| format!("{error:?}");
        let a = NdTensorView::from_slice_with_strides([m, k], a, strides(sa)).map_err(|e| text(&e))?;
        let b = NdTensorView::from_slice_with_strides([k, n], b, strides(sb)).map_err(|e| text(&e))?;
        for _ in 0..times {
            let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Unpacked(b));
            executor.gemm(c, a, b, GemmOptions::default()).map_err(|e| text(&e))?;
        }
        Ok(())
    };
    let f64 = |_: &mut Product<f64>, _| Err("it multiplies f32 only".into());
    serve_gemm(version("rten-gemm"), kernel.clone(), f32, f64)
}
