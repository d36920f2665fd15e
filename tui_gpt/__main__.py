"""`python -m tui_gpt` is `gpt-tui`."""

from tui_gpt.cli import main

if __name__ == "__main__":
    main()
