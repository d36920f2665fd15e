"""A checkpoint made to speak: strategies, generation with a key-value cache."""

from tui_gpt.sampling.generation import SamplingOptions, generate, generate_text, stream_text

__all__ = ["SamplingOptions", "generate", "generate_text", "stream_text"]
