"""Walks from z_0 at t = 0 to z_1 at t = 1 in T steps; features are computed once."""

import torch
from torch import Tensor

from .model import NoProp
from .schedule import Point, even_times, times_even_in_log_snr

LONGEST_STEP = 3.0
"""The longest step of log SNR that Euler and Heun take; for a longer one DDIM is used."""


def ddim_step(now: Point, after: Point, u_hat: Tensor, z: Tensor) -> Tensor:
    """DDIM: the step that is exact for constant u_hat (Song et al. 2021, arXiv:2010.02502)."""
    keep = (after.sigma_squared / now.sigma_squared).sqrt()
    return (after.alpha_bar.sqrt() - keep * now.alpha_bar.sqrt()) * u_hat + keep * z


def velocity(point: Point, u_hat: Tensor, z: Tensor) -> Tensor:
    """dz/d(log SNR) of the probability-flow ODE."""
    return 0.5 * (point.alpha_bar.sqrt() * u_hat - point.alpha_bar * z)


@torch.no_grad()
def trajectory(
    model: NoProp,
    features: Tensor,
    z_0: Tensor,
    sampler: str = "ddim",
    steps: int = 10,
    noise: Tensor | None = None,
) -> Tensor:
    """z_0, ..., z_T: features [n, e], z_0 [n, d] -> [T + 1, n, d]. `model` must be in eval mode.

    `noise` [T, n, d] is that of ancestral sampling; drawn where there is none.
    """
    if sampler == "direct":
        # A classifier, which sees no latents: every step gives the same.
        estimate = model.denoise(features, z_0, z_0.new_zeros(1, 1)).u_hat
        return torch.stack([z_0] + steps * [estimate])
    if sampler == "ancestral" and noise is None:
        noise = torch.randn(steps, *z_0.shape)
    in_log_snr = sampler in ("euler", "heun")
    times = (
        times_even_in_log_snr(model.schedule, steps, z_0)
        if in_log_snr
        else even_times(steps, z_0)
    )
    grid = model.schedule(times)
    points = [Point(*(field[k : k + 1] for field in grid)) for k in range(steps + 1)]

    fused = model.fuse(features)

    def u_hat(z: Tensor, k: int) -> Tensor:
        return model.denoise_fused(fused, z, times[k : k + 1]).u_hat

    def step(k: int, z: Tensor) -> Tensor:
        now, after, first = points[k], points[k + 1], u_hat(z, k)
        if in_log_snr:
            h = after.log_snr - now.log_snr
            if h.item() > LONGEST_STEP:
                return ddim_step(now, after, first, z)
            slope = velocity(now, first, z)
            if sampler == "heun":
                ahead = z + h * slope
                slope = 0.5 * (slope + velocity(after, u_hat(ahead, k + 1), ahead))
            return z + h * slope
        if sampler == "ddim":
            return ddim_step(now, after, first, z)
        if sampler == "ancestral":
            return ancestral_step(now, after, first, z, noise[k])
        slope = (first - z) / now.sigma_squared
        if sampler == "reference-heun":
            ahead = z + slope / steps
            slope = 0.5 * (slope + (u_hat(ahead, k + 1) - ahead) / after.sigma_squared)
        return z + slope / steps

    latents = [z_0]
    for k in range(steps):
        latents.append(step(k, latents[-1]))
    return torch.stack(latents)


def ancestral_step(now: Point, after: Point, u_hat: Tensor, z: Tensor, noise: Tensor) -> Tensor:
    """The generative process (eq. 3) with the posterior coefficients of eq. 7."""
    forget = (now.sigma_squared - after.sigma_squared) / after.alpha_bar
    ratio = after.sigma_squared / now.sigma_squared
    a = after.alpha_bar.sqrt() * forget / now.sigma_squared
    b = (now.alpha_bar / after.alpha_bar).sqrt() * ratio
    return a * u_hat + b * z + (ratio * forget).sqrt() * noise


@torch.no_grad()
def predict(
    model: NoProp, images: Tensor, sampler: str = "heun", steps: int = 40, votes: int = 1
) -> Tensor:
    """Predicted classes [n] of normalised images [n, c, h, w], from noise of torch's generator: the
    largest mean probability of `votes` walks each."""
    features = model.features(images).repeat_interleave(votes, dim=0)
    z_0 = torch.randn(len(features), model.latent_dim)
    z_1 = trajectory(model, features, z_0, sampler, steps)[-1]
    scores = model.readout(features, z_1)
    return scores.softmax(dim=1).view(len(images), votes, -1).mean(dim=1).argmax(dim=1)
