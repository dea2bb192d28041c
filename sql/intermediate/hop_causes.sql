-- one row per attempt of a call that went wrong: the first rule that fires on its two lines
-- key: hop_id
-- The order is the argument: first what the client's proxy decided before it chose a host, then what the server's proxy
-- says of its application, then what the client's proxy saw of the connection, and only then a code without a reason.
-- The words are those of causes.csv; the facts behind them are Envoy's response flags and response code details.
with

calls as (
    select
        *,
        coalesce(client_flags, []) as at_client,
        coalesce(server_flags, []) as at_server,
        coalesce(client_response_code_details, '') as client_details,
        coalesce(server_response_code_details, '') as server_details,
        coalesce(client_response_code_details, '') || ' ' || coalesce(server_response_code_details, '')
            || ' ' || coalesce(client_termination_details, '') || ' ' || coalesce(server_termination_details, '')
            as details,
        coalesce(client_response_code_details, '') || ' ' || coalesce(client_transport_failure_reason, '')
            as client_transport,
        client_source is not null as has_client,
        server_source is not null as has_server,
        coalesce(client_response_code, server_response_code) as code,
        coalesce(client_duration_ms, server_duration_ms) as duration_ms,
    from calls
),

-- how many failures in a row a client had seen at a cluster's hosts when it found none left
without_hosts as (
    select distinct client_pod, upstream_cluster from calls
    where list_contains(at_client, 'UH')
),

histories as (
    select
        *,
        count(*) filter (where not is_error and upstream_host is not null) over (
            partition by client_pod, upstream_cluster order by started_at, hop_id
        ) as answered,
    from calls
    semi join without_hosts using (client_pod, upstream_cluster)
),

failures_in_a_row as (
    select
        hop_id,
        count(*) filter (where is_error and upstream_host is not null) over (
            partition by client_pod, upstream_cluster, answered order by started_at, hop_id
        ) as failures_before,
    from histories
),

-- addresses whose sidecar logs: a server that is missing from there has none, or its line was lost
logging_addresses as (
    select distinct server_address, true as is_logging from calls
    where has_server
),

-- every rule needs a failure, a flag, or a code or detail of its own
suspects as (
    select *, from calls
    where
        is_error or code >= 400 or code = 0 or len(at_client) > 0 or len(at_server) > 0
        or client_termination_details is not null or server_termination_details is not null
        or contains(details, 'max_duration_timeout')
),

judged as (
    select
        suspects.*,
        coalesce(failures_before, 0) as failures_before,
        coalesce(is_logging, false) as is_server_logging,
    from suspects
    left join failures_in_a_row using (hop_id)
    left join logging_addresses using (server_address)
),

ruled as (
    select
        *,
        case
            ---------- decided before a host was chosen: routes, clusters, policies
            when contains(details, 'filter_chain_not_found') then 'tls_mismatch'
            when list_contains(at_client, 'NC') or client_details = 'cluster_not_found' then 'no_cluster'
            when list_contains(at_client, 'NR') or client_details = 'route_not_found' then 'no_route'
            when upstream_cluster = 'BlackHoleCluster' or route_name = 'block_all' then 'blocked_egress'
            when contains(details, 'rbac_access_denied') or contains(details, 'jwt_authn_access_denied')
                or contains(details, 'ext_authz_denied') or contains(details, 'csrf_origin_mismatch') then 'denied'
            when list_has_any(list_concat(at_client, at_server), ['UAEX']) then
                case when contains(details, 'ext_authz_error') or contains(details, 'ext_authz_invalid')
                    then 'authz_down' else 'denied' end
            when list_has_any(list_concat(at_client, at_server), ['RL', 'RLSE']) then 'rate_limited'
            when list_has_any(list_concat(at_client, at_server), ['FI']) then 'injected_fault'
            when client_details = 'direct_response' and code >= 400 then 'direct_response'
            when list_has_any(list_concat(at_client, at_server), ['UO', 'OM', 'DO', 'UDO'])
                or contains(details, 'overload') or contains(details, 'reached_concurrency_limit')
                or contains(details, 'denied_by_admission_control') then 'overload'
            -- Envoy ejects a host after consecutive failures; Istio's default is five
            when list_contains(at_client, 'UH') and failures_before >= 5 then 'outlier_ejection'
            when list_has_any(at_client, ['UH', 'DF']) then 'no_endpoints'

            ---------- what the server's proxy says of its application
            when list_contains(at_server, 'UF') then 'app_down'
            when list_contains(at_server, 'UC') then 'app_crash'
            when list_contains(at_server, 'UPE') or (
                list_contains(at_server, 'DPE') and list_has_any(at_client, ['UPE', 'UC'])
            ) then 'protocol_error'
            when list_has_any(at_server, ['UR', 'LR']) then 'upstream_reset'
            when list_has_any(at_server, ['UT', 'UMSDR']) then 'slow_upstream'

            ---------- what the client's proxy saw
            when list_has_any(at_client, ['UT', 'UMSDR']) or contains(details, 'max_duration_timeout') then
                case
                    when has_server or upstream_local_address is not null then 'slow_upstream'
                    when upstream_host is not null then 'connect_timeout'
                    else 'unknown'
                end
            when list_contains(at_client, 'UF') then
                case
                    when contains(client_transport, 'WRONG_VERSION_NUMBER') then 'tls_mismatch'
                    when contains(client_transport, 'TLS_error') then 'tls_identity'
                    when contains(client_transport, 'connection_timeout') then 'connect_timeout'
                    when regexp_matches(client_transport, 'refused|:_?111|route_to_host|:_?113|unreach|:_?101')
                        then 'connect_refused'
                    -- old formats give no reason: a refusal comes at once, and no timeout is shorter than a second
                    when duration_ms < 1000 then 'connect_refused'
                    else 'connect_timeout'
                end
            when list_contains(at_client, 'UPE') then 'protocol_error'
            when list_contains(at_client, 'UC') then
                case when has_server then 'upstream_reset' when is_server_logging then 'proxy_gone'
                    else 'upstream_reset' end
            when list_has_any(at_client, ['UR', 'LR']) then 'upstream_reset'
            when list_has_any(list_concat(at_client, at_server), ['DC', 'DR']) then
                -- a server's DC alone is the client's proxy hanging up; where that answered, nothing was lost
                case when has_client and not list_has_any(at_client, ['DC', 'DR']) and code between 200 and 399
                    then null else 'client_gone' end
            when list_has_any(list_concat(at_client, at_server), ['DPE', 'IH'])
                or code = 426 or contains(details, 'missing_host_header') or contains(details, 'path_normalization')
                or contains(details, 'request_overall_timeout') or contains(details, 'header_timeout')
                or contains(details, 'payload_too_large') then 'bad_request'

            ---------- an answer without a flag
            when is_error and code < 400 and kind = 'grpc' then 'app_error'
            when is_error and has_server then 'app_5xx'
            when is_error and code >= 500 and upstream_local_address is not null and not is_server_logging
                then 'app_5xx'
            when is_error then 'unknown'
            when list_has_any(list_concat(at_client, at_server), ['DI']) then 'injected_fault'
        end as cause,
    from judged
),

-- a failed attempt of a call that was answered in the end
settled as (
    select
        hop_id,
        case when not is_last_attempt and not is_call_error then 'retried' else cause end as cause,
        cause as attempt_cause,
    from ruled
    where cause is not null
)

select * from settled
