"""The files that rank 0 writes: metrics, evaluations, samples and checkpoints, also when the disk is full."""
