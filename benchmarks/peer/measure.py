"""Times the parts that `noprop bench` times, on the reference's model, and prints one JSON object.

    python measure.py --form reference --measure step --threads 2

`--form reference` is the reference as it is (the backbone twice in a training step and inside
every step of the ODE), `--form smart` computes features once. `cargo xtask bench` calls this.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable

import torch

from noprop_torch import reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", choices=("reference", "smart"), default="smart")
    parser.add_argument("--measure", choices=("step", "forward", "solve"), required=True)
    parser.add_argument("--size", type=int, default=28, help="height and width of the images")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=1000, help="images that walk")
    parser.add_argument("--steps", type=int, default=40, help="steps T of a walk")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    once = args.form == "smart"
    model = reference.Mnist("resnet18")
    measured = {"step": step, "forward": forward, "solve": solve}[args.measure]
    images, work = measured(model, args, once)
    seconds = timed(work, args.warm_up, args.repeats)
    # On Linux the number is in kibibytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    timings = [{"what": args.measure, "images": images, "seconds": seconds}]
    print(json.dumps({"torch": torch.__version__, "timings": timings, "peak_memory": peak}))


def timed(work: Callable[[], None], warm_up: int, repeats: int) -> list[float]:
    seconds = []
    for _ in range(warm_up + repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds[warm_up:]


def pixels(count: int, size: int) -> torch.Tensor:
    """Normalised images of noise, [n, 3, h, w]."""
    return torch.randn(count, 3, size, size)


def step(model, args, once: bool) -> tuple[int, Callable[[], None]]:
    images = pixels(args.batch_size, args.size)
    labels = torch.arange(args.batch_size) % 10
    optimizer = reference.adamw(model.train())
    return args.batch_size, lambda: reference.train_step(model, optimizer, images, labels, once)


@torch.no_grad()
def features(model, images: torch.Tensor) -> None:
    model.backbone(images)


def forward(model, args, once: bool) -> tuple[int, Callable[[], None]]:
    images = pixels(args.batch_size, args.size)
    model.eval()
    return args.batch_size, lambda: features(model, images)


def solve(model, args, once: bool) -> tuple[int, Callable[[], None]]:
    """Heun walks of batches of at most 500 images."""
    batches = pixels(args.images, args.size).split(500)
    model.eval()

    def work() -> None:
        for batch in batches:
            reference.sample(model, batch, args.steps, heun=True, once=once)

    return args.images, work


if __name__ == "__main__":
    main()
