"""HTML pages: the home page, the API reference and problem pages.

Pages are rendered from the OpenAPI document, without aiohttp. Everything except "Try it" works without JavaScript, and
nothing is loaded from another host.
"""

from askd.api.pages.asset_bundles import Asset, assets_by_path
from askd.api.pages.error_page import problem_page
from askd.api.pages.home import home_page
from askd.api.pages.layout import CONTENT_SECURITY_POLICY, CompressedBody, Page, compress
from askd.api.pages.reference import reference_page

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "Asset",
    "CompressedBody",
    "Page",
    "assets_by_path",
    "compress",
    "home_page",
    "problem_page",
    "reference_page",
]
