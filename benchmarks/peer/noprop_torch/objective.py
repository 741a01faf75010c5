"""The losses: eq. 9 of the paper, and the reference's loss on our own model."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .model import NoProp


class Draws(NamedTuple):
    """The random numbers of a batch: t [b, 1] in [0, 1), noise of z_t and of z_1 [b, d]."""

    t: Tensor
    noise: Tensor
    noise_1: Tensor


class Loss(NamedTuple):
    """The terms of a loss, scalars that are means over the batch. Differentiate `total`."""

    total: Tensor
    ce: Tensor
    kl: Tensor
    denoise: Tensor


def draw(count: int, latent_dim: int) -> Draws:
    return Draws(torch.rand(count, 1), *torch.randn(2, count, latent_dim))


def of(ce: Tensor, kl: Tensor, denoise: Tensor) -> Loss:
    return Loss(ce + kl + denoise, ce.detach(), kl.detach(), denoise.detach())


def kl_to_standard_normal(u: Tensor, log_snr_0: Tensor) -> Tensor:
    """KL(q(z_0|y) || N(0, I)) in closed form: u [n, d], log_snr_0 [1, 1] -> [n, 1]."""
    d = u.shape[1]
    norm = (u**2).sum(dim=1, keepdim=True)
    return 0.5 * (torch.sigmoid(log_snr_0) * (norm - d) - d * F.logsigmoid(-log_snr_0))


def ct(
    model: NoProp,
    images: Tensor,
    labels: Tensor,
    draws: Draws,
    eta: float = 1.0,
    max_weight: float | None = None,
) -> Loss:
    """NoProp-CT (eq. 9), features computed once."""
    u_y = model.class_embedding.weight[labels]
    start, end = model.schedule(draws.t.new_zeros(1, 1)), model.schedule(draws.t.new_ones(1, 1))
    now = model.schedule(draws.t)
    features = model.features(images)
    u_hat = model.denoise(features, now.diffuse(u_y, draws.noise), draws.t).u_hat
    error = ((u_hat - u_y) ** 2).sum(dim=1, keepdim=True)
    weight = now.snr_prime if max_weight is None else now.snr_prime.clamp(max=max_weight)
    denoise = 0.5 * eta * (weight * error).mean()
    ce = F.cross_entropy(model.readout(features, end.diffuse(u_y, draws.noise_1)), labels)
    return of(ce, kl_to_standard_normal(u_y, start.log_snr).mean(), denoise)


def reference(
    model: NoProp, images: Tensor, labels: Tensor, draws: Draws, eta: float = 1.0
) -> Loss:
    """The reference's loss on our model of its configuration, features computed once."""
    u_y = model.class_embedding.weight[labels]
    features = model.features(images)
    now, one = model.schedule(draws.t), torch.ones_like(draws.t)
    end = model.schedule(one)

    def diffuse(point, noise):
        return point.alpha_bar * u_y + point.sigma_squared.sqrt() * noise

    u_hat = model.denoise(features, diffuse(now, draws.noise), draws.t).u_hat
    error = ((u_hat - u_y) ** 2).sum(dim=1, keepdim=True)
    denoise = 0.5 * eta * (now.snr_prime * error).mean()
    ce = F.cross_entropy(model.denoise(features, diffuse(end, draws.noise_1), one).logits, labels)
    return of(ce, 0.5 * (u_y**2).sum(dim=1).mean(), denoise)


def loss(
    model: NoProp, images: Tensor, labels: Tensor, draws: Draws, objective: dict
) -> Loss:
    """The loss of an `objective` table of a recipe."""
    values = dict(objective)
    kind = {"ct": ct, "reference": reference}[values.pop("kind")]
    return kind(model, images, labels, draws, **values)
