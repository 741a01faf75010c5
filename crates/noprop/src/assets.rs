//! What the binary carries along.

/// Weights of recipe `mnist-small`, f16; `assets/README.md` says how they were made.
pub const MNIST_WEIGHTS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../assets/mnist.safetensors"
));
