"""The terminal: its driver, what it can show, and what is sent to it. Only here are Textual's private names used."""
