"""Widgets of the workbench, one a file. They know no screens and no runs."""
