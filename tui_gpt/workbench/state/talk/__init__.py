"""What Talk holds: the text with its authors, the checkpoints, and who writes next."""
