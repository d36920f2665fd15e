"""Prepare a corpus for training: files of tokens, split into training and validation.

`prepare` runs the whole preparation (`prepare`), `encoding` writes tokens, `splitting` chooses the validation
documents, `shard_files` defines the files (`Shards`, `ShardsInfo`, `open_shards`).
"""
