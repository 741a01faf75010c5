"""Images for the training scripts, from folders as `noprop` reads them: MNIST's four IDX files, the
binary files of CIFAR-10, or `train` and `test` with a folder of pictures for each class."""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor


class Split(NamedTuple):
    """Pixels [n, c, h, w] of type uint8 and labels [n]."""

    pixels: Tensor
    labels: Tensor


def load(folder: Path, limit: int | None = None) -> tuple[Split, Split]:
    """Training and test images; at most the first `limit` of each."""
    if (folder / "data_batch_1.bin").exists():
        names = [f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]
        splits = [cifar([folder / name for name in files]) for files in names]
    elif (folder / "train").is_dir():
        splits = [pictures(folder / name) for name in ("train", "test")]
    else:
        splits = [idx(folder, name) for name in ("train", "t10k")]
    train, test = (Split(pixels[:limit], labels[:limit]) for pixels, labels in splits)
    return train, test


def idx(folder: Path, name: str) -> Split:
    """IDX files, raw or gzipped."""
    pixels = read(folder, f"{name}-images-idx3-ubyte")[16:].reshape(-1, 1, 28, 28)
    return split(pixels, read(folder, f"{name}-labels-idx1-ubyte")[8:])


def read(folder: Path, name: str) -> numpy.ndarray:
    packed = folder / f"{name}.gz"
    data = gzip.open(packed).read() if packed.exists() else (folder / name).read_bytes()
    return numpy.frombuffer(data, dtype=numpy.uint8)


def cifar(files: list[Path]) -> Split:
    rows = [numpy.fromfile(file, dtype=numpy.uint8).reshape(-1, 3073) for file in files]
    rows = numpy.concatenate(rows)
    return split(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0])


def pictures(folder: Path) -> Split:
    """A folder for each class, in alphabetical order, shuffled; all pictures of one size. Needs
    Pillow."""
    from PIL import Image

    pixels, labels = [], []
    for label, of_class in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for file in sorted(of_class.iterdir()):
            picture = numpy.asarray(Image.open(file))
            pixels.append(picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1))
            labels.append(label)
    order = numpy.random.default_rng(0).permutation(len(labels))
    return split(numpy.stack(pixels)[order], numpy.array(labels)[order])


def split(pixels: numpy.ndarray, labels: numpy.ndarray) -> Split:
    return Split(torch.from_numpy(pixels.copy()), torch.from_numpy(labels.copy()).long())


class Normalization:
    """(pixel / 255 - mean) / std by channel, with mean and std of the training images."""

    def __init__(self, pixels: Tensor):
        values = [pixels[:, channel].float() / 255 for channel in range(pixels.shape[1])]
        self.mean = torch.tensor([value.mean() for value in values]).view(-1, 1, 1)
        self.std = torch.tensor([value.std() for value in values]).view(-1, 1, 1)

    def __call__(self, pixels: Tensor, channels: int) -> Tensor:
        """Normalised images [n, channels, h, w]; grey ones are repeated."""
        images = (pixels.float() / 255 - self.mean) / self.std
        return images.expand(-1, channels, -1, -1).contiguous()


def augmented(pixels: Tensor, config: dict) -> Tensor:
    """`crop_padding` and `flip` of a recipe's table `data.augment` on pixels [n, c, h, w]."""
    unknown = set(config) - {"crop_padding", "flip"}
    if unknown:
        raise ValueError(f"data.augment {sorted(unknown)} is not ported")
    n, c, height, width = pixels.shape
    padding = config.get("crop_padding", 0)
    padded = torch.nn.functional.pad(pixels, 4 * (padding,))
    top, left = torch.randint(2 * padding + 1, (2, n, 1))
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    if config.get("flip", False):
        columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    place = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).view(n, 1, -1)
    moved = padded.flatten(2).gather(2, place.expand(-1, c, -1))
    return moved.view(n, c, height, width)
