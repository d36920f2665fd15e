"""One run: batches, optimiser, schedule, the step, evaluation and what is written of them."""
