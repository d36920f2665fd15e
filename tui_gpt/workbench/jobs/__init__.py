"""Work in other processes: tasks on corpora and the sampler. Free of Textual."""
