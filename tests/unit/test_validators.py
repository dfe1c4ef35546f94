"""What may be typed, and what is refused."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from instances.validators import validate_domain, validate_image, validate_single_line, validate_slug


@pytest.mark.parametrize("slug", ["a", "0", "annual-assembly-2026", "a" * 63, "a--b"])
def test_a_dns_label_is_a_slug(slug: str) -> None:
    validate_slug(slug)


@pytest.mark.parametrize(
    "slug", ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a" * 64, "a\n", "a b", "../x", "--", "a\x00", "٣"]
)
def test_anything_else_is_no_slug(slug: str) -> None:
    with pytest.raises(ValidationError):
        validate_slug(slug)


@pytest.mark.parametrize("domain", ["localhost", "example.org", "a.b-c.example.org"])
def test_a_domain_name_is_one(domain: str) -> None:
    validate_domain(domain)


@pytest.mark.parametrize("domain", ["", "https://example.org", "example.org/", "a..b", "-a.b", "a b", "x;y", "a\n"])
def test_anything_else_is_no_domain_name(domain: str) -> None:
    with pytest.raises(ValidationError):
        validate_domain(domain)


@pytest.mark.parametrize("text", ["Jahres\"haupt'versammlung", "{{ 7*7 }}", "$(id)", "🎉 Fest", "<b>x</b>", "%s %(a)s"])
def test_any_single_line_is_an_event_name(text: str) -> None:
    validate_single_line(text)


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\tb", "a\x00b", "a\x1bb", "a\u2028b", "\ud800"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        validate_single_line(text)


@pytest.mark.parametrize(
    "image", ["pypi:openslides==3.3", "docker://openslides/openslides:master", "localhost/os:3.3", "sha512-abc"]
)
def test_images_are_taken(image: str) -> None:
    validate_image(image)


@pytest.mark.parametrize(
    "image", ["", "pypi:openslides", "pypi:django==5", "--privileged", "-v", "a b", "pypi:openslides==3.3; rm", "a\n"]
)
def test_what_is_no_image_or_could_be_an_option_is_refused(image: str) -> None:
    with pytest.raises(ValidationError):
        validate_image(image)
