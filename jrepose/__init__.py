"""jrepose: 2D keypoints to 3D human pose in JAX/Flax."""

__version__ = "0.1.0"
