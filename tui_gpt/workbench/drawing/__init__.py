"""Text and charts as plain data: sanitizing, formatting, decimation, ranges and plots. No Textual here."""
