"""The admin pages in a browser. The life of a real OpenSlides through these pages is another test."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from instances import claims
from instances.choices import OperationKind, Outcome, State, StepStatus
from instances.models import ActionLock, Instance, Operation, OperationStep
from tests.factories import make_domain, make_host, make_installed, make_instance, make_operation, make_version

pytestmark = pytest.mark.django_db(transaction=True)


def page_of(instance: Instance) -> str:
    return reverse("admin:instances_instance_change", args=(instance.pk,))


def make_creation() -> tuple[Instance, Operation, list[OperationStep]]:
    """One that is running, with three steps of which the first has begun."""
    instance = make_instance(observed_state=State.INSTALLING, port=23000, event_name="Annual assembly")
    operation = make_operation(
        instance=instance, kind=OperationKind.CREATE, status=Outcome.RUNNING, started_at=timezone.now()
    )
    names = ("make directories", "copy the template database", "wait until OpenSlides answers")
    steps = [
        OperationStep.objects.create(operation=operation, position=position, name=name)
        for position, name in enumerate(names, 1)
    ]
    change(steps[0], StepStatus.RUNNING)
    return instance, operation, steps


def change(step: OperationStep, status: StepStatus, output: str = "") -> None:
    step.status, step.output, step.started_at = status, output, timezone.now()
    step.save()


def test_a_wrong_password_is_said(page: Page) -> None:
    page.goto("/admin/login/")
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()


def test_an_instance_is_added_from_the_first_page(admin: Page) -> None:
    make_host(), make_domain(default=True), make_version(default=True)
    admin.goto("/admin/")
    admin.get_by_role("link", name="Add an instance").first.click()
    admin.get_by_label("Event name").clear()
    admin.get_by_label("Event name").press_sequentially("Annual assembly 2026")
    expect(admin.get_by_label("Slug")).to_have_value("annual-assembly-2026")
    admin.get_by_role("button", name="Create the instance").click()
    expect(admin.get_by_role("heading", name="Annual assembly 2026")).to_be_visible()
    expect(admin.get_by_role("heading", name="Create annual-assembly-2026.")).to_be_visible()
    assert Instance.objects.get().slug == "annual-assembly-2026"


def test_wrong_input_comes_back_with_its_message_and_all_that_was_typed(admin: Page) -> None:
    make_host(), make_domain(default=True), make_version(default=True)
    admin.goto(reverse("admin:instances_instance_add"))
    admin.get_by_label("Slug").fill("Not A Slug")
    admin.get_by_label("Superadmin password").fill("my-own-one")
    admin.get_by_role("button", name="Create the instance").click()
    row = admin.locator(".field-slug")
    expect(row).to_contain_text("Use 1 to 63 lower case letters")
    expect(admin.get_by_label("Slug")).to_have_value("Not A Slug")
    expect(admin.get_by_label("Superadmin password")).to_have_value("my-own-one")
    assert not Instance.objects.exists()


def test_steps_badge_buttons_and_link_move_without_a_reload(admin: Page) -> None:
    instance, operation, steps = make_creation()
    admin.goto(page_of(instance))
    admin.evaluate("window.notReloaded = true")
    progress = admin.get_by_role("progressbar")
    expect(progress).to_have_attribute("aria-valuenow", "0")

    change(steps[0], StepStatus.DONE, "made <b>two</b>\n")
    change(steps[1], StepStatus.RUNNING)
    expect(progress).to_have_attribute("aria-valuenow", "33")
    admin.get_by_text("Output").click()
    expect(admin.get_by_text("made <b>two</b>")).to_be_visible()

    change(steps[1], StepStatus.DONE)
    expect(progress).to_have_attribute("aria-valuenow", "66")
    # What somebody has unfolded stays unfolded.
    expect(admin.get_by_text("made <b>two</b>")).to_be_visible()

    change(steps[2], StepStatus.DONE)
    Instance.objects.update(installed_at=timezone.now(), observed_state=State.ACTIVE)
    claims.finish(operation, Outcome.SUCCEEDED)
    expect(progress).to_have_attribute("aria-valuenow", "100")
    expect(admin.locator(".mi-head .mi-badge")).to_have_text("active")
    expect(admin.get_by_role("link", name="http://127.0.0.1:23000/")).to_have_attribute("target", "_blank")
    expect(admin.get_by_role("button", name="Stop")).to_be_visible()
    assert admin.evaluate("window.notReloaded") is True


def test_a_failed_creation_opens_its_reason_and_lets_the_values_be_corrected(admin: Page) -> None:
    instance, operation, steps = make_creation()
    admin.goto(page_of(instance))
    expect(admin.get_by_label("Event name")).to_have_count(0)
    change(steps[0], StepStatus.FAILED, "No space left on device\n")
    Instance.objects.update(failure=OperationKind.CREATE, observed_state=State.INSTALLING_FAILED)
    claims.finish(operation, Outcome.FAILED, error="The disk is full.", failed_step=steps[0].name)
    expect(admin.get_by_text("The disk is full.")).to_be_visible()
    expect(admin.get_by_text("No space left on device")).to_be_visible()
    admin.get_by_label("Event name").fill("Corrected")
    admin.get_by_role("button", name="Save and try again").first.click()
    expect(admin.locator(".mi-head .mi-badge")).to_have_text("installing")
    assert Instance.objects.get().event_name == "Corrected"


def test_typed_text_is_not_taken_away_when_an_operation_ends(admin: Page) -> None:
    instance, operation, steps = make_creation()
    admin.goto(page_of(instance))
    admin.get_by_label("Event organizer").fill("The board")
    change(steps[0], StepStatus.FAILED)
    Instance.objects.update(failure=OperationKind.CREATE, observed_state=State.INSTALLING_FAILED)
    claims.finish(operation, Outcome.FAILED, error="The disk is full.", failed_step=steps[0].name)
    expect(admin.get_by_text("The disk is full.")).to_be_visible()
    expect(admin.get_by_label("Event organizer")).to_have_value("The board")


def test_credentials_are_hidden_until_asked_for(admin: Page) -> None:
    instance = make_installed(superadmin_password="shown-when-asked", admin_initial_password="<b>bold</b>")
    admin.goto(page_of(instance))
    assert "shown-when-asked" not in admin.content()
    admin.get_by_role("button", name="Show", exact=True).click()
    expect(admin.get_by_text("shown-when-asked")).to_be_visible()
    expect(admin.get_by_text("<b>bold</b>")).to_be_visible()
    admin.context.grant_permissions(["clipboard-read", "clipboard-write"])
    # What is said for a moment stays.
    admin.evaluate("window.setTimeout = () => 0")
    admin.get_by_role("button", name="Copy").nth(1).click()
    expect(admin.get_by_role("button", name="Copied")).to_be_visible()
    assert admin.evaluate("navigator.clipboard.readText()") == "shown-when-asked"
    admin.get_by_role("button", name="Hide").click()
    expect(admin.get_by_text("shown-when-asked")).to_have_count(0)


def test_badges_and_links_in_the_list_move_without_a_reload(admin: Page) -> None:
    instance = make_installed(observed_state=State.STARTING, port=23000)
    admin.goto(reverse("admin:instances_instance_changelist"))
    admin.evaluate("window.notReloaded = true")
    state, attention = admin.locator("tbody .mi-badge").first, admin.get_by_text("needs attention", exact=True)
    expect(state).to_have_text("starting")
    expect(attention).to_be_hidden()
    expect(admin.locator("[data-live-link]")).to_be_hidden()
    Instance.objects.update(observed_state=State.ACTIVE)
    expect(state).to_have_text("active")
    expect(admin.get_by_role("link", name="127.0.0.1:23000")).to_have_attribute("href", "http://127.0.0.1:23000/")
    Instance.objects.update(observed_state=State.ERROR, attention="5 tries were in vain.")
    expect(attention).to_be_visible()
    expect(attention).to_have_attribute("title", "5 tries were in vain.")
    Instance.objects.update(attention="")
    expect(attention).to_be_hidden()
    assert admin.evaluate("window.notReloaded") is True
    assert instance.slug in admin.content()


def test_what_was_tried_in_vain_is_tried_again_unless_it_is_locked(admin: Page) -> None:
    instance = make_installed(observed_state=State.ERROR, attention="5 tries were in vain.", retries=5)
    lock = ActionLock.objects.create(instance=instance, action=OperationKind.START, reason="The disk is replaced")
    admin.set_viewport_size({"width": 390, "height": 800})
    admin.goto(page_of(instance))
    again = admin.get_by_role("button", name="Try again")
    expect(again).to_be_disabled()
    expect(admin.locator(".mi-warning").get_by_text("The disk is replaced")).to_be_visible()
    assert admin.evaluate("document.documentElement.scrollWidth") <= 390
    lock.delete()
    expect(again).to_be_enabled()
    again.click()
    expect(admin.get_by_text("5 tries were in vain.")).to_have_count(0)
    assert Operation.objects.get().kind == OperationKind.START


def test_a_backup_is_asked_for_a_time_to_come(admin: Page) -> None:
    instance = make_installed()
    admin.goto(page_of(instance))
    admin.get_by_role("link", name="Later …").click()
    admin.get_by_label("What").select_option(label="Backup")
    admin.get_by_label("Not before").fill("2020-11-24T02:00")
    admin.get_by_role("button", name="Postpone").click()
    expect(admin.get_by_text("This time is over. Name a time to come.")).to_be_visible()
    expect(admin.get_by_label("What")).to_have_value("backup")
    expect(admin.get_by_label("Not before")).to_have_value("2020-11-24T02:00")
    admin.get_by_label("Not before").fill(f"{timezone.localtime() + timedelta(days=1):%Y-%m-%dT%H:%M}")
    admin.get_by_role("button", name="Postpone").click()
    expect(admin.locator(".mi-head").get_by_text("Postponed: it begins on")).to_be_visible()
    admin.get_by_role("link", name="Cancel …").click()
    admin.get_by_role("button", name="Yes, cancel it").click()
    expect(admin.get_by_text("It is cancelled.")).to_be_visible()
    assert Operation.objects.get().status == Outcome.CANCELLED


def test_a_hidden_page_asks_for_nothing(admin: Page) -> None:
    instance = make_installed(observed_state=State.STARTING)
    admin.goto(page_of(instance))
    admin.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    with admin.expect_response("**/live/"):
        # The one that was under way; after it the page is quiet.
        admin.evaluate("fetch(document.querySelector('[data-live-url]').dataset.liveUrl)")
    asked: list[str] = []
    admin.on("request", lambda request: asked.append(request.url))
    admin.wait_for_timeout(5_000)
    assert asked == []


def test_an_update_and_a_removal_are_asked_for_on_their_own_pages(admin: Page) -> None:
    old, new = make_version(name="3.2"), make_version(name="3.3")
    instance = make_installed(version=old)
    admin.goto(page_of(instance))
    admin.get_by_role("link", name="Update", exact=True).click()
    admin.get_by_label("New version").select_option(label="OpenSlides 3.3")
    admin.get_by_role("button", name="Update").click()
    expect(admin.get_by_role("heading", name=f"Update {instance} to OpenSlides 3.3")).to_be_visible()
    operation = instance.operations.get()
    assert operation.version == new
    Operation.objects.update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    admin.get_by_role("link", name="Remove").click()
    admin.get_by_role("button", name="Yes, remove").click()
    expect(admin.locator(".mi-head .mi-badge")).to_have_text("removing")


def test_script_in_an_event_name_is_not_run(admin: Page) -> None:
    name = "<img src=x onerror=alert(1)>\"'{{ 7 }}"
    instance = make_installed(event_name=name)
    admin.on("dialog", lambda dialog: pytest.fail(f"A script ran: {dialog.message}"))
    for address in (
        page_of(instance),
        reverse("admin:instances_instance_changelist"),
        f"{page_of(instance)[:-7]}delete/",
    ):
        admin.goto(address)
        expect(admin.get_by_text(name).first).to_be_visible()


@pytest.mark.parametrize("width", [420, 1400])
def test_no_page_is_wider_than_the_window(admin: Page, width: int) -> None:
    instance, operation, _steps = make_creation()
    Instance.objects.update(event_name="x" * 100, slug="a" * 63)
    admin.set_viewport_size({"width": width, "height": 900})
    for address in (
        "/admin/",
        page_of(instance),
        reverse("admin:instances_instance_add"),
        reverse("admin:instances_instance_changelist"),
        reverse("admin:instances_operation_changelist"),
        reverse("admin:instances_operation_change", args=(operation.pk,)),
        reverse("admin:instances_version_change", args=(instance.version_id,)),
    ):
        admin.goto(address)
        assert admin.evaluate("document.documentElement.scrollWidth") <= width, address
