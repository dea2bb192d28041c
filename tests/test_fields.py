"""Which key fills which column."""

from pathlib import Path

import pytest

from pipeline.errors import InputError, UsageError
from pipeline.ingest import odd
from pipeline.ingest.fields import COLUMNS, DEFAULT, SPELLINGS, plain, read_mapping
from pipeline.lake.schema import ACCESS_LOGS

ENVOY_GATEWAY = (
    "start_time method x-envoy-origin-path protocol response_code response_flags response_code_details"
    " connection_termination_details upstream_transport_failure_reason bytes_received bytes_sent duration"
    " x-envoy-upstream-service-time x-forwarded-for user-agent x-request-id :authority upstream_host upstream_cluster"
    " upstream_local_address downstream_local_address downstream_remote_address requested_server_name route_name"
)
CONTOUR = (
    "@timestamp authority bytes_received bytes_sent downstream_local_address downstream_remote_address duration method"
    " path protocol request_id requested_server_name response_code response_flags upstream_cluster upstream_host"
    " upstream_local_address upstream_service_time user_agent x_forwarded_for"
)


@pytest.mark.parametrize("keys", [ENVOY_GATEWAY, CONTOUR])
def test_every_key_of_a_known_default_format_fills_a_column(keys: str) -> None:
    """No two of them fill the same."""
    columns = [DEFAULT.column(key) for key in keys.split()]

    assert None not in columns
    assert len(set(columns)) == len(columns)


def test_no_spelling_is_listed_under_two_columns() -> None:
    """The table has one answer for each key, and only columns that the lake has."""
    seen: dict[str, str] = {}
    for column, keys in SPELLINGS.items():
        for key in keys:
            assert seen.setdefault(plain(key), column) == column
    assert set(COLUMNS) < set(ACCESS_LOGS.names)


@pytest.mark.parametrize("key", ["response-code", "Response_Code", "responseCode", ":status", "status_code"])
def test_case_and_punctuation_do_not_matter(key: str) -> None:
    """Formats spell the same key in many ways."""
    assert DEFAULT.column(key) == "response_code"


def test_agent_logs_are_no_access_logs() -> None:
    """A time alone does not make an access log line."""
    assert not DEFAULT.is_access_log({"time": "", "level": "", "msg": ""})
    assert DEFAULT.is_access_log({"time": "", "status": ""})


def test_a_mapping_wins_over_the_table(tmp_path: Path) -> None:
    """The user's keys are taken exactly; all others stay as they are."""
    path = tmp_path / "mapping.toml"
    path.write_text('[fields]\nstatus = "response_flags"\n"weird key" = "path"\n')
    mapping = read_mapping(path)

    assert mapping.column("status") == "response_flags"
    assert mapping.column("Status") == "response_code"
    assert mapping.column("weird key") == "path"
    assert mapping.column("method") == "method"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fields = 3", r"must hold one table, \[fields\]"),
        ("[fields]\na = 1", "there is no column 1"),
        ('[fields]\na = "cluster_host"', "there is no column cluster_host"),
        ("[fields", "is not TOML"),
    ],
)
def test_a_wrong_mapping_is_a_usage_error(tmp_path: Path, text: str, message: str) -> None:
    """It says what is wrong and in which file."""
    path = tmp_path / "mapping.toml"
    path.write_text(text)

    with pytest.raises(UsageError, match=message) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value)


def test_a_missing_mapping_is_an_input_error(tmp_path: Path) -> None:
    """It is a file that cannot be read, like any other."""
    with pytest.raises(InputError, match="the mapping cannot be read"):
        read_mapping(tmp_path / "none.toml")


def test_of_two_keys_for_a_column_the_mapped_one_counts(tmp_path: Path) -> None:
    """Whatever their names and order: the user knows what the format means."""
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[fields]\nzz_code = "response_code"\n')
    text = b'{"response_code":200,"start_time":"2021-02-18T07:08:50Z","zz_code":503}'
    (row,) = odd.parse([text], [1], read_mapping(mapping)).rows.to_pylist()

    assert (row["response_code"], row["extra"]) == (503, '{"response_code":200}')
