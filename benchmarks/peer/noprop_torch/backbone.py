"""Image -> features: ResNet with torchvision's parameter names, the paper's small CNN, and a network
in airbench's shape."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}
# Kernel and stride of the first convolution, and whether max-pooling follows it.
STEMS = {"imagenet": (7, 2, True), "small": (3, 1, False), "strided": (3, 2, False)}


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2015, arXiv:1512.03385)."""

    expansion = 1

    def __init__(self, channels_in: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = conv(channels_in, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = shortcut(channels_in, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 (with the stride) and 1x1, and a shortcut."""

    expansion = 4

    def __init__(self, channels_in: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = conv(channels_in, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv(planes, 4 * planes, 1)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = shortcut(channels_in, 4 * planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


def shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels_in == channels_out:
        return None
    return nn.Sequential(conv(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out))


class ResNet(nn.Module):
    """Images [b, c, h, w] -> [b, outputs]. Width 64 and the ImageNet stem give torchvision's."""

    def __init__(self, depth: int, stem: str, width: int, channels: int, outputs: int):
        super().__init__()
        kernel, stride, pooled = STEMS[stem]
        block = Bottleneck if depth >= 50 else BasicBlock
        self.conv1 = conv(channels, width, kernel, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if pooled else nn.Identity()
        channels_in = width
        for stage, count in enumerate(BLOCKS[depth]):
            planes = width << stage
            blocks = []
            for index in range(count):
                blocks.append(block(channels_in, planes, 2 if index == 0 and stage > 0 else 1))
                channels_in = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels_in, outputs)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class Cnn(nn.Module):
    """The paper's image branch (figure 6): images [b, c, h, w] -> [b, outputs]."""

    def __init__(self, width: int, dropout: float, image: tuple[int, int, int], outputs: int):
        super().__init__()
        channels, height, breadth = image
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.fc = nn.Linear(4 * width * (height // 4) * (breadth // 4), outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        x = self.dropout(F.max_pool2d(F.relu(self.conv1(images)), 2))
        x = self.dropout(F.relu(self.conv2(x)))
        x = self.dropout(F.max_pool2d(F.relu(self.conv3(x)), 2))
        return F.relu(self.fc(torch.flatten(x, 1)))


class Airbench(nn.Module):
    """The shape of airbench94 (Jordan 2024, arXiv:2404.00498): images [b, c, h, w] -> [b, outputs].
    A frozen whitening convolution, three groups of w, 4w and 4w channels, max-pooling, linear."""

    def __init__(self, width: int, channels: int, outputs: int):
        super().__init__()
        filters = 8 * channels
        self.whitening = nn.Conv2d(channels, filters, 2)
        self.whitening.weight.requires_grad_(False)
        self.group1 = Group(filters, width)
        self.group2 = Group(width, 4 * width)
        self.group3 = Group(4 * width, 4 * width)
        self.fc = nn.Linear(4 * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        x = F.gelu(self.whitening(images))
        x = self.group3(self.group2(self.group1(x)))
        return self.fc(x.amax(dim=(2, 3)))

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Takes the whitening filters v / sqrt(lambda + eps), and their negatives, from normalised
        images: eigenvectors and eigenvalues of the second moments of their 2x2 patches."""
        patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1)
        moments = patches.double().T @ patches.double() / len(patches)
        eigenvalues, eigenvectors = torch.linalg.eigh(moments)
        filters = (eigenvectors / (eigenvalues + 5e-4).sqrt()).T.flip(0).float()
        filters = torch.cat([filters, -filters]).view_as(self.whitening.weight)
        self.whitening.weight.copy_(filters)


class Group(nn.Module):
    """Two convolutions 3x3, with a pooling between them; BatchNorm's scale is frozen at 1."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv1 = passing_conv(channels_in, channels)
        self.norm1 = frozen_norm(channels)
        self.conv2 = passing_conv(channels, channels)
        self.norm2 = frozen_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


def passing_conv(channels_in: int, channels: int) -> nn.Conv2d:
    """A convolution whose first filters pass one channel on each."""
    layer = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[: min(channels_in, channels)].data)
    return layer


def frozen_norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def build(config: dict) -> nn.Module:
    """Makes the backbone of a model configuration."""
    backbone, image = config["backbone"], tuple(config["input"])
    if backbone["kind"] == "cnn":
        return Cnn(backbone["width"], backbone["dropout"], image, config["embed_dim"])
    if backbone["kind"] == "airbench":
        return Airbench(backbone["width"], image[0], config["embed_dim"])
    return ResNet(
        backbone["depth"], backbone["stem"], backbone["width"], image[0], config["embed_dim"]
    )
