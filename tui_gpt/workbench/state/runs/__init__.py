"""The table of runs: what is read of each, its columns, filter, marks and export."""
