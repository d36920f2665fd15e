"""Turn text into token ids and back.

`tokenizer` encodes and decodes (`Tokenizer`, `load_tokenizer`), `build` makes tokenizers by name (`make_tokenizer`,
`check_tokenizer`), `tokenizer_cache` keeps them, `chunking` splits documents where no token changes, and
`tokenizer_comparison` compares tokenizers on a corpus.
"""
