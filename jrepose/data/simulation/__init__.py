"""Virtual capture: motion in front of cameras, and what a 2D detector would see of it."""
