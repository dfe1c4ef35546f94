"""The page on which an update of many is begun: version, waves, failures, time, and what that comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from instances import operations, rollouts
from instances.admin.base import ModelAdmin
from instances.admin.instance.views import UpdateForm
from instances.choices import Preparation
from instances.errors import OperationRefused
from instances.models import Instance, Version

MOST_NAMES = 12
"""So many instances are named in each line of the plan."""


class BeginForm(UpdateForm):
    """``chosen``: the ids, in the order in which they have their turns. ``seen``: what the plan was shown for."""

    chosen = forms.CharField(widget=forms.HiddenInput)
    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    waves = forms.CharField(
        label=_("Waves"),
        initial=rollouts.DEFAULT_WAVES,
        max_length=100,
        help_text=_(
            "Instances per wave, in numbers or in percent of all; the last one is repeated. "
            "A wave begins when the one before has ended."
        ),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    failure_percent = forms.IntegerField(
        label=_("Failures allowed, in percent of a wave"),
        initial=rollouts.DEFAULT_FAILURE_PERCENT,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_("When more of a wave fail, nothing more is begun until somebody has looked at it."),
        widget=UnfoldAdminIntegerFieldWidget(attrs={"min": 0, "max": 100}),
    )

    field_order = ["version", "waves", "failure_percent", "not_before"]

    def __init__(self, *arguments: Any, offered: Sequence[Version], **options: Any) -> None:
        super().__init__(*arguments, **options)
        field = self.fields["version"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Version.objects.filter(pk__in=[version.pk for version in offered])
        field.choices = [(version.pk, field.label_from_instance(version)) for version in offered]
        field.initial = offered[0].pk if offered else None

    @property
    def key(self) -> str:
        """What the plan depends on, as it was typed."""
        return "/".join(str(self[name].value() or "").strip() for name in ("version", "waves"))


def chosen_instances(text: str) -> list[Instance]:
    """Those that are there, in the order of their ids; one query."""
    ids = [word for word in text.split(",") if word.isalnum() and len(word) <= 32]
    found = Instance.objects.select_related("host", "domain", "version").in_bulk(ids)
    return [found[identity] for identity in ids if identity in found]


def offered_versions(instances: list[Instance]) -> list[Version]:
    """Those that one of the instances at least can be updated to, the newest first; one query."""
    found = [version for version in Version.objects.filter(enabled=True) if _fits_any(version, instances)]
    prepared = Preparation.PREPARED
    return sorted(found, key=lambda version: (version.release, version.preparation == prepared), reverse=True)


def _fits_any(version: Version, instances: list[Instance]) -> bool:
    for instance in instances:
        if not instance.is_installed:
            continue
        try:
            operations.check_update(instance, version)
        except OperationRefused:
            continue
        return True
    return False


def planned(form: BeginForm, instances: list[Instance]) -> dict[str, Any]:
    """What the form comes to, for the template ``plan.html``; ``problem`` where it makes no sense."""
    version = form.fields["version"]
    try:
        plan = rollouts.plan(version.clean(form["version"].value()), instances, str(form["waves"].value() or ""))
    except (OperationRefused, ValidationError) as refused:
        text = " ".join(refused.messages) if isinstance(refused, ValidationError) else str(refused)
        return {"problem": text, "key": form.key}
    lines = [
        {
            "number": number,
            "size": len(members),
            "names": [str(instance) for instance in members[:MOST_NAMES]],
            "more": max(0, len(members) - MOST_NAMES),
        }
        for number, members in enumerate(plan.waves, 1)
    ]
    left_out = [{"name": str(instance), "reason": reason} for instance, reason in plan.left_out]
    return {"lines": lines, "left_out": left_out, "total": sum(line["size"] for line in lines), "key": form.key}


def begin_page(
    request: HttpRequest, site: admin.AdminSite, form: BeginForm, instances: list[Instance]
) -> TemplateResponse:
    """The whole page."""
    request.current_app = site.name
    number = len(instances)
    context = {
        **site.each_context(request),
        "title": gettext("Update in waves"),
        "heading": ngettext("Update %(n)s instance", "Update %(n)s instances in waves", number) % {"n": number},
        "form": form,
        "offered": bool(form.fields["version"].choices),  # type: ignore[attr-defined]
        "plan": planned(form, instances),
        "plan_url": reverse("admin:instances_rollout_plan"),
        "begin_url": reverse("admin:instances_rollout_begin"),
        "back": reverse("admin:instances_instance_changelist"),
    }
    return TemplateResponse(request, "admin/instances/rollout/begin.html", context)


class RolloutAction(ModelAdmin[Instance]):
    """For the list of instances."""

    def has_rollout_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(["instances.change_instance", "instances.add_rollout"])

    @admin.action(description=_("Update in waves"), permissions=["rollout"])
    def update_in_waves(self, request: HttpRequest, queryset: QuerySet[Instance]) -> HttpResponse:
        """Leads to the page that asks how."""
        instances = list(queryset)
        chosen = ",".join(instance.pk for instance in instances)
        form = BeginForm(initial={"chosen": chosen}, offered=offered_versions(instances))
        return begin_page(request, self.admin_site, form, instances)
