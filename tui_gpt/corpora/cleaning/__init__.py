"""Make a clean copy of a corpus, with a report of what was changed and left out.

`pipeline` runs the steps (`clean`, `report_on`), `text_steps` changes single texts, `dedup` finds duplicate documents.
"""
