"""Keys of the access log that are not Python identifiers."""

from typing import Final

METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
PATH: Final = "url.path"
STATUS: Final = "http.response.status_code"
CLIENT: Final = "client.address"
