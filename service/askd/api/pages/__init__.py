"""The pages for browsers, made without aiohttp: the home page, the reference, and problems that people can read.

What a page shows comes from the OpenAPI document. Everything works without script except "try it"; nothing comes
from another host.
"""

from service.web.pages.bundle import Asset, assets
from service.web.pages.docs import docs
from service.web.pages.home import home
from service.web.pages.problem import problem
from service.web.pages.shell import POLICY, Page

__all__ = ["POLICY", "Asset", "Page", "assets", "docs", "home", "problem"]
