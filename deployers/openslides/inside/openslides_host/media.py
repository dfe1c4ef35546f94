"""Lets nginx send uploaded files, after OpenSlides has decided who may see them."""

import os
from urllib.parse import quote

from django.conf import settings
from django.http import HttpResponse

INTERNAL = "/internal-media/"
KEPT = ("Content-Type", "Content-Disposition", "Last-Modified")


class Accelerated:
    """A middleware: an answer that is an open file below MEDIA_ROOT becomes X-Accel-Redirect.

    Source: nginx.org, "X-Accel"; django.http.FileResponse keeps the file that it was given as ``file_to_stream``.
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        stream = getattr(response, "file_to_stream", None)
        name = getattr(stream, "name", None)
        if response.status_code != 200 or not isinstance(name, str):
            return response
        root = os.path.realpath(settings.MEDIA_ROOT) + os.sep
        path = os.path.realpath(name)
        if not path.startswith(root):
            return response
        answer = HttpResponse()
        for header in KEPT:
            if response.has_header(header):
                answer[header] = response[header]
        answer["X-Accel-Redirect"] = INTERNAL + quote(path[len(root) :])
        response.close()
        return answer
