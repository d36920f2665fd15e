"""The optimizers (AdamW, Muon, GaLore), their parameter groups, and the learning rate schedules."""

from tui_gpt.training.optimizers.parameter_groups import make_optimizers, set_learning_rate, update

__all__ = ["make_optimizers", "set_learning_rate", "update"]
