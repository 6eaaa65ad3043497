//! Gradients against central differences, optimisers against PyTorch, bits over threads, bad input.

mod golden_numbers;
mod gradients;
mod promises;
mod twin;
