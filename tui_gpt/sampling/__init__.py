"""Text generation: sampling strategies, generation with a key-value cache, and the sampler process."""

from tui_gpt.sampling.generation import SamplingOptions, generate, generate_batch, generate_text, stream_text

__all__ = ["SamplingOptions", "generate", "generate_batch", "generate_text", "stream_text"]
