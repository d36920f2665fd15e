"""Modal dialogs, one file each; screens await them with `push_screen_wait` inside a worker."""
