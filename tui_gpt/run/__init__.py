"""A run's life: its folder, messages, supervisor and commands. No torch here."""
