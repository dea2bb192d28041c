-- one row per attempt of a call that went wrong: the first rule that fires on its two lines, and what it means
-- key: hop_id
-- The order is the argument: what a proxy decided before it chose a host, then what the server's proxy says of its
-- application, then what the client's proxy saw of the connection, who left, and only then an answer without a flag.
-- To add a rule: a `when` here, its row in seeds/rules.csv (cause, candidates, what it says), and two cases in tests/cases,
-- one that fires and a near miss. Where the two lines fit several causes the rule's cause is unknown, and it names them.
with

-- every rule needs a failure, a flag, or a code or detail of its own
suspects as (
    select
        *,
        coalesce(string_split(client_response_flags, ','), []) as at_client,
        coalesce(string_split(server_response_flags, ','), []) as at_server,
        list_concat(at_client, at_server) as flags,
        coalesce(client_response_code_details, '') as client_details,
        coalesce(server_response_code_details, '') as server_details,
        concat_ws(
            ' ', client_response_code_details, server_response_code_details,
            client_termination_details, server_termination_details
        ) as details,
        concat_ws(' ', client_response_code_details, client_transport_failure_reason) as transport,
        client_source is not null as has_client,
        server_source is not null as has_server,
        coalesce(client_response_code, server_response_code) as code,
        coalesce(client_duration_ms, server_duration_ms) as duration_ms,
        case when server_source is not null then server_sni else client_sni end as server_name,
        upstream_cluster like 'outbound|%' and not contains(upstream_cluster, '.svc.') as is_external,
        -- only an upstream's answer has a service time; older formats have no details to say so
        coalesce(client_response_code_details = 'via_upstream', client_upstream_service_time_ms is not null)
            as is_client_answered,
        coalesce(server_response_code_details = 'via_upstream', server_upstream_service_time_ms is not null)
            as is_server_answered,
    from calls
    where
        is_error
        or coalesce(client_response_code, server_response_code) >= 400
        or coalesce(client_response_code, server_response_code) = 0
        or client_response_flags is not null
        or server_response_flags is not null
        or client_termination_details is not null
        or server_termination_details is not null
),

---------- what other calls tell

-- how many failures in a row a client had seen at a cluster's hosts, in five minutes, when it found none left
without_hosts as (
    select distinct client_pod, upstream_cluster from suspects
    where list_contains(at_client, 'UH')
),

histories as (
    select
        *,
        count(*) filter (where not is_error and upstream_host is not null) over (
            partition by client_pod, upstream_cluster order by started_at, hop_number
        ) as answered,
    from calls
    semi join without_hosts using (client_pod, upstream_cluster)
),

failures_in_a_row as (
    select
        hop_number,
        count(*) filter (where is_error and upstream_host is not null) over (
            partition by client_pod, upstream_cluster, answered order by started_at
            range between interval 5 minutes preceding and current row
        ) as failures_before,
    from histories
),

-- addresses whose sidecar logs: a server that is missing from there has none, or its line was lost
logging_addresses as (
    select distinct server_address, true as is_logging from calls
    where server_source is not null and server_address in (select server_address from suspects)
),

-- a host whose connection closed, and which refused the next one before its sidecar logged again: that sidecar was gone
closings as (
    select hop_number, server_address, upstream_host, started_at, client_ended_at from suspects
    where list_contains(at_client, 'UC') and not has_server and server_address is not null
),

refusals as (
    select upstream_host, started_at as refused_at from suspects
    where list_contains(at_client, 'UF') and upstream_host in (select upstream_host from closings)
),

served as (
    select server_address, server_started_at as served_at from calls
    where server_source is not null and server_address in (select server_address from closings)
),

silent_servers as (
    select
        closings.hop_number,
        true as is_server_silent,
    from closings
    asof join refusals
        on closings.upstream_host = refusals.upstream_host and closings.client_ended_at <= refusals.refused_at
    asof left join served
        on closings.server_address = served.server_address and closings.client_ended_at <= served.served_at
    where
        refusals.refused_at <= closings.client_ended_at + interval 1 minute
        and (served.served_at is null or served.served_at > refusals.refused_at)
),

