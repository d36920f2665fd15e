"""The parts of the Corpora screen."""
