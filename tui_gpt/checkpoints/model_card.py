"""The model card of an exported checkpoint: its data with licence and source, losses, settings and limits. No torch.

It says what the run's folder records, and leaves out what is not known. Paths of this machine stay out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tui_gpt.checkpoints.manifest import Manifest
from tui_gpt.config import Config
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Eval, RunInfo, TextOrigin
from tui_gpt.safe_text import safe_line

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#])")

LIMITS = """\
- It continues a text in the manner of what it was trained on. It follows no instructions and knows no facts beyond it.
- It can repeat passages of its training text, and whatever that text holds of errors, prejudice and offence.
- It has not been trained or tested for safety. Do not use it where what it writes has consequences.
"""


def model_card(checkpoint: Path, manifest: Manifest, config: Config, *, is_gpt2: bool) -> str:
    """Return the README.md of an export of `checkpoint`. is_gpt2: the transformers library loads it."""
    info, evaluation, loss = _records(checkpoint, manifest.step)
    name = manifest.run or checkpoint.name
    sections = [
        _front_matter(is_gpt2),
        f"# {_plain(name)}\n\n{_summary(manifest, config, info)}\n",
        f"## Data\n\n{_data(info, config)}",
        f"## Results\n\n{_results(manifest, evaluation, loss)}",
        f"## Settings\n\n{_settings(config, info)}",
        f"## Limits\n\n{LIMITS}- It sees at most {config.model.context_length:,} tokens at a time.\n",
        f"## Use\n\n{_use(is_gpt2)}",
    ]
    return "\n".join(sections)


def _plain(text: str) -> str:
    """Return a text from outside in one line, without any markup of its own."""
    return _MARKUP.sub(r"\\\1", safe_line(text))


def _records(checkpoint: Path, step: int) -> tuple[RunInfo | None, Eval | None, float | None]:
    """Return what the run of a checkpoint records: run.json, the evaluation and the loss at its step, if there."""
    folder = RunFolder(checkpoint.parent.parent)
    try:
        evaluation = next((line for line in reversed(folder.read_evals()) if line.step == step), None)
        loss = next((line.loss for line in reversed(folder.read_metrics()) if line.step == step), None)
        return folder.read_info(), evaluation, loss
    except (UserError, OSError):
        return None, None, None


def _front_matter(is_gpt2: bool) -> str:
    library = "library_name: transformers\n" if is_gpt2 else ""
    return f"---\n{library}pipeline_tag: text-generation\ntags:\n- gpt-tui\n- text-generation\n---\n"


def _summary(manifest: Manifest, config: Config, info: RunInfo | None) -> str:
    made_by = f" {info.versions['gpt-tui']}" if info and "gpt-tui" in info.versions else ""
    start = "from scratch"
    if info is not None and info.parent:
        start = f"from the weights of {_plain(_short(info.parent))}"
    return (
        f"A GPT of {manifest.parameters:,} parameters ({config.model.architecture}), trained {start} with"
        f" gpt-tui{made_by}: step {manifest.step:,}, {manifest.tokens:,} tokens."
    )


def _short(parent: str) -> str:
    """Return the run and the step of a checkpoint's path, the last name of another path."""
    path = Path(parent)
    return f"{path.parent.parent.name}, {path.name}" if path.parent.name == "checkpoints" else path.name


def _data(info: RunInfo | None, config: Config) -> str:
    if info is None or info.corpus is None:
        return "The training text is not recorded.\n"
    corpus, parents = info.corpus, [each for each in info.parent_origins if each not in info.corpus.origins]
    before = f"\nThe weights that it started from were trained on:\n\n{_origins(parents)}" if parents else ""
    return (
        f"{_origins(corpus.origins or (TextOrigin(corpus.name),))}{before}\n"
        f"Documents: {corpus.documents:,}; tokens: {corpus.train_tokens:,} to train and {corpus.val_tokens:,} to"
        f" validate, with a vocabulary of {corpus.vocab_size:,} (`{Path(config.data.tokenizer).name}`).\n"
    )


def _origins(origins: Sequence[TextOrigin]) -> str:
    return _table(
        ("text", "licence", "source"),
        ((each.name, each.licence or "unknown", each.source or "unknown") for each in origins),
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([_plain(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _results(manifest: Manifest, evaluation: Eval | None, loss: float | None) -> str:
    rows = []
    if loss is not None:
        rows.append(("training loss of the step", f"{loss:.4f} nats per token"))
    if evaluation is not None and evaluation.val_loss is not None:
        scope = "all of the validation text" if evaluation.whole else f"{evaluation.tokens:,} tokens"
        rows.append(("validation loss", f"{evaluation.val_loss:.4f} nats per token, {scope}"))
        if evaluation.perplexity is not None:
            rows.append(("perplexity", f"{evaluation.perplexity:.2f}"))
        if evaluation.bits_per_byte is not None:
            rows.append(("bits per byte", f"{evaluation.bits_per_byte:.4f}"))
    elif manifest.val_loss is not None:
        rows.append(("validation loss", f"{manifest.val_loss:.4f} nats per token"))
    return _table(("measure", "value"), rows) if rows else "Not measured at this step.\n"


def _settings(config: Config, info: RunInfo | None) -> str:
    model, optimizer = config.model, config.optimizer
    rows = [
        (
            "model",
            f"{model.n_layer} layers, {model.n_head} heads, width {model.n_embd}, context {model.context_length:,}",
        ),
        ("optimizer", f"{optimizer.name}, learning rate {optimizer.learning_rate:g}, {config.schedule.name} schedule"),
        ("step", f"{config.tokens_per_step:,} tokens"),
        ("duration", str(config.training.duration)),
        ("seed", str(config.training.seed)),
    ]
    if info is not None and info.device:
        rows.append(
            ("trained on", f"{info.device}, {info.precision}, PyTorch {info.versions.get('torch', '')}".rstrip())
        )
    return _table(("setting", "value"), rows)


def _use(is_gpt2: bool) -> str:
    if is_gpt2:
        return (
            "```python\nfrom transformers import AutoTokenizer, GPT2LMHeadModel\n\n"
            'model = GPT2LMHeadModel.from_pretrained(".")\ntokenizer = AutoTokenizer.from_pretrained(".")\n```\n'
        )
    return "```sh\ngpt-tui import . && gpt-tui sample\n```\n\nThe transformers library has no such architecture.\n"
