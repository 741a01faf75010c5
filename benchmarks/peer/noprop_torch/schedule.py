"""The noise schedule gamma(t) and the quantities that follow from it (paper, eq. 65-67).

SNR(t) = exp(-gamma(t)), alpha_bar(t) = sigmoid(-gamma(t)); gamma falls from gamma_1 at t = 0
(noise) to gamma_0 at t = 1 (clean).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .settings import Ct, Settings
from .settings import Reference as ReferenceSettings


class Point(NamedTuple):
    """The noise schedule at n times; every field is [n, 1]."""

    alpha_bar: Tensor
    sigma_squared: Tensor
    """1 - alpha_bar, without cancellation."""
    log_snr: Tensor
    log_snr_prime: Tensor
    snr_prime: Tensor

    def diffuse(self, u: Tensor, noise: Tensor) -> Tensor:
        """z_t of eq. 5; u and noise [n, d]."""
        return self.alpha_bar.sqrt() * u + self.sigma_squared.sqrt() * noise


MOST_LOG_SNR = 30.0
"""Beyond it the smaller one of alpha_bar and 1 - alpha_bar is below the resolution of f32."""


def from_gamma(gamma: Tensor, gamma_prime: Tensor) -> Point:
    gamma = gamma.clamp(-MOST_LOG_SNR, MOST_LOG_SNR)
    return Point(
        alpha_bar=torch.sigmoid(-gamma),
        sigma_squared=torch.sigmoid(gamma),
        log_snr=-gamma,
        log_snr_prime=-gamma_prime,
        snr_prime=-gamma_prime * torch.exp(-gamma),
    )


class Learned(nn.Module):
    """gamma_tilde(t) = sum_j sp(v_j) tanh(sp(w_j) t + b_j), sp = softplus: increasing in t."""

    def __init__(self, gamma_0: float, gamma_1: float, hidden: int):
        super().__init__()
        gap = gamma_1 - gamma_0
        self.gamma_0 = nn.Parameter(torch.tensor([float(gamma_0)]))
        self.gap = nn.Parameter(torch.tensor([gap + math.log1p(-math.exp(-gap))]))
        self.slope = nn.Parameter(torch.randn(1, hidden))
        self.shift = nn.Parameter(-torch.rand(1, hidden))
        self.height = nn.Parameter(torch.randn(hidden, 1))

    def forward(self, t: Tensor) -> Point:
        slope, height, gap = F.softplus(self.slope), F.softplus(self.height), F.softplus(self.gap)
        at_0 = torch.tanh(self.shift) @ height
        span = torch.tanh(slope + self.shift) @ height - at_0
        unit = torch.tanh(t * slope + self.shift)
        gamma_bar = (unit @ height - at_0) / span
        gamma_bar_prime = ((1 - unit**2) * slope) @ height / span
        return from_gamma(self.gamma_0 + gap * (1 - gamma_bar), -gap * gamma_bar_prime)


class Linear(nn.Module):
    """gamma linear in t, with fixed ends."""

    def __init__(self, gamma_0: float, gamma_1: float):
        super().__init__()
        self.gamma_0, self.gap = gamma_0, gamma_1 - gamma_0

    def forward(self, t: Tensor) -> Point:
        gamma = self.gamma_0 + self.gap * (1 - t)
        return from_gamma(gamma, torch.full_like(t, -self.gap))


class Reference(nn.Module):
    """The reference's: signs of gamma_tilde unconstrained, alpha_bar = sigmoid(-scale * gamma)
    with a clamp. SNR' is written out instead of differentiated automatically."""

    def __init__(self, gamma_0: float, gamma_1: float, hidden: int, scale: float, clamp: float):
        super().__init__()
        self.gamma_0 = nn.Parameter(torch.tensor([float(gamma_0)]))
        self.gamma_1 = nn.Parameter(torch.tensor([float(gamma_1)]))
        self.l1 = nn.Linear(1, hidden)
        self.l2 = nn.Linear(hidden, 1)
        self.scale, self.clamp = scale, clamp

    def gamma_tilde(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """gamma_tilde and its derivative."""
        inner = self.l1(t)
        outer = self.l2(F.softplus(inner))
        inner_prime = (torch.sigmoid(inner) * self.l1.weight.T) @ self.l2.weight.T
        return F.softplus(outer), torch.sigmoid(outer) * inner_prime

    def forward(self, t: Tensor) -> Point:
        ends = self.gamma_tilde(t.new_tensor([[0.0], [1.0]]))[0]
        span = ends[1:] - ends[:1] + 1e-8
        value, prime = self.gamma_tilde(t)
        raw = (value - ends[:1]) / span
        inside = ((raw >= 0) & (raw <= 1)).to(t.dtype)
        gap = self.gamma_1 - self.gamma_0
        gamma = self.gamma_0 + gap * (1 - raw.clamp(0, 1))
        gamma_prime = -gap * prime / span * inside

        raw = torch.sigmoid(-self.scale * gamma)
        low, high = self.clamp, 1 - self.clamp
        inside = ((raw >= low) & (raw <= high)).to(t.dtype)
        alpha_bar = raw.clamp(low, high)
        alpha_bar_prime = -self.scale * gamma_prime * raw * (1 - raw) * inside
        sigma_squared = 1 - alpha_bar
        return Point(
            alpha_bar=alpha_bar,
            sigma_squared=sigma_squared,
            log_snr=alpha_bar.log() - sigma_squared.log(),
            log_snr_prime=alpha_bar_prime / (alpha_bar * sigma_squared),
            snr_prime=alpha_bar_prime / sigma_squared**2,
        )


def build(settings: Settings) -> nn.Module | None:
    """The noise schedule of a method; `None` for a classifier, which has none."""
    match settings:
        case ReferenceSettings():
            ends = (settings.gamma_0, settings.gamma_1)
            return Reference(*ends, settings.hidden, settings.scale, settings.clamp)
        case Ct():
            values = dict(settings.schedule)
            if values.pop("kind") == "linear":
                return Linear(values["gamma_0"], values["gamma_1"])
            return Learned(**values)
        case _:
            return None


def even_times(steps: int, like: Tensor) -> Tensor:
    """0, 1/T, ..., 1: [steps + 1, 1]."""
    return torch.arange(steps + 1, dtype=like.dtype, device=like.device)[:, None] / steps


def times_even_in_log_snr(schedule: nn.Module, steps: int, like: Tensor) -> Tensor:
    """Times at which log SNR runs evenly, [steps + 1, 1]."""
    return times_at_log_snr(schedule, even_times(steps, like))[0]


def times_at_log_snr(schedule: nn.Module, share: Tensor) -> tuple[Tensor, Tensor]:
    """Times at which log SNR has gone the fractions `share` [n, 1] of its way, and dt/dshare, both
    [n, 1], by inverse interpolation between 1024 knots."""
    knots = 1024
    log_snr = schedule(even_times(knots, share)).log_snr
    span = log_snr[-1] - log_snr[0]
    wanted = log_snr[0] + span * share
    below = ((wanted >= log_snr.T).sum(dim=1) - 1).clamp(0, knots - 1)
    left, right = log_snr[below], log_snr[below + 1]
    gap = (right - left).clamp_min(1e-9)
    part = ((wanted - left) / gap).clamp(0, 1)
    return (below[:, None] + part) / knots, span / (gap * knots)
