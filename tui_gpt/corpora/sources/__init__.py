"""Find, fetch and read text: what a corpus name means, and its documents.

`registry` resolves names (`find_corpus`, `list_corpora`, `add_corpus`), `catalogue` describes the known ones,
`fetching` and `download` bring them into the cache, `source` and `mixtures` define `Source` and its kinds, `formats`
and `text_files` read files. `digests`, `locks` and `corpus_manifest` keep what is known of files on the disk.
"""
