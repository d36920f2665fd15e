"""The parts of Talk."""
