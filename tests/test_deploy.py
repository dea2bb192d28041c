"""What `deploy/` shows works as it stands: every file is valid, and every command in it is one that meshlog takes."""

import re
import shlex
import shutil
import subprocess
import tomllib

import click
import kubernetes_validate
import pytest
import yaml

from pipeline.cli import cli
from pipeline.query.thresholds import limits
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
THRESHOLDS = DEPLOY / "thresholds.toml"
MANIFESTS = {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes" / "cronjob.yaml").read_text())}
POD = MANIFESTS["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
STEPS = [*POD["initContainers"], *POD["containers"]]

IN_SHELL = re.compile(r"(?:\s|/bin/|\()meshlog ((?:" + "|".join(cli.commands) + r")\b.*?)(?= 2>&1|$)", re.MULTILINE)
"""A command line of a crontab or a unit, up to where its output goes."""


def commands() -> list[tuple[str, list[str]]]:
    """Find every command line below `deploy/`, as the file that has it and its arguments."""
    found = [("cronjob.yaml", step["args"]) for step in STEPS]
    for path in (DEPLOY / "cron" / "meshlog", DEPLOY / "systemd" / "meshlog.service"):
        found += [(path.name, shlex.split(arguments)) for arguments in IN_SHELL.findall(path.read_text())]
    return found


@pytest.mark.parametrize(("name", "arguments"), commands(), ids=lambda each: each if isinstance(each, str) else each[0])
def test_meshlog_takes_every_command(name, arguments):
    """Verb, flags and values parse as the command line parses them."""
    verb, *rest = arguments
    with cli.commands[verb].make_context(verb, rest) as context:
        assert isinstance(context, click.Context), name


def test_every_way_runs_every_step():
    """Cron, systemd and Kubernetes each read, report and check."""
    verbs: dict[str, set[str]] = {}
    for name, arguments in commands():
        verbs.setdefault(name, set()).add(arguments[0])

    assert all(verbs[name] == {"ingest", "report", "check"} for name in ("meshlog", "meshlog.service", "cronjob.yaml"))


def test_the_thresholds_are_thresholds():
    """The file that every way names is one that `meshlog check` takes, for the mesh and for a service."""
    services = {row["service"] for row in limits({}, THRESHOLDS)}

    assert services == {None, "payments.shop"}


# ---------- Kubernetes


@pytest.mark.parametrize("kind", MANIFESTS)
@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_a_manifest_fits_the_schema(kind, version):
    """Kubernetes' own schemas, from when CronJobs got a time zone to now, know every field."""
    kubernetes_validate.validate(MANIFESTS[kind], version, strict=True)


def test_the_config_map_holds_the_thresholds():
    """The copy in the manifest says what the file says."""
    held = MANIFESTS["ConfigMap"]["data"]["thresholds.toml"]

    assert held == THRESHOLDS.read_text()
    assert tomllib.loads(held)


def test_no_container_may_more_than_it_needs():
    """No root, nothing writable but the volume and /tmp, no right, no token, bounded memory."""
    assert POD["securityContext"]["runAsNonRoot"]
    assert POD["automountServiceAccountToken"] is False
    for step in STEPS:
        may = step["securityContext"]
        assert may["readOnlyRootFilesystem"]
        assert may["allowPrivilegeEscalation"] is False
        assert may["capabilities"] == {"drop": ["ALL"]}
        assert step["resources"]["limits"]["memory"]
        assert {mount["mountPath"] for mount in step["volumeMounts"] if not mount.get("readOnly")} == {"/data", "/tmp"}


def test_jobs_do_not_overlap_and_read_a_volume_that_is_there():
    """One job at a time; every mount has its volume, and every volume its object; logs are mounted for reading."""
    volumes = {volume["name"]: volume for volume in POD["volumes"]}

    assert MANIFESTS["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"
    assert {mount["name"] for step in STEPS for mount in step["volumeMounts"]} == set(volumes)
    assert (
        volumes["data"]["persistentVolumeClaim"]["claimName"] == MANIFESTS["PersistentVolumeClaim"]["metadata"]["name"]
    )
    assert volumes["config"]["configMap"]["name"] == MANIFESTS["ConfigMap"]["metadata"]["name"]
    assert [mount["readOnly"] for mount in STEPS[0]["volumeMounts"] if mount["name"] == "logs"] == [True]


def test_the_image_is_pinned_and_runs_as_the_pod_does():
    """Exact tags, the user of the pod, and everything that the wheel takes along."""
    text = (DEPLOY / "kubernetes" / "Dockerfile").read_text()
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    context = POD["securityContext"]

    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert all(re.fullmatch(r".+:\d+\.\d+\.\d+", step["image"]) for step in STEPS)
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in text
    assert all(f"COPY {folder} {folder}" in text for folder in (*wheel["packages"], *wheel["force-include"]))
    assert all(
        (ROOT / name).exists() for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.M) for name in line.split()
    )


# ---------- cron and systemd

CRON_FIELD = r"(?:\*|\d+)(?:[-/,]\d+)*"


def test_the_crontab_is_one():
    """Comments, variables, and jobs of five fields, a user and a command; no per cent, which ends a line for cron."""
    lines = [line for line in (DEPLOY / "cron" / "meshlog").read_text().splitlines() if line and line[0] != "#"]
    jobs = [line for line in lines if not re.fullmatch(r"[A-Z_]+=\S+", line)]

    assert len(jobs) == 2
    assert all(re.fullmatch(rf"(?:{CRON_FIELD}\s+){{5}}meshlog\s+\S.*", job) for job in jobs)
    assert not [job for job in jobs if "%" in job]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed: apt-get install systemd")
def test_systemd_takes_the_units(tmp_path):
    """systemd itself finds nothing wrong with the service and its timer, and the time is one."""
    for path in (DEPLOY / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/local/bin/meshlog", "/bin/true"))
    when = re.search(r"^OnCalendar=(.+)$", (tmp_path / "meshlog.timer").read_text(), re.MULTILINE)[1]
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    calendar = subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, text=True, check=False)

    assert (verified.returncode, verified.stderr) == (0, "")
    assert calendar.returncode == 0


def test_what_the_readme_names_is_there():
    """Every link of deploy/README.md leads to a file, and every file is linked."""
    linked = set(re.findall(r"\]\(([^)]+)\)", (DEPLOY / "README.md").read_text()))
    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()}

    assert linked == files - {"README.md"}
