"""Runs as folders and processes: run folder, messages, commands, supervisor. This package does not import torch."""
