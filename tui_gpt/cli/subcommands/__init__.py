"""The subcommands of `gpt-tui`, one module for each group; `cli.root` imports a module when one of its commands is
used.
"""
