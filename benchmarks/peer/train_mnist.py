"""Trains the unchanged reference on MNIST, and prints one JSON object per evaluation:
the seconds of training so far, and the percentage of test images that are classified rightly.

    python train_mnist.py --data-root MNIST/raw --seed 0 --threads 2

The evaluation (Heun, T = 40) computes features once per image and is not counted.
"""

import argparse
import json
import time
from pathlib import Path

import torch

import datasets
from noprop_torch import reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--evaluate-every", type=int, default=156, help="steps")
    parser.add_argument("--stop-at", type=float, default=99.0, help="percent")
    parser.add_argument("--max-seconds", type=float, default=float("inf"), help="of training")
    parser.add_argument("--images", type=int, help="at most so many training and test images")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    images, labels = load(args.data_root, "train", args.images)
    test = load(args.data_root, "t10k", args.images)
    model = reference.Mnist("resnet18")
    optimizer = reference.adamw(model)
    seconds, steps = 0.0, 0
    for _ in range(args.epochs):
        order = torch.randperm(len(images))
        for batch in order.split(args.batch_size):
            start = time.perf_counter()
            model.train()
            reference.train_step(model, optimizer, images[batch], labels[batch], once=False)
            seconds += time.perf_counter() - start
            steps += 1
            if steps % args.evaluate_every == 0:
                percent = accuracy(model.eval(), *test)
                print(json.dumps({"seconds": seconds, "percent": percent}), flush=True)
                if percent >= args.stop_at or seconds >= args.max_seconds:
                    return


def accuracy(model, images: torch.Tensor, labels: torch.Tensor) -> float:
    right = 0
    for some, classes in zip(images.split(500), labels.split(500)):
        scores = reference.sample(model, some, steps=40, heun=True, once=True).scores
        right += (scores.argmax(dim=1) == classes).sum().item()
    return 100 * right / len(labels)


def load(folder: Path, name: str, limit: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images [n, 3, 28, 28] and labels [n] from IDX files, raw or gzipped."""
    pixels, labels = datasets.idx(folder, name)
    images = (pixels[:limit].float() / 255 - 0.1307) / 0.3081
    return images.expand(-1, 3, -1, -1).contiguous(), labels[:limit]


if __name__ == "__main__":
    main()
