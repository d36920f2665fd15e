"""Generate very short stories whose probability is known exactly.

`generator` writes them and computes their probability (`generate_stories`, `story_nats`), `grammar` interprets the
grammar in both directions, `plots` holds the plots.
"""
