"""The two models of yhgon/NoProp with their loss, training step and walk, in two forms.

`once=False` is the reference as it is: the backbone runs twice in a training step and in every
evaluation of the ODE. `once=True` computes the features of an image once; nothing else differs.

We wrote this module from a description of the reference's behaviour. Parameter names are the
reference's, so its checkpoints load with `strict=True`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .backbone import ResNet
from .model import sinusoidal_embedding
from .objective import Draws, Loss, draw, of

DEPTHS = {"resnet10": 10, "resnet18": 18, "resnet50": 50, "resnet152": 152}


class Backbone(nn.Module):
    """torchvision's ResNet without its classifier, as a sequence, and a projection."""

    def __init__(self, depth: int, width: int, embed_dim: int):
        super().__init__()
        net = ResNet(depth, "imagenet", width, 3, embed_dim)
        layers = (net.layer1, net.layer2, net.layer3, net.layer4)
        pool = nn.AdaptiveAvgPool2d(1)
        self.features = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), net.maxpool, *layers, pool)
        self.proj = net.fc

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(self.features(images).flatten(1))


class Encoder(nn.Module):
    """Linear and ReLU, called `name`."""

    def __init__(self, name: str, inputs: int, outputs: int):
        super().__init__()
        self.layer = name
        setattr(self, name, nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.layer)(x)


