"""Real motion capture: files of motion in the world to `Recording`s."""
