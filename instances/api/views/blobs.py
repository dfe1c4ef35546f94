from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import FileResponse, Http404, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.reverse import reverse

from instances.api.errors import Invalid, TooLarge
from instances.api.pictures import PictureParser
from instances.api.renderers import AnyFormat
from instances.models import Blob
from instances.pictures import check_png


class UploadView(GenericAPIView[Blob]):
    """Takes a picture in the field ``file`` of a form (multipart/form-data), as the seed did."""

    queryset = Blob.objects.all()
    parser_classes = [PictureParser]
    content_negotiation_class = AnyFormat

    def post(self, request: Request) -> JsonResponse:
        file = request.FILES.get("file")
        if file is None:
            raise Invalid(_("Send the picture in the field file of a form (multipart/form-data)."), parameter="file")
        try:
            check_png(file)
        except ValidationError as error:
            if error.code == "too_large":
                raise TooLarge(str(error.message)) from None
            raise Invalid(str(error.message), parameter="file") from None
        blob = Blob(file=file)
        blob.save()
        location = reverse("api:blob-detail", kwargs={"pk": blob.pk}, request=request)
        return JsonResponse({"blobId": blob.pk}, status=status.HTTP_201_CREATED, headers={"Location": location})


class PictureView(GenericAPIView[Blob]):
    """The picture itself."""

    queryset = Blob.objects.all()
    content_negotiation_class = AnyFormat

    def get(self, request: Request, pk: str) -> FileResponse:
        blob = self.get_queryset().filter(pk=pk).first() if pk.isalnum() else None
        if blob is None:
            raise Http404
        try:
            return FileResponse(blob.file.open(), content_type="image/png", filename=f"{blob.pk}.png")
        except FileNotFoundError:
            raise Http404 from None
