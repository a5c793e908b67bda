"""One message to a webhook, tried again while the reason may pass. Its address is in no message: it can be a secret."""

import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

SCHEMES = ("http://", "https://")
PAUSES = (0.0, 2.0, 10.0)  # seconds before each try: a webhook restarts, and we can wait a little
_TIMEOUT_SECONDS = 10.0
_SERVER_ERROR = 500
_PASSING = (408, 425, 429)  # of the client's faults, those that pass


def post(url: str, body: bytes, headers: Mapping[str, str], pauses: Sequence[float] = PAUSES) -> str:
    """Why it was not taken, in words that name neither the address nor the message; "" where it was."""
    opener = build_opener(_NoRedirect)
    told = {"User-Agent": "refrain", **headers}
    reason = "there was no try"
    for pause in pauses:
        time.sleep(pause)
        try:
            with opener.open(Request(url, body, told, method="POST"), timeout=_TIMEOUT_SECONDS):
                return ""
        except HTTPError as error:
            error.close()
            reason = f"status {error.code}"
            if error.code < _SERVER_ERROR and error.code not in _PASSING:
                break
        except (URLError, OSError, HTTPException, ValueError) as error:
            reason = type(error).__name__
    return reason


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing: what is posted goes where it was told to, and nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """None: the redirect is the answer."""
        return
