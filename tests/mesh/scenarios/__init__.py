"""The scenarios, by theme; a table row sets up most of them, a function those that need more than requests."""

from __future__ import annotations

from tests.mesh.scenarios import answers, callers, connections, healthy, losses, rules
from tests.mesh.scene import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for theme in (healthy, answers, connections, rules, callers, losses)
    for scenario in theme.SCENARIOS
}
"""Every scenario by name, in the order in which they are played."""