-- failed calls that belong to no request: one that their pod was serving, under another id, may have failed for them
lost_failures as (
    select
        suspects.client_address,
        suspects.client_started_at as began_at,
        suspects.service as lost_service,
    from suspects
    inner join nesting using (hop_number)
    where
        suspects.is_call_error
        and suspects.client_started_at is not null
        and suspects.client_reporter <> 'gateway'
        and suspects.kind <> 'tcp'
        and nesting.parent_number is null
),

failed_meanwhile as (
    select
        suspects.hop_number,
        true as is_failed_meanwhile,
        lost_failures.lost_service,
    from suspects
    asof join lost_failures
        on suspects.server_address = lost_failures.client_address
        and suspects.server_ended_at >= lost_failures.began_at
    where suspects.is_error and lost_failures.began_at >= suspects.server_started_at
),

-- hosts at which the client's timeout strikes far more often than at their siblings: four times as often at least, and three
-- standard errors more (two proportions, with Yates' correction), each side with ten calls or more. How many calls there are
-- in all does not count: most of a day may be well, and a timeout that strikes one host's calls alone is that host's
timeouts_of_hosts as (
    select
        service,
        cluster_subset,
        server_address,
        count(*) as calls,
        count(*) filter (where list_contains(string_split(client_response_flags, ','), 'UT')) as timeouts,
    from calls
    where
        client_started_at is not null and server_address is not null
        and service in (select service from suspects where list_contains(at_client, 'UT'))
    group by service, cluster_subset, server_address
),

against_siblings as (
    select
        *,
        sum(calls) over siblings - calls as sibling_calls,
        sum(timeouts) over siblings - timeouts as sibling_timeouts,
        sum(timeouts) over siblings / sum(calls) over siblings as overall_rate,
    from timeouts_of_hosts
    window siblings as (partition by service, cluster_subset)
),

slow_hosts as (
    select
        service,
        cluster_subset,
        server_address,
        true as is_slow_host,
    from against_siblings
    where
        calls >= 10
        and sibling_calls >= 10
        and timeouts / calls >= 4 * sibling_timeouts / sibling_calls
        and timeouts / calls - sibling_timeouts / sibling_calls - 0.5 * (1 / calls + 1 / sibling_calls)
            >= 3 * sqrt(overall_rate * (1 - overall_rate) * (1 / calls + 1 / sibling_calls))
),

informed as (
    select
        suspects.*,
        coalesce(failures_before, 0) as failures_before,
        coalesce(is_logging, false) as is_server_logging,
        coalesce(is_server_silent, false) as is_server_silent,
        coalesce(is_slow_host, false) as is_slow_host,
        coalesce(is_failed_meanwhile, false) as is_failed_meanwhile,
        lost_service,
    from suspects
    left join failures_in_a_row using (hop_number)
    left join logging_addresses using (server_address)
    left join silent_servers using (hop_number)
    left join failed_meanwhile using (hop_number)
    left join slow_hosts
        on suspects.service = slow_hosts.service
        and suspects.cluster_subset is not distinct from slow_hosts.cluster_subset
        and suspects.server_address = slow_hosts.server_address
),

---------- the rules

ruled as (
    select
        *,
        case
            ---------- the connection never became a request
            when contains(details, 'filter_chain_not_found')
                or (list_contains(at_server, 'NR') and server_response_code = 0)
                or (list_contains(at_client, 'NR') and client_response_code = 0 and client_details = '')
                then case
                    when server_name is null then 'plaintext_at_tls_port'
                    when client_reporter = 'gateway' and not has_server then 'server_name_unknown_at_gateway'
                    else 'tls_connection_refused'
                end

            ---------- decided before a host was chosen: routes, clusters, policies, filters
            when list_contains(flags, 'NC') or contains(details, 'cluster_not_found')
                or (list_contains(at_client, 'NR') and client_details = '' and code = 503) then 'cluster_missing'
            when list_contains(flags, 'NR') or contains(details, 'route_not_found') then 'route_missing'
            when route_name = 'block_all' then 'egress_blocked_http'
            when upstream_cluster = 'BlackHoleCluster' and client_reporter = 'gateway' then 'gateway_without_route'
            when upstream_cluster = 'BlackHoleCluster'
                or (kind = 'tcp' and list_contains(at_client, 'UH') and upstream_cluster is null)
                then 'egress_blocked_tcp'

            when contains(details, 'default-deny-all-due-to-bad-CUSTOM-action') then 'custom_action_broken'
            when contains(details, 'rbac_access_denied_matched_policy[none]') then 'no_allow_rule_matched'
            when contains(details, 'rbac_access_denied') then 'deny_policy_matched'
            when contains(details, 'jwt_authn_access_denied') then
                case when contains(details, 'Jwks_remote_fetch') then 'jwks_unavailable' else 'token_refused' end
            when contains(details, 'ext_authz_denied') or contains(details, 'csrf_origin_mismatch')
                then 'authorizer_refused'
            when contains(details, 'ext_authz_error') or contains(details, 'ext_authz_invalid') then 'authorizer_failed'
            when list_contains(flags, 'UAEX') then
                case when policy_status = 'UNAVAILABLE' then 'policy_backend_unavailable' else 'authorization_unclear' end

            when list_contains(flags, 'RLSE') or contains(details, 'rate_limiter_error') then 'rate_limit_service_failed'
            when list_contains(flags, 'RL') or contains(details, 'request_rate_limited')
                or contains(details, 'local_rate_limited') then 'rate_limit_reached'
            when list_contains(flags, 'FI') or contains(details, 'fault_filter_abort') then 'fault_aborted'
            when contains(details, 'direct_response') and code >= 400 then 'route_answered'

            when list_contains(flags, 'UO') then
                case
                    when contains(details, 'overflow') or contains(details, 'maintenance_mode') then 'breaker_open'
                    when coalesce(client_response_code_details, server_response_code_details) is null then 'breaker_open'
                    else 'retry_refused'
                end
            when list_has_any(flags, ['DO', 'UDO']) or contains(details, 'drop_overload') then 'load_dropped'
            when list_contains(flags, 'OM') or client_details = 'overload' or server_details = 'overload'
                or contains(details, 'overload_error') or contains(details, 'overload_manager') then 'proxy_overloaded'
            when contains(details, 'reached_concurrency_limit') or contains(details, 'denied_by_admission_control')
                or contains(details, 'maintenance_mode') or contains(details, '_overflow') then 'limiter_refused'

            when list_contains(flags, 'NFCF') then 'filter_config_missing'
            when contains(details, 'filter_removed_required') or contains(details, 'filter_added_invalid')
                or contains(details, 'lua_response') or contains(details, 'wasm_') or contains(details, 'ext_proc_error')
                or contains(details, 'grpc_json_transcode_failure') or contains(details, 'detection_failed')
                or contains(details, 'response_payload_too_large') or contains(details, 'exceeded_retry_buffer_limit')
                then 'filter_answered'
            when list_contains(flags, 'LH') then 'health_check_failed'

            when list_contains(at_client, 'UH') then
                case
                    -- Istio's default for consecutive5xxErrors is five
                    when failures_before >= 5 then 'hosts_ejected'
                    when failures_before > 0 then 'hosts_gone_or_ejected'
                    when cluster_subset is not null then 'subset_without_hosts'
                    else 'service_without_hosts'
                end
            when list_contains(flags, 'DF') or contains(details, 'dns_resolution_failure') then 'name_not_resolved'

            ---------- an upgraded connection that one side closed: its usual end
            when code = 101 then null

            ---------- what the server's proxy says of its application
            when list_contains(at_server, 'UF') then 'server_could_not_connect'
            when list_contains(at_server, 'UC') then
                case
                    when contains(server_details, 'after_response_started') then 'application_closed_midway'
                    when server_duration_ms >= 15000 and server_duration_ms % 5000 <= 50
                        then 'application_closed_at_a_limit'
                    else 'application_closed'
                end
            -- gRPC gets 200 for every failure: only the details tell whether the answer had begun
            when list_contains(flags, 'UPE') and (
                contains(details, 'after_response_started') or (code < 400 and (kind <> 'grpc' or details = ''))
            ) then 'answer_cut_short'
            when list_contains(at_server, 'UPE') then 'application_spoke_wrongly'
            when list_contains(at_server, 'DPE') and has_client
                and (list_has_any(at_client, ['UPE', 'UC']) or client_protocol is null) then 'proxies_disagree'
            when list_contains(flags, 'LR') then
                case when contains(details, 'premature_upstream_half_close') then 'application_half_closed'
                    else 'reset_locally' end
            when list_contains(at_server, 'UR') then 'application_reset'
            when list_contains(at_server, 'UT') then 'server_side_timeout'

            ---------- limits on how long a stream or a connection may last
            when list_contains(flags, 'SI') or contains(details, 'stream_idle_timeout') then 'stream_idle'
            when list_contains(flags, 'DT') or contains(details, 'max_connection_duration_reached')
                or contains(details, 'on_idle_timeout') or contains(details, 'session_idle_timeout')
                then 'connection_age_limit'
            when list_contains(flags, 'UMSDR') or contains(details, 'max_duration_timeout')
                then case when code < 400 then 'stream_cut_at_limit' else 'not_answered_before_limit' end

            ---------- what the client's proxy saw
            when list_contains(at_client, 'UT') then
                case
                    when upstream_host is null then 'queued_past_timeout'
                    when is_slow_host then 'timeouts_at_one_host'
                    when has_server then 'served_past_timeout'
                    when has_upstream_socket and is_server_logging then 'timeout_not_seen_by_server'
                    when has_upstream_socket then 'timeout_after_connect'
                    -- formats with details log the local address of every connection
                    when client_details <> '' then 'timeout_before_connect'
                    else 'timeout_unclear'
                end
            when list_contains(at_client, 'UF') then
                case
                    when contains(transport, 'WRONG_VERSION_NUMBER') then 'peer_speaks_plain_text'
                    when contains(transport, 'not_supplied_by_SDS') then 'certificate_secret_missing'
                    when contains(transport, 'CERT') or contains(transport, 'UNKNOWN_CA') then 'certificate_refused'
                    when contains(transport, 'TLS_error') and (contains(transport, 'roken_pipe') or contains(transport, 'reset_by_peer'))
                        then 'handshake_cut_off'
                    when contains(transport, 'TLS_error') then 'handshake_failed'
                    when contains(transport, 'connection_timeout') or contains(transport, 'timed_out')
                        or suffix(trim(transport, '}'), '110') then 'connect_timed_out'
                    when contains(transport, 'efused') or contains(transport, 'error:_111') or contains(transport, 'error:111')
                        then 'nobody_listens'
                    when contains(transport, 'route_to_host') or contains(transport, 'unreachable')
                        or contains(transport, 'error:_113') or contains(transport, 'error:_101') then 'host_unreachable'
                    when duration_ms >= 1000 and duration_ms % 1000 <= 200 then 'connect_timed_out_by_the_clock'
                    when duration_ms >= 1000 then 'connect_failed_slowly'
                    when kind = 'tcp' and transport = '' then 'raw_connection_cut_off'
                    else 'connect_failed'
                end
            when list_contains(at_client, 'UPE') then 'upstream_spoke_wrongly'
            when list_contains(at_client, 'UC') then
                case
                    when upstream_host like 'envoy://%' then 'tunnel_closed'
                    when has_server then 'closed_between_proxies'
                    when is_server_logging and is_server_silent then 'server_fell_silent'
                    when is_external then 'external_server_closed'
                    when is_server_logging then 'closed_unseen_by_server'
                    when contains(client_details, 'after_response_started') then 'answer_broke_off'
                    else 'closed_upstream'
                end
            when list_contains(at_client, 'UR') then
                case
                    when contains(client_details, 'refused_stream') then 'stream_refused'
                    when is_external then 'external_server_closed'
                    when has_server then 'closed_between_proxies'
                    else 'stream_reset'
                end
            when kind = 'tcp' and list_contains(flags, 'URX') then 'tcp_tries_used_up'

            ---------- who left; where the answer had been sent nothing was lost: streams and watches end so
            when list_has_any(flags, ['DC', 'DR']) then
                case
                    -- who tries again has not left: it gave up this attempt, for its answer or for its timeout
                    when not is_last_attempt and server_upstream_service_time_ms is not null and is_error
                        then 'application_answered_5xx'
                    when not is_last_attempt and code = 0 then 'served_past_timeout'
                    -- both lines cut: the answer was not complete; streams and watches are ended so, and gRPC's are left out
                    when code between 200 and 399 and kind = 'http' and list_has_any(at_client, ['DC', 'DR'])
                        and list_has_any(at_server, ['DC', 'DR']) then 'caller_hung_up'
                    when code between 100 and 399 then null
                    when contains(client_details, 'downstream_local_disconnect') then 'proxy_closed_downstream'
                    when has_client then 'caller_hung_up'
                    else 'caller_unseen_hung_up'
                end
            when contains(details, 'transport socket timeout') then 'tls_handshake_unfinished'
            when list_contains(flags, 'DPE') and coalesce(client_protocol, server_protocol) is null
                and client_reporter <> 'gateway' and (details = '' or contains(details, 'codec_error'))
                then 'bytes_not_understood'
            when list_has_any(flags, ['DPE', 'IH']) or contains(details, 'low_version')
                or contains(details, 'missing_host_header') or contains(details, 'path_rejected')
                or contains(details, 'invalid_path') or contains(details, 'path_normalization_failed')
                or contains(details, 'empty_host_header') or contains(details, 'upgrade_failed')
                or contains(details, 'early_connect_data') or contains(details, 'request_overall_timeout')
                or contains(details, 'header_timeout') or contains(details, 'request_payload_too_large')
                or contains(details, 'premature_resets') or contains(details, 'websocket_handshake_unsuccessful')
                then 'request_refused'

            ---------- an answer without a flag
            when is_error and code between 200 and 399 then
                case when has_server and is_server_answered then 'application_failed_grpc'
                    else 'upstream_failed_grpc' end
            when is_error and code >= 500 and has_server and is_server_answered then
                case when is_failed_meanwhile then 'application_answered_5xx_meanwhile' else 'application_answered_5xx' end
            when is_error and code >= 500 and not has_server and is_client_answered then
                case when is_external then 'external_answered_5xx' else 'upstream_answered_5xx' end
            when is_error then 'no_sign'
            when list_contains(flags, 'DI') then 'delay_injected'
        end as rule,
    from informed
),

-- a failed attempt of a call that was answered in the end was retried with success, whatever became of the attempt
settled as (
    select
        format('{:016x}', hop_number) as hop_id,
        hop_number,
        case when not is_last_attempt and not is_call_error then 'retried' else rules.cause end as cause,
        rules.cause as attempt_cause,
        rule,
        string_split(rules.candidates, ',') as candidates,
        rules.culprit,
        -- what the two lines do not say themselves
        nullif(concat_ws(
            '; ',
            case when rule in ('hosts_ejected', 'hosts_gone_or_ejected')
                then failures_before || ' failures in a row in the five minutes before, at hosts of the same cluster' end,
            case when rule = 'server_fell_silent'
                then 'the same host refused the next connection, before its proxy logged again' end,
            case when rule = 'application_answered_5xx_meanwhile'
                then 'its call to ' || coalesce(lost_service, 'an unknown host') || ', under another request id, failed meanwhile'
                end,
            case when rule = 'timeouts_at_one_host' then 'other hosts of the service time out far less often' end,
            case when not has_server and has_client and server_address is not null and is_server_logging
                then 'the server''s proxy logged other calls' end,
            case when not has_server and has_client and server_address is not null and not is_server_logging
                then 'the server''s proxy logged no call at all' end,
            -- the lengths of Envoy's own texts, without and with the words that it adds after a retry
            case when rule = 'upstream_answered_5xx' then case
                when client_bytes_sent in (95, 118) then 'the body is as long as Envoy''s own for a closed connection'
                when client_bytes_sent in (91, 97, 98, 114, 120, 121, 145, 152, 167, 168, 175, 190)
                    then 'the body is as long as Envoy''s own for a failed connection'
                when client_bytes_sent in (81, 104) then 'the body is as long as Envoy''s own for an open circuit breaker'
                when client_bytes_sent = 24 then 'the body is as long as Envoy''s own for a timeout'
            end end
        ), '') as evidence,
    from ruled
    inner join rules using (rule)
)

select * from settled
