"""Sends mail through a unix socket: an instance has no network, and the host passes it on to the relay."""

import smtplib
import socket

from django.conf import settings
from django.core.mail.backends import smtp


class UnixSMTP(smtplib.SMTP):
    """SMTP over the unix socket EMAIL_UNIX_SOCKET, whatever host and port are named."""

    def _get_socket(self, host, port, timeout):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if isinstance(timeout, (int, float)):
            connection.settimeout(timeout)
        try:
            connection.connect(settings.EMAIL_UNIX_SOCKET)
        except OSError as error:
            connection.close()
            # The one error that OpenSlides tells its users about, all others are its own.
            raise ConnectionRefusedError(*error.args) from error
        return connection


class EmailBackend(smtp.EmailBackend):
    """Django's, with the other connection."""

    @property
    def connection_class(self):
        return UnixSMTP
