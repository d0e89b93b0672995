"""One file per dataset format: from what a benchmark publishes to a `PoseDataset`."""
