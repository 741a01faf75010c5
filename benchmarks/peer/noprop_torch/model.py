"""Our NoProp-CT network; parameter names and shapes are those of our .safetensors files."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import backbone, schedule, settings


def sinusoidal_embedding(t: Tensor, dim: int) -> Tensor:
    """sin and cos of t times 10000^(-i/(dim/2 - 1)): [n, 1] -> [n, dim]."""
    half = dim // 2
    frequencies = [10_000.0 ** (-i / (half - 1)) for i in range(half)]
    angles = t * t.new_tensor([frequencies])
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class ResidualLabelEncoder(nn.ModuleList):
    """z + Linear(ReLU(Linear z))."""

    def __init__(self, latent_dim: int, width: int):
        super().__init__([nn.Linear(latent_dim, width), nn.Linear(width, width)])

    def forward(self, z: Tensor) -> Tensor:
        return z + self[1](F.relu(self[0](z)))


class TimeEncoder(nn.Module):
    """Sinusoidal embedding of t, linear, ReLU."""

    def __init__(self, dim: int, scale: float, width: int):
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.dim, self.scale = dim, scale

    def forward(self, t: Tensor) -> Tensor:
        return F.relu(self.linear(sinusoidal_embedding(t * self.scale, self.dim)))


class Head(nn.Module):
    """The perceptron that fuses the three encodings into class logits."""

    def __init__(self, inputs: int, hidden: tuple[int, int], batch_norm: bool, classes: int):
        super().__init__()
        first, second = hidden
        self.fc1 = nn.Linear(inputs, first)
        self.bn1 = nn.BatchNorm1d(first) if batch_norm else nn.Identity()
        self.fc2 = nn.Linear(first, second)
        self.bn2 = nn.BatchNorm1d(second) if batch_norm else nn.Identity()
        self.fc3 = nn.Linear(second, classes)

    def after_first(self, x: Tensor) -> Tensor:
        """The output of fc1 [b, hidden] -> logits [b, m]."""
        x = F.relu(self.bn1(x))
        x = F.relu(self.bn2(self.fc2(x)))
        return self.fc3(x)


class Denoiser(nn.Module):
    """Features [b, e], z [b, d] and t [b, 1] or [1, 1] -> logits [b, m]. The features' share of the
    first layer depends on neither z nor t, so `fuse` computes it once per image."""

    def __init__(self, config: dict, latent_dim: int):
        super().__init__()
        width = config["embed_dim"]
        self.residual = config["label_encoder"] == "residual"
        self.label_encoder = (
            ResidualLabelEncoder(latent_dim, width)
            if self.residual
            else nn.Linear(latent_dim, width)
        )
        self.time_encoder = TimeEncoder(config["time_dim"], config["time_scale"], width)
        head = config["head"]
        self.head = Head(3 * width, head["hidden"], head["batch_norm"], config["classes"])

    def fuse(self, features: Tensor) -> Tensor:
        """[b, e] -> [b, hidden]."""
        fc1 = self.head.fc1
        return F.linear(features, fc1.weight[:, : features.shape[1]], fc1.bias)

    def forward(self, fused: Tensor, z: Tensor, t: Tensor) -> Tensor:
        label = self.label_encoder(z) if self.residual else F.relu(self.label_encoder(z))
        time = self.time_encoder(t)
        _, of_label, of_time = self.head.fc1.weight.split(label.shape[1], dim=1)
        first = fused + F.linear(label, of_label) + F.linear(time, of_time)
        return self.head.after_first(first)


class ClassEmbedding(nn.Module):
    """W_Embed, [m, d]."""

    def __init__(self, config: dict):
        super().__init__()
        classes, kind = config["classes"], config["class_embedding"]["kind"]
        weight = torch.zeros(classes, latent_dim(config))
        if kind == "one-hot":
            weight = torch.eye(classes)
        elif kind == "learned":
            random = config["class_embedding"].get("init") == "random"
            weight = (nn.init.normal_ if random else nn.init.orthogonal_)(weight)
        self.weight = nn.Parameter(weight, requires_grad=kind != "one-hot")


class Estimate(NamedTuple):
    """Class logits [b, m] and u_hat = softmax(logits) W_Embed [b, d]."""

    logits: Tensor
    u_hat: Tensor


class NoProp(nn.Module):
    """The network of the tables `method` and `model` of a recipe, or of a file's card."""

    def __init__(self, method: dict, config: dict):
        super().__init__()
        self.method, self.settings = method, settings.method(method)
        self.config = config = settings.model(config)
        self.latent_dim = latent_dim(config)
        self.backbone = backbone.build(config)
        self.denoiser = Denoiser(config, self.latent_dim)
        self.class_embedding = ClassEmbedding(config)
        self.schedule = schedule.build(self.settings)
        if isinstance(self.settings, settings.Ct):
            self.output_head = nn.Linear(self.latent_dim, config["classes"])
            with torch.no_grad():
                self.output_head.weight.copy_(self.initial_scale() * self.class_embedding.weight)
                self.output_head.bias.zero_()

    def initial_scale(self) -> float:
        """The output head starts as this times the inner product with the class embeddings. For
        one-hot embeddings it is Bayes' rule at t = 1: sqrt(alpha_bar) / (1 - alpha_bar)."""
        if self.config["class_embedding"]["kind"] != "one-hot":
            return 1.0
        snr = math.exp(-self.settings.schedule["gamma_0"])
        return math.sqrt(snr * (1 + snr))

    def features(self, images: Tensor) -> Tensor:
        """Normalised images [b, c, h, w] -> [b, e]; once per image."""
        return self.backbone(images)

    def fuse(self, features: Tensor) -> Tensor:
        """The features' share of the first layer of the head, [b, hidden]; once per image."""
        return self.denoiser.fuse(features)

    def own_logits(self, fused: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Class logits [b, m] of the network alone. A classifier sees neither z nor t."""
        if isinstance(self.settings, settings.Classifier):
            z, t = fused.new_zeros(1, self.latent_dim), fused.new_zeros(1, 1)
        return self.denoiser(fused, z, t)

    def latent_logits(self, z: Tensor, now: schedule.Point) -> Tensor:
        """log q(z|y) [b, m] up to a constant of each row: what z [b, d] says about the label."""
        weight = self.class_embedding.weight
        scale, snr = now.alpha_bar.sqrt() / now.sigma_squared, now.alpha_bar / now.sigma_squared
        return scale * (z @ weight.T) - 0.5 * snr * (weight**2).sum(dim=1)

    def expectation(self, logits: Tensor) -> Tensor:
        """softmax(logits) W_Embed, [b, d]."""
        return logits.softmax(dim=1) @ self.class_embedding.weight

    def denoise_fused(self, fused: Tensor, z: Tensor, t: Tensor) -> Estimate:
        """The estimate at latents z [b, d] and times t, [b, 1] or [1, 1]."""
        logits = self.own_logits(fused, z, t)
        if getattr(self.settings, "skip", False):
            logits = logits + self.latent_logits(z, self.schedule(t))
        return Estimate(logits, self.expectation(logits))

    def denoise(self, features: Tensor, z: Tensor, t: Tensor) -> Estimate:
        """The same from features [b, e]."""
        return self.denoise_fused(self.fuse(features), z, t)

    def readout(self, features: Tensor, z_1: Tensor) -> Tensor:
        """Class scores [b, m] of final latents z_1 [b, d]."""
        match self.settings:
            case settings.Ct():
                return self.output_head(z_1)
            case settings.Reference(readout="z"):
                return z_1
            case _:
                return self.denoise(features, z_1, z_1.new_ones(1, 1)).logits


def latent_dim(config: dict) -> int:
    """Dimension d of the latents."""
    embedding = config["class_embedding"]
    if embedding["kind"] == "one-hot":
        return config["classes"]
    if embedding["kind"] == "learned":
        return embedding.get("dim") or config["embed_dim"]
    if embedding.get("source", "image") == "image":
        return math.prod(config["input"])
    return config["embed_dim"]
