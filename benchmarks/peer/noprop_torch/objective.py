"""What is minimised: eq. 9 of the paper in the forms of crates/noprop-core/src/method/ct.rs, plain
cross-entropy, and the reference's loss on our own model."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .model import NoProp
from .schedule import Point, times_at_log_snr
from .settings import Classifier, Ct


class Draws(NamedTuple):
    """The random numbers of a batch of b images with K rows each: t [b K, 1] in [0, 1), noise of
    z_t [b K, d] and of z_1 [b, d]."""

    t: Tensor
    noise: Tensor
    noise_1: Tensor


class Loss(NamedTuple):
    """The terms of a loss, scalars that are means over the batch. Differentiate `total`."""

    total: Tensor
    ce: Tensor
    kl: Tensor
    denoise: Tensor


def draw(count: int, latent_dim: int, draws: int = 1, time_sampling: str = "uniform") -> Draws:
    """The random numbers of `count` images."""
    rows = count * draws
    t = times(rows, time_sampling)[:, None]
    return Draws(t, torch.randn(rows, latent_dim), torch.randn(count, latent_dim))


def draw_for(model: NoProp, count: int) -> Draws:
    """The random numbers of `count` images for the method of `model`."""
    match model.settings:
        case Ct(draws=draws, time_sampling=sampling):
            return draw(count, model.latent_dim, draws, sampling)
        case _:
            return draw(count, model.latent_dim)


def times(n: int, sampling: str) -> Tensor:
    """Times of n rows, [n]; each is uniform in [0, 1), whatever its row."""
    uniform = torch.rand(n)
    if sampling == "stratified":
        return (torch.randperm(n) + uniform) / n
    if sampling == "antithetic":
        before = uniform.roll(1)
        return torch.where(torch.arange(n) % 2 == 0, uniform, 1 - before)
    return uniform


def of(ce: Tensor, kl: Tensor, denoise: Tensor) -> Loss:
    return Loss(ce + kl + denoise, ce.detach(), kl.detach(), denoise.detach())


def kl_to_standard_normal(u: Tensor, log_snr_0: Tensor) -> Tensor:
    """KL(q(z_0|y) || N(0, I)) in closed form: u [n, d], log_snr_0 [1, 1] -> [n, 1]."""
    d = u.shape[1]
    norm = (u**2).sum(dim=1, keepdim=True)
    return 0.5 * (torch.sigmoid(log_snr_0) * (norm - d) + d * F.softplus(log_snr_0))


def smoothed_cross_entropy(
    logits: Tensor, own: Tensor, labels: Tensor, smoothing: float
) -> Tensor:
    """[b, 1]: (1 - s) times the cross-entropy of `logits`, and s times the mean of
    -log softmax(own) over the classes; all logits [b, m]."""
    of_label = F.cross_entropy(logits, labels, reduction="none")[:, None]
    if smoothing == 0:
        return of_label
    uniform = -own.log_softmax(dim=1).mean(dim=1, keepdim=True)
    return (1 - smoothing) * of_label + smoothing * uniform


def weight_at(settings: Ct, now: Point, start: Point, end: Point) -> Tensor:
    """The weight w(t) of the denoising term, [n, 1]."""
    if settings.weight == "flat":
        return now.log_snr_prime / (end.log_snr - start.log_snr)
    if settings.max_snr is None:
        return now.snr_prime
    return now.log_snr_prime * now.log_snr.exp().clamp(max=settings.max_snr)


def ct(model: NoProp, images: Tensor, labels: Tensor, draws: Draws) -> Loss:
    """NoProp-CT; features are computed once, and serve all draws of an image."""
    settings: Ct = model.settings
    u_y = model.class_embedding.weight[labels]
    start, end = model.schedule(draws.t.new_zeros(1, 1)), model.schedule(draws.t.new_ones(1, 1))
    t, rate = draws.t, 1.0
    if settings.time_sampling == "importance":
        with torch.no_grad():
            t, rate = times_at_log_snr(model.schedule, draws.t)

    fused = model.fuse(model.features(images)).repeat_interleave(settings.draws, dim=0)
    labels_of_rows = labels.repeat_interleave(settings.draws)
    u_of_rows = model.class_embedding.weight[labels_of_rows]
    now = model.schedule(t)
    z_t = now.diffuse(u_of_rows, draws.noise)
    own = model.own_logits(fused, z_t, t)
    logits = own + model.latent_logits(z_t, now) if settings.skip else own
    if settings.loss == "cross-entropy":
        error = smoothed_cross_entropy(logits, own, labels_of_rows, settings.label_smoothing)
    else:
        error = 0.5 * ((model.expectation(logits) - u_of_rows) ** 2).sum(dim=1, keepdim=True)
    denoise = settings.eta * (weight_at(settings, now, start, end) * rate * error).mean()

    ce = F.cross_entropy(model.output_head(end.diffuse(u_y, draws.noise_1)), labels)
    return of(ce, kl_to_standard_normal(u_y, start.log_snr).mean(), denoise)


def classifier(model: NoProp, images: Tensor, labels: Tensor, draws: Draws) -> Loss:
    """Plain cross-entropy; nothing is drawn."""
    logits = model.own_logits(model.fuse(model.features(images)), None, None)
    smoothing = model.settings.label_smoothing
    ce = smoothed_cross_entropy(logits, logits, labels, smoothing).mean()
    return of(ce, torch.zeros(()), torch.zeros(()))


def reference(model: NoProp, images: Tensor, labels: Tensor, draws: Draws) -> Loss:
    """The reference's loss on our model of its configuration, features computed once."""
    u_y = model.class_embedding.weight[labels]
    features = model.features(images)
    now, one = model.schedule(draws.t), torch.ones_like(draws.t)
    end = model.schedule(one)

    def diffuse(point, noise):
        return point.alpha_bar * u_y + point.sigma_squared.sqrt() * noise

    u_hat = model.denoise(features, diffuse(now, draws.noise), draws.t).u_hat
    error = ((u_hat - u_y) ** 2).sum(dim=1, keepdim=True)
    denoise = 0.5 * model.settings.eta * (now.snr_prime * error).mean()
    ce = F.cross_entropy(model.denoise(features, diffuse(end, draws.noise_1), one).logits, labels)
    return of(ce, 0.5 * (u_y**2).sum(dim=1).mean(), denoise)


def loss(model: NoProp, images: Tensor, labels: Tensor, draws: Draws) -> Loss:
    """The loss of the method of `model`."""
    match model.settings:
        case Ct():
            return ct(model, images, labels, draws)
        case Classifier():
            return classifier(model, images, labels, draws)
        case _:
            return reference(model, images, labels, draws)
