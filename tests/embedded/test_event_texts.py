"""What is typed is shown as typed, or refused at its field; never executed, never a half-made instance."""

from __future__ import annotations

import pytest

from tests.embedded.openslides import OpenSlides
from tests.embedded.product import Product

KEYS = ("name", "description", "date", "location")
NASTY = [
    (
        "\"double\" and 'single' and `back`",
        "Jahresversammlung 🎉 für Ärzte — 2026",
        "{{ 7 * 7 }} {% include '/etc/passwd' %}",
        "$(touch /tmp/executed) ; rm -rf / & %(here)s %d",
    ),
    (
        "<script>alert(1)</script>",
        "\\n \\\\ %%",
        "$(touch /tmp/executed) ; rm -rf / & %(here)s %d",
        "{{ 7 * 7 }} {% include '/etc/passwd' %}",
    ),
]


def test_texts_are_shown_as_typed(product: Product) -> None:
    made = [
        product.create(f"nasty-{number}", **{f"event_{key}": text for key, text in zip(KEYS, texts, strict=True)})
        for number, texts in enumerate(NASTY)
    ]
    for instance, texts in zip(made, NASTY, strict=True):
        client = OpenSlides(product.settled(instance["id"], "active")["url"])
        assert client.login("admin", instance["superadmin_password"]) == 200
        assert tuple(client.config(f"general_event_{key}") for key in KEYS) == texts
        assert product.instance(instance["id"])["event_name"] == texts[0]
    for instance in made:
        product.call("DELETE", f"instances/{instance['id']}", expect=204)


@pytest.mark.parametrize("attribute", ["event_name", "event_description", "event_date", "event_location"])
@pytest.mark.parametrize("text", ["x" * 10_000, "two\nlines"])
def test_a_text_that_would_not_be_shown_is_refused_at_its_attribute(
    product: Product, attribute: str, text: str
) -> None:
    document = {
        "data": {
            "type": "instances",
            "attributes": {"slug": "refused", "parent_domain": "localhost", attribute: text},
        }
    }
    answer = product.call("POST", "instances", document)
    assert [error["source"]["pointer"] for error in answer["errors"]] == [f"/data/attributes/{attribute}"]
    assert product.call("GET", "instances?filter[slug]=refused")["data"] == []
