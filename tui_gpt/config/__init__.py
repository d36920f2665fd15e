"""What a run is: typed schema with bounds, units and help; presets; TOML; estimates. No torch here."""

from tui_gpt.config.duration import Duration
from tui_gpt.config.fields import Field, field, fields
from tui_gpt.config.files import (
    Asked,
    asked_for,
    build,
    changed_keys,
    check_resumable,
    keys_of,
    override,
    read_toml,
    set_key,
    to_dict,
    to_toml,
)
from tui_gpt.config.presets import PRESETS, PURPOSES
from tui_gpt.config.schema import (
    CheckpointsConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SamplingConfig,
    ScheduleConfig,
    TrainingConfig,
)

__all__ = [
    "PRESETS",
    "PURPOSES",
    "Asked",
    "CheckpointsConfig",
    "Config",
    "DataConfig",
    "Duration",
    "Field",
    "ModelConfig",
    "OptimizerConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "TrainingConfig",
    "asked_for",
    "build",
    "changed_keys",
    "check_resumable",
    "field",
    "fields",
    "keys_of",
    "override",
    "read_toml",
    "set_key",
    "to_dict",
    "to_toml",
]
