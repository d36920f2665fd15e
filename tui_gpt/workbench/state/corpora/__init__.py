"""What is known of corpora and of their tokens."""
