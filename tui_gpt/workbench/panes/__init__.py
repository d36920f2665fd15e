"""The dashboard's panes, one a file. Each draws from the run folder's feed, the draft, or the machine's readings."""
