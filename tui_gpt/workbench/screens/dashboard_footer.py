"""The footer's words on the dashboard: what helps in the state that the run is in."""

from __future__ import annotations

from tui_gpt.workbench.state.session import Session

LIVE_ONLY = ("pause", "checkpoint", "sample", "stop")
QUIET = ("use_config", "log", "events", "log_scale", "x_axis", "whole_plan")  # shown only where they help most


def footer_labels(session: Session, *, is_narrow: bool) -> dict[str, str]:
    """Return the word for each action whose word depends on the state; an empty one leaves the action out."""
    monitor = session.monitor
    is_live, state = session.is_live, monitor.state if monitor else ""
    can_resume = bool(monitor and monitor.has_ended and monitor.state != "gone")
    labels = dict.fromkeys(QUIET, "")
    labels |= {"start": "" if is_live else "start new" if monitor else "start"}
    labels |= {} if is_live else dict.fromkeys(LIVE_ONLY, "")
    labels |= {"pause": "resume"} if state == "paused" else {}
    labels |= {"resume": "resume" if can_resume else ""}
    labels |= {"use_config": "use config", "log": "log"} if monitor and not is_live else {}
    if monitor is None:
        labels |= dict.fromkeys(("config", "metric", "maximize", "filter"), "")
    if is_narrow:
        labels |= dict.fromkeys(("config", "maximize", "filter", "command_palette"), "")
    return labels
