"""The parts of the Runs screen."""
