"""The training loop: the trainer, one training step, anomaly checks and recovery, and the supervisor's commands."""
