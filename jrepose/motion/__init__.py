"""From a detector's keypoints to files of 3D motion."""
