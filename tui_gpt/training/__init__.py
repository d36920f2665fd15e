"""Training of one run: preparing it, the training loop and its data, optimizers, measuring, and the files it writes."""
