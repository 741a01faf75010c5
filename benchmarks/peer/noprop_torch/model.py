"""Our NoProp-CT network; parameter names and shapes are those of our .safetensors files."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import backbone, schedule


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

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.fc1(x)))
        x = F.relu(self.bn2(self.fc2(x)))
        return self.fc3(x)


class Denoiser(nn.Module):
    """(features [b, e], z [b, d], t [b, 1] or [1, 1]) -> logits [b, m]."""

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

    def forward(self, features: Tensor, z: Tensor, t: Tensor) -> Tensor:
        label = self.label_encoder(z) if self.residual else F.relu(self.label_encoder(z))
        time = self.time_encoder(t).expand(len(z), -1)
        return self.head(torch.cat([features, label, time], dim=1))


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
    """The network of a model configuration (the `model` table of a recipe, or of a file's card)."""

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        self.latent_dim = latent_dim(config)
        self.backbone = backbone.build(config)
        self.denoiser = Denoiser(config, self.latent_dim)
        self.class_embedding = ClassEmbedding(config)
        self.schedule = schedule.build(config)
        if config["readout"] == "linear":
            # The output head starts as the inner product with the class embeddings.
            self.output_head = nn.Linear(self.latent_dim, config["classes"])
            with torch.no_grad():
                self.output_head.weight.copy_(self.class_embedding.weight)
                self.output_head.bias.zero_()

    def features(self, images: Tensor) -> Tensor:
        """Normalised images [b, c, h, w] -> [b, e]; once per image."""
        return self.backbone(images)

    def denoise(self, features: Tensor, z: Tensor, t: Tensor) -> Estimate:
        """The estimate at latents z [b, d] and times t, [b, 1] or [1, 1]."""
        logits = self.denoiser(features, z, t)
        return Estimate(logits, logits.softmax(dim=1) @ self.class_embedding.weight)

    def readout(self, features: Tensor, z_1: Tensor) -> Tensor:
        """Class scores [b, m] of final latents z_1 [b, d]."""
        kind = self.config["readout"]
        if kind == "linear":
            return self.output_head(z_1)
        if kind == "denoiser":
            return self.denoise(features, z_1, z_1.new_ones(1, 1)).logits
        return z_1


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
