"""What the tables of scenarios are made of."""

from __future__ import annotations

from tests.mesh.plans import Step
from tests.mesh.scene import Play, Scenario, Scene

PAYMENTS = "payments.shop"
FRONTEND = "frontend.shop"


def sends(
    name: str,
    *steps: Step,
    blame: tuple[str, str | None] | None = None,
    apart: bool = False,
    share: float = 1.0,
    **settings: object,
) -> Scenario:
    """Make a scenario that sends one kind of request, `share` of the usual number; `settings` are those of a visit."""

    async def play(scene: Scene) -> None:
        await scene.ask(*steps, count=max(3, int(scene.requests * share)), blame=blame, **settings)  # type: ignore[arg-type]

    return Scenario(name, play, apart=apart)


def plays(name: str, play: Play, apart: bool = False, in_town: bool = True) -> Scenario:
    """Make a scenario that a function plays."""
    return Scenario(name, play, in_town, apart)
