"""A small image dataset: moments in memory, as many views as wanted, with joints at random."""

import numpy as np

from jrepose.data.images.dataset import ImageDataset, ImageSequence, View


def dataset(*, sequences=2, moments=6, views=2, size=32, seed=0) -> ImageDataset:
    """Noise for crops; the last view of the last sequence is absent."""
    rng = np.random.default_rng(seed)
    total = sequences * moments
    cameras = tuple(View(f"camera_{k}", 100, 100) for k in range(views))
    views_seen = np.ones((total, views), bool)
    views_seen[-moments:, -1] = views == 1
    to_image = np.tile(np.array([[2, 0, 5], [0, 2, 10]], np.float32), (total, views, 1, 1))
    return ImageDataset(
        images=rng.integers(0, 256, (total, views, size, size, 3), np.uint8),
        joints_px=rng.uniform(0, size - 1, (total, views, 17, 2)).astype(np.float32),
        joints_seen=(rng.uniform(size=(total, views, 17)) < 0.8) & views_seen[..., None],
        views_seen=views_seen,
        crops=to_image,
        boxes=np.tile(np.array([10, 15, 50, 50], np.float32), (total, views, 1)),
        sequences=tuple(
            ImageSequence(
                f"s{k}", f"S{k}", "walk", 50.0, k * moments, (k + 1) * moments,
                cameras[: len(cameras) - (k == sequences - 1 and views > 1)],
            )
            for k in range(sequences)
        ),
    )  # fmt: skip
