"""Batches as a function of (seed, step): windows, packed documents, shuffling and mixtures of corpora."""
