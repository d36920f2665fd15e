"""The config of a run: typed schema with bounds, units and help; presets; TOML; estimates. No torch here."""

from tui_gpt.config.duration import Duration
from tui_gpt.config.fields import Field, field, fields
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
from tui_gpt.config.toml_files import (
    PartialConfig,
    build,
    changed_keys,
    check_resumable,
    flatten_keys,
    load_config,
    override,
    read_toml,
    set_key,
    to_dict,
    to_toml,
    with_relative_paths,
)

__all__ = [
    "PRESETS",
    "PURPOSES",
    "CheckpointsConfig",
    "Config",
    "DataConfig",
    "Duration",
    "Field",
    "ModelConfig",
    "OptimizerConfig",
    "PartialConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "TrainingConfig",
    "build",
    "changed_keys",
    "check_resumable",
    "field",
    "fields",
    "flatten_keys",
    "load_config",
    "override",
    "read_toml",
    "set_key",
    "to_dict",
    "to_toml",
    "with_relative_paths",
]
