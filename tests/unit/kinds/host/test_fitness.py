"""Whether a host is fit for a gateway, by what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kinds.host import _fitness
from reconciler.kinds.host.systemd_unit import KIND
from reconciler.manifest.loading import load
from reconciler.systems.host import Facts

CONSUL, ENVOY = "/usr/bin/consul", "/usr/bin/envoy"


@pytest.fixture
def found(tmp_path):
    """What is found of a host with these facts, for a gateway with this process: each as text, remarks in brackets."""

    def find(process="", **facts):
        path = tmp_path / "manifest.yaml"
        path.write_text(f"""
version: 1
name: test
mesh_credentials: {{policies: {{p: {{rules: {{service: {{g: write}}}}}}}}, tokens: {{g: {{policies: [p]}}}}}}
terminating_gateways: {{g: {{services: {{db: {{}}}}, process: {{token: g{process}}}}}}}
""")
        (unit,) = KIND.declare(load([path]))
        known: dict[str, Any] = {"has_systemd": True, "programs": {CONSUL: version_of_consul("1.22.3"), ENVOY: version_of_envoy("1.35.8")}, **facts}
        findings = _fitness.findings(unit.address, unit.entry, Facts(**known))
        return [f"({f.what})" if f.is_remark else f.what for f in findings]

    return find


def version_of_consul(number):
    return f"Consul v{number}\nRevision 0123abc\nProtocol 2 spoken by default\n"


def version_of_envoy(number):
    return f"\nenvoy  version: 84305a6cb64bd55aaf606bdd53de7cd6080427a1/{number}/Clean/RELEASE/BoringSSL\n"


def test_a_host_with_all_that_is_needed_is_fit(found):
    assert found() == []


@pytest.mark.parametrize(
    ("consul", "envoy", "fits"),
    [
        ("1.22.3", "1.33.0", True),
        ("1.22.0", "1.32.9", False),
        ("1.22.3", "1.36.0", False),
        ("1.22.3", "2.34.0", False),
        ("1.19.2", "1.29.7", True),
        ("1.19.2", "1.33.0", False),
        ("1.23.0", "1.99.0", True),  # no opinion
        ("2.22.0", "1.99.0", True),
    ],
)
def test_versions_must_fit_each_other_as_far_as_that_is_known(found, consul, envoy, fits):
    programs = {CONSUL: version_of_consul(consul), ENVOY: version_of_envoy(envoy)}
    assert (found(programs=programs) == []) is fits
    assert found(", envoy_version_check: false", programs=programs) == []


def test_a_program_that_tells_no_version_is_a_remark(found):
    assert found(programs={CONSUL: "", ENVOY: version_of_envoy("1.35.8")}) == ["(/usr/bin/consul on local does not tell its version)"]
    assert found(programs={CONSUL: version_of_consul("1.22.3"), ENVOY: "x"}) == ["(/usr/bin/envoy on local does not tell its version)"]


def test_envoy_is_looked_for_where_the_unit_looks_for_it(found):
    at_home = {CONSUL: version_of_consul("1.22.3"), "/opt/bin/envoy": version_of_envoy("1.35.8")}
    assert len(found(programs=at_home)) == 1
    assert found(", environment: {PATH: '/bin:/opt/bin'}", programs=at_home) == []
    assert found(", envoy_binary: /opt/bin/envoy", programs=at_home) == []


def test_what_is_missing_is_named_all_at_once(found):
    process = ", absent_packages: [a], present_packages: [b]"
    assert found(process, has_systemd=False, programs={}, packages={"a": "1"}, pending={_fitness.PENDING_SETUPS: ("x.sh", "y.sh")}) == [
        "local was not booted with systemd, which is to run it",
        "local has no program /usr/bin/consul",
        f"local has no program envoy in {_fitness._PATH}",
        "local has the package a 1, which absent_packages rules out",
        "local lacks the package b, which present_packages demands",
        "(local has set-ups that were not run yet (x.sh, y.sh))",
    ]
