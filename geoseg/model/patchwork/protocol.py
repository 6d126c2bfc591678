"""What geoseg expects of a loaded model."""

from typing import Protocol

import torch
from torch import Tensor


class Network(Protocol):
    """A loaded model."""

    @property
    def fixed_batch(self) -> int | None:
        """The only accepted batch size, or None for any."""

    @property
    def dtype(self) -> torch.dtype:
        """Data type of batches: float32 or bfloat16."""

    @property
    def free_bytes(self) -> int | None:
        """Free GPU memory before loading, if the network does not use torch's allocator; else None."""

    def __call__(self, batch: Tensor) -> Tensor:
        """Run the forward pass.

        Args:
            batch: On the network's device, shape (N, C, H, W); fastest in torch's memory format `channels_last`.

        Returns:
            The output without the activation: any float dtype, on the same device, shape (N, K, h, w).
        """
