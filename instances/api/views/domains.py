from __future__ import annotations

from django.db.models import ProtectedError
from django.utils.translation import gettext as _

from instances import domains
from instances.api.errors import Conflict
from instances.api.filters import DomainFilters
from instances.api.serializers.domain import DomainSerializer
from instances.api.views.base import WriteView
from instances.models import Domain


class DomainView(WriteView):
    """The domains that instances hang under."""

    resource_name = "osdomains"
    queryset = Domain.objects.all()
    serializer_class = DomainSerializer
    filterset_class = DomainFilters
    search_fields = ["domain"]
    sort_fields = {"domain": "domain"}

    def saved(self, row: Domain) -> None:
        domains.open_on_hosts(row)

    def delete_row(self, row: Domain) -> None:
        try:
            domains.delete(row)
        except ProtectedError:
            raise Conflict(_("Instances belong to this domain (removed ones count); it stays on record.")) from None
