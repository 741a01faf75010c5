"""How far a computation is from a kink. The gradient of a network jumps where the input of a ReLU is
zero, and where the two largest entries of a window of a max-pooling are equal. Next to such a place
rounding, which depends on the processor, decides on which side the computation is, and two right
programs get gradients that differ by percents. Comparisons therefore use batches that are far."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

FAR = 1e-5
"""Some ten times what rounding changes in the layers of a ResNet-18."""


class Steadiness(TorchFunctionMode):
    """`distance`: the least distance from a kink, in standard deviations of what the layer is given,
    of all that is computed within this context."""

    distance = float("inf")

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name == "relu":
            self.see(args[0], args[0])
        elif name.endswith("max_pool2d"):
            self.see(args[0], gaps(*args, **(kwargs or {})))
        return function(*args, **(kwargs or {}))

    def see(self, x: Tensor, distances: Tensor) -> None:
        # What is zero to the bit is so by construction, on every processor.
        distances = distances.detach()[distances != 0].abs()
        if len(distances) > 0:
            self.distance = min(self.distance, (distances.min() / x.detach().std()).item())


def gaps(x: Tensor, kernel, stride=None, padding=0, **_) -> Tensor:
    """Largest entry less the second largest of all windows whose largest is positive."""
    windows = F.unfold(x.detach().flatten(0, 1)[:, None], kernel, 1, padding, stride or kernel)
    first, second = windows.topk(2, dim=1).values.unbind(dim=1)
    return (first - second)[first > 0]
