"""The subcommands of `gpt-tui`, one module for each group of them; `cli.root` imports each when it is used."""
