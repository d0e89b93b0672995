"""Reading the layout of the reference fixtures."""

import numpy as np


def with_prefix(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The entries below `prefix`, with the prefix removed."""
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
