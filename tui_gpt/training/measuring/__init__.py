"""Evaluation of the model, and benchmarks of a run: step times, memory, batch size search and the likely bottleneck."""
