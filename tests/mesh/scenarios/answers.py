"""Applications that answer badly, late, or not at all, seen from near and from above, with and without retries."""

from __future__ import annotations

from tests.mesh.plans import Step
from tests.mesh.scenarios.table import PAYMENTS, sends

_APP_5XX = ("app_5xx", PAYMENTS)
_RETRIED = ("retried", PAYMENTS)
_SLOW = ("slow_upstream", PAYMENTS)
_CURRENCY = "currency.shop"


def _deep(step: Step) -> Step:
    return Step("orders", then=(Step("cart"), step))


SCENARIOS = (
    sends("app_5xx", Step("payments", status=500), blame=_APP_5XX, apart=True),
    sends("app_5xx_retries", Step("payments", status=503, variant="retry"), blame=_APP_5XX, apart=True),
    sends(
        "app_5xx_deep", _deep(Step("payments", then=(Step("ledger", status=500),))), blame=("app_5xx", "ledger.shop")
    ),
    sends(
        "app_5xx_deep_retries",
        Step("orders", variant="retry", then=(Step("payments", variant="retry", status=503),)),
        blame=_APP_5XX,
    ),
    sends("app_5xx_frontend", frontend=Step("frontend", status=500), blame=("app_5xx", "frontend.shop")),
    sends(
        "app_5xx_gateway_retries",
        Step("cart"),
        frontend=Step("frontend", status=503),
        path="/retrying",
        blame=("app_5xx", "frontend.shop"),
    ),
    sends(
        "app_5xx_id_dropped",
        Step("recommendations", then=(Step("catalog", status=500),)),
        # the request's own lines end at recommendations, which answered 502; what it called is a trace of its own
        blame=("app_5xx", "recommendations.shop"),
        below_break=("app_5xx", "catalog.shop"),
    ),
    sends("retried", Step("payments", fails_first=1, variant="retry"), blame=_RETRIED, apart=True),
    sends("retried_twice", _deep(Step("payments", fails_first=2, variant="retry")), blame=_RETRIED),
    sends("retried_twice_near", Step("payments", fails_first=2, variant="retry"), blame=_RETRIED, apart=True),
    sends(
        "retried_over_http2",
        *(Step("ledger", fails_first=2, variant="retry", takes_ms=takes) for takes in (2, 5)),
        blame=("retried", "ledger.shop"),
        apart=True,
    ),
    sends(
        "retried_at_once_over_http2",
        *(
            Step("ledger", f"/tasks/{takes}", fails_first=1, variant="retry", takes_ms=takes, method="POST")
            for takes in (2, 5)
        ),
        at_once=True,
        blame=("retried", "ledger.shop"),
        apart=True,
    ),
    sends(
        "retried_by_gateway",
        Step("cart"),
        frontend=Step("frontend", fails_first=1),
        path="/retrying",
        blame=("retried", "frontend.shop"),
        apart=True,
    ),
    sends(
        "retried_with_work_below",
        Step("orders", variant="retry", fails_first=1, fails_late=True, then=(Step("payments"),)),
        blame=("retried", "orders.shop"),
    ),
    sends("retried_stall", Step("payments", stalls_first=1, variant="short-retry"), share=0.5, blame=_RETRIED),
    sends("app_error", Step("currency", grpc_status=13), blame=("app_error", _CURRENCY)),
    sends("app_error_deep", _deep(Step("currency", grpc_status=2)), blame=("app_error", _CURRENCY)),
    sends("app_error_retries", Step("currency", grpc_status=13, variant="retry"), blame=("app_error", _CURRENCY)),
    sends("app_crash", Step("payments", ends="crash"), blame=("app_crash", PAYMENTS), apart=True),
    sends("app_crash_retries", Step("payments", ends="crash", variant="retry"), blame=("app_crash", PAYMENTS)),
    sends("app_crash_deep", _deep(Step("ledger", ends="crash")), blame=("app_crash", "ledger.shop")),
    sends("protocol_error", Step("payments", ends="garbage"), blame=("protocol_error", PAYMENTS)),
    sends(
        "protocol_error_retries",
        Step("payments", ends="garbage", variant="retry"),
        blame=("protocol_error", PAYMENTS),
    ),
    # 200 UPE on both lines: a crash and a breach of the protocol leave the same (envoy-facts 7.27)
    sends("cut_short", Step("payments", ends="cut"), blame=("app_crash", PAYMENTS), is_hidden=True),
    sends("upstream_reset", Step("currency", ends="reset"), blame=("upstream_reset", _CURRENCY)),
    sends(
        "upstream_reset_retries",
        Step("currency", ends="reset", variant="retry"),
        blame=("upstream_reset", _CURRENCY),
    ),
    sends("slow_upstream", Step("payments", takes_ms=450, variant="short"), share=0.5, blame=_SLOW, apart=True),
    sends(
        "slow_upstream_per_try",
        Step("payments", takes_ms=450, variant="short-retry"),
        share=0.5,
        blame=_SLOW,
    ),
    sends(
        "slow_upstream_http2",
        Step("ledger", takes_ms=450, variant="short"),
        share=0.5,
        blame=("slow_upstream", "ledger.shop"),
    ),
    sends(
        "slow_upstream_grpc",
        Step("currency", takes_ms=450, variant="short"),
        share=0.5,
        blame=("slow_upstream", _CURRENCY),
    ),
    sends(
        "slow_upstream_deep",
        Step("orders", variant="short", then=(Step("payments", takes_ms=450),)),
        share=0.5,
        blame=_SLOW,
    ),
    sends(
        "slow_upstream_gateway",
        Step("orders", then=(Step("cart"), Step("payments", takes_ms=450))),
        path="/hurried",
        share=0.5,
        blame=_SLOW,
    ),
)
