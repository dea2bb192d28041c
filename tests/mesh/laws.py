"""What has to hold of any lake, whatever was recorded: each law is a query for the rows that break it."""

from __future__ import annotations

from pipeline.query.session import Session

LAWS = {
    "the parts of a hop add up to what its caller waited": """
        select hop_id from hops
        where attempt = attempts and body_ms is not null and (
            network_ms + proxy_ms + body_ms + app_ms + below_ms <> greatest(client_duration_ms, server_duration_ms)
            or least(network_ms, proxy_ms, body_ms, app_ms, below_ms) < 0
        )
    """,
    "a server's line is at most the clocks' rounding longer than its answered caller's": """
        select hop_id from hops
        where attempt = attempts and body_ms is not null and client_flags = [] and server_flags = []
            and server_duration_ms > client_duration_ms + 3
    """,
    "the parts' shares of a service's time add up": """
        select service from latency_breakdown
        where abs(network_share + proxy_share + body_share + app_share + below_share - 1) > 1e-9
    """,
    "the critical path adds up to its request's time": """
        select trace_id from traces
        inner join trace_spans using (trace_id)
        group by trace_id, traces.duration_ms
        having sum(critical_ms) <> traces.duration_ms or min(critical_ms) < 0
    """,
    "calls side by side count once, so no more is below a hop than its own time": """
        select hop_id from hops
        where below_ms < 0 or below_ms > coalesce(server_duration_ms, client_duration_ms)
    """,
    "every finding carries all that somebody on call needs": r"""
        select diagnosis_id, cause from diagnoses
        where
            coalesce(client_evidence, server_evidence) is null
            or (client_lines > 0) <> (client_evidence is not null)
            or (server_lines > 0) <> (server_evidence is not null)
            or edge_rate is null or not edge_rate between 0 and 1
            or first_seen_at is null or last_seen_at is null or first_seen_at > last_seen_at
            or coalesce(callers, client_pods) is null or coalesce(client_pods, server_pods) is null
            or resource is null or field is null or because is null or title is null
            or len(regexp_extract_all(advice, '\.(?: |$)')) <> 2
            or regexp_matches(next_command, '[<{]')
            or not regexp_matches(next_command, '^(kubectl|istioctl|meshlog) ')
    """,
    "a finding names three of its requests, or all that have an id": """
        select diagnosis_id, cause from diagnoses
        left join (
            select cause, candidates, culprit_service, service, cluster_subset,
                count(distinct request_id) as requests,
            from hops
            where cause is not null and culprit_hop_id = hop_id
            group by all
        ) as named using (cause)
        where named.culprit_service is not distinct from diagnoses.culprit_service
            and named.candidates is not distinct from diagnoses.candidates
            and named.service is not distinct from diagnoses.service
            and named.cluster_subset is not distinct from diagnoses.cluster_subset
            and coalesce(len(example_request_ids), 0) < least(3, named.requests)
    """,
}
"""Queries for offenders, by what they offend against."""


def offenders(session: Session) -> dict[str, int]:
    """Count, law by law, the rows that break it."""
    return {law: len(session.rows(sql)) for law, sql in LAWS.items()}
