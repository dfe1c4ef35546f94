from __future__ import annotations

from django.utils.translation import gettext as _
from rest_framework import serializers

from instances.api.serializers.resource import ResourceSerializer
from instances.models import Domain, Instance


class DomainSerializer(ResourceSerializer):
    cross_field = "default"

    self_link = serializers.HyperlinkedIdentityField(view_name="api:domain-detail")

    class Meta:
        model = Domain
        resource_name = "osdomains"
        fields = ["self_link", "domain", "default", "certificate", "certificate_key", "problem"]
        read_only_fields = ["problem"]

    def validate_domain(self, name: str) -> str:
        domain = self.instance
        if domain is not None and name != domain.domain and Instance.objects.present().filter(domain=domain).exists():
            raise serializers.ValidationError(
                _("Instances have their addresses below this domain. Add the new one beside it."), code="in_use"
            )
        return name
