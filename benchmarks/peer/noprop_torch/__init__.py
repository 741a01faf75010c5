"""NoProp in PyTorch: the peer that the Rust implementation is compared with.

`settings`, `model`, `objective`, `sampler`, `training` and `weights` are our own model; `reference`
holds the two models of yhgon/NoProp, with its parameter names, written from a description of their
behaviour.
"""
