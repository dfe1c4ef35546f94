"""osdomains: what can be registered, changed and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from instances.models import Domain
from tests.api.client import Api, pointers, resource
from tests.factories import make_domain, make_installed


def test_a_domain_is_registered(api: Api) -> None:
    answer = api.post("/osdomains/", resource("osdomains", {"domain": "assembly.example.org"}))["data"]
    assert Domain.objects.get(pk=answer["id"]).domain == "assembly.example.org"
    assert answer["attributes"]["domain"] == "assembly.example.org"


@pytest.mark.parametrize(
    ("values", "attribute"),
    [
        ({}, "domain"),
        ({"domain": "https://example.org"}, "domain"),
        ({"domain": "Example.org"}, "domain"),
        ({"domain": "a..b"}, "domain"),
        ({"domain": "example.org\n"}, "domain"),
        ({"domain": "x" * 181}, "domain"),
        ({"domain": "a.org", "certificate": "cert.pem", "certificate_key": "/key.pem"}, "certificate"),
        ({"domain": "a.org", "certificate": "/cert.pem"}, "certificate_key"),
        ({"domain": "a.org", "certificate": 5}, "certificate"),
        ({"domain": "taken.example.org"}, "domain"),
        ({"domain": "a.org", "default": True}, "default"),
    ],
)
def test_a_wrong_value_is_refused_at_its_attribute(api: Api, values: Any, attribute: str) -> None:
    make_domain(domain="taken.example.org", default=True)
    answer = api.post("/osdomains", resource("osdomains", values), expect=422)
    assert set(pointers(answer)) == {f"/data/attributes/{attribute}"}
    assert Domain.objects.count() == 1


def test_a_domain_gets_its_certificate(api: Api) -> None:
    domain = make_domain()
    paths = {"certificate": "/etc/ssl/chain.pem", "certificate_key": "/etc/ssl/key.pem"}
    answer = api.patch(f"/osdomains/{domain.pk}", resource("osdomains", paths, id=str(domain.pk)))
    assert {name: answer["data"]["attributes"][name] for name in paths} == paths


def test_the_name_of_a_domain_in_use_stays(api: Api) -> None:
    domain = make_installed().domain
    sent = resource("osdomains", {"domain": "other.example.org"}, id=str(domain.pk))
    assert pointers(api.patch(f"/osdomains/{domain.pk}", sent, expect=422)) == ["/data/attributes/domain"]
    unused = make_domain()
    sent["data"]["id"] = str(unused.pk)
    api.patch(f"/osdomains/{unused.pk}", sent)


def test_a_domain_is_deleted(api: Api) -> None:
    domain = make_domain()
    api.delete(f"/osdomains/{domain.pk}")
    assert not Domain.objects.exists()


@pytest.mark.parametrize("removed", [True, False])
def test_a_domain_of_an_instance_stays_on_record(api: Api, removed: bool) -> None:
    domain = make_installed(removed_at=timezone.now() if removed else None).domain
    assert api.delete(f"/osdomains/{domain.pk}", expect=409)["errors"][0]["code"] == "conflict"
    assert Domain.objects.exists()


def test_domains_are_filtered_and_sorted(api: Api) -> None:
    for name in ("b.example.org", "a.example.org", "c.test"):
        make_domain(domain=name)
    found = [one["attributes"]["domain"] for one in api.get("/osdomains?filter[search]=example&sort=-domain")["data"]]
    assert found == ["b.example.org", "a.example.org"]
    assert len(api.get("/osdomains?filter[domain]=c.test")["data"]) == 1