class ResidualEncoder(nn.Module):
    """z + Linear(ReLU(Linear z))."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, z: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(z))) + z


class FuseHead(nn.Module):
    """Features, label and time encodings -> class logits."""

    def __init__(self, width: int, middle: int, classes: int):
        super().__init__()
        norm = nn.BatchNorm1d
        self.net = nn.Sequential(
            *(nn.Linear(3 * width, width), norm(width), nn.ReLU()),
            *(nn.Linear(width, middle), norm(middle), nn.ReLU()),
            nn.Linear(middle, classes),
        )

    def forward(self, *encodings: Tensor) -> Tensor:
        return self.net(torch.cat(encodings, dim=1))


class NoiseSchedule(nn.Module):
    """alpha_bar(t) = sigmoid(-scale * gamma(t)), clamped."""

    def __init__(self, gamma0: float, gamma1: float, scale: float, clamp: float, hidden: int = 64):
        super().__init__()
        self.gamma_tilde = nn.Sequential(
            *(nn.Linear(1, hidden), nn.Softplus(), nn.Linear(hidden, 1), nn.Softplus())
        )
        self.gamma0 = nn.Parameter(torch.tensor(gamma0))
        self.gamma1 = nn.Parameter(torch.tensor(gamma1))
        self.scale, self.clamp = scale, clamp

    def forward(self, t: Tensor) -> Tensor:
        """t [n, 1] -> alpha_bar [n, 1]."""
        first, last = self.gamma_tilde(torch.zeros_like(t)), self.gamma_tilde(torch.ones_like(t))
        gamma_bar = ((self.gamma_tilde(t) - first) / (last - first + 1e-8)).clamp(0, 1)
        gamma = self.gamma0 + (self.gamma1 - self.gamma0) * (1 - gamma_bar)
        return torch.sigmoid(-self.scale * gamma).clamp(self.clamp, 1 - self.clamp)


class Mnist(nn.Module):
    """The model of `nopropct_mnist.py`: one-hot latents, the largest coordinate of z_1 decides."""

    def __init__(
        self,
        backbone: str = "resnet18",
        num_classes: int = 10,
        time_emb_dim: int = 64,
        embed_dim: int = 256,
        mid_dim: int = 128,
        width: int = 64,
    ):
        super().__init__()
        self.backbone = Backbone(DEPTHS[backbone], width, embed_dim)
        self.z_enc = Encoder("net", num_classes, embed_dim)
        self.t_enc = Encoder("net", time_emb_dim, embed_dim)
        self.fuse = FuseHead(embed_dim, mid_dim, num_classes)
        self.noise = NoiseSchedule(-5.0, 5.0, scale=1.0, clamp=1e-5)
        self.time_emb_dim, self.latent_dim = time_emb_dim, num_classes

    def class_embedding(self) -> Tensor:
        return torch.eye(self.latent_dim)

    def alpha_bar(self, t: Tensor) -> Tensor:
        return self.noise(t)

    def denoise(self, features: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Logits [b, m] at features [b, e], z [b, d], t [b, 1]."""
        time = self.t_enc(sinusoidal_embedding(t, self.time_emb_dim))
        return self.fuse(features, self.z_enc(z), time)

    def u_hat(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def scores(self, features: Callable[[], Tensor], z_1: Tensor) -> Tensor:
        return z_1


class Simple(nn.Module):
    """The model of `noprop_simple.py`: learned embeddings, the denoiser at t = 1 decides."""

    def __init__(
        self,
        backbone: str = "resnet18",
        num_classes: int = 10,
        time_emb_dim: int = 64,
        embed_dim: int = 256,
        width: int = 64,
    ):
        super().__init__()
        self.backbone = Backbone(DEPTHS[backbone], width, embed_dim)
        self.label_enc = ResidualEncoder(embed_dim)
        self.time_enc = Encoder("fc", time_emb_dim, embed_dim)
        self.fuse = FuseHead(embed_dim, embed_dim, num_classes)
        self.noise_schedule = NoiseSchedule(-7.0, 7.0, scale=0.5, clamp=0.01)
        self.W_embed = nn.Parameter(torch.zeros(num_classes, embed_dim))
        self.time_emb_dim, self.latent_dim = time_emb_dim, embed_dim

    def class_embedding(self) -> Tensor:
        return self.W_embed

    def alpha_bar(self, t: Tensor) -> Tensor:
        return self.noise_schedule(t)

    def denoise(self, features: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Logits [b, m] at features [b, e], z [b, d], t [b, 1]."""
        time = self.time_enc(sinusoidal_embedding(t, self.time_emb_dim))
        return self.fuse(features, self.label_enc(z), time)

    def u_hat(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1) @ self.W_embed

    def scores(self, features: Callable[[], Tensor], z_1: Tensor) -> Tensor:
        return self.denoise(features(), z_1, z_1.new_ones(len(z_1), 1))


def features_of(model: nn.Module, images: Tensor, once: bool) -> Callable[[], Tensor]:
    """A function without arguments that gives the features, computed once or at every call."""
    if not once:
        return lambda: model.backbone(images)
    features = model.backbone(images)
    return lambda: features


def loss(
    model: nn.Module, images: Tensor, labels: Tensor, draws: Draws, once: bool, eta: float = 1.0
) -> Loss:
    """The reference's loss; SNR' comes from differentiating twice, as in the reference."""
    features = features_of(model, images, once)
    u_y = model.class_embedding()[labels]
    t = draws.t.clone().requires_grad_()
    alpha_bar = model.alpha_bar(t)
    snr = alpha_bar / (1 - alpha_bar)
    (snr_prime,) = torch.autograd.grad(snr.sum(), t, create_graph=True)
    z_t = alpha_bar * u_y + (1 - alpha_bar).sqrt() * draws.noise
    u_hat = model.u_hat(model.denoise(features(), z_t, t))
    error = ((u_hat - u_y) ** 2).sum(dim=1, keepdim=True)
    denoise = 0.5 * eta * (snr_prime * error).mean()

    one = torch.ones_like(draws.t)
    end = model.alpha_bar(one)
    z_1 = end * u_y + (1 - end).sqrt() * draws.noise_1
    ce = F.cross_entropy(model.denoise(features(), z_1, one), labels)
    return of(ce, 0.5 * (u_y**2).sum(dim=1).mean(), denoise)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    once: bool = False,
    draws: Draws | None = None,
) -> float:
    """One step. Reads the loss back, as the reference does; `model` must be in train mode."""
    draws = draw(len(images), model.latent_dim) if draws is None else draws
    total = loss(model, images, labels, draws, once).total
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total.item()


def adamw(model: nn.Module) -> torch.optim.AdamW:
    """The reference's optimiser: everything decays."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)


class Walk(NamedTuple):
    """A walk of n images: latents [T + 1, n, d] and class scores [n, m]."""

    trajectory: Tensor
    scores: Tensor


@torch.no_grad()
def sample(
    model: nn.Module,
    images: Tensor,
    steps: int = 40,
    heun: bool = True,
    once: bool = False,
    z_0: Tensor | None = None,
) -> Walk:
    """Walks images [n, c, h, w] by dz/dt = (u_hat - z)/(1 - alpha_bar). `model` in eval mode."""
    features = features_of(model, images, once)
    count = len(images)

    def slope(z: Tensor, k: int) -> Tensor:
        t = z.new_full((count, 1), k / steps)
        u_hat = model.u_hat(model.denoise(features(), z, t))
        return (u_hat - z) / (1 - model.alpha_bar(t))

    z = torch.randn(count, model.latent_dim) if z_0 is None else z_0
    latents = [z]
    for k in range(steps):
        first = slope(z, k)
        if heun:
            second = slope(z + first / steps, k + 1)
            z = z + (first + second) / (2 * steps)
        else:
            z = z + first / steps
        latents.append(z)
    return Walk(torch.stack(latents), model.scores(features, z))
