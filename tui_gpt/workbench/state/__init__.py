"""What the workbench knows, free of Textual: runs, their metrics, the draft, preferences."""
