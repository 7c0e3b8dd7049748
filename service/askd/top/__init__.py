"""`askd top`: rates and percentiles of servers, computed from two scrapes of their /metrics.

scrape   parses a scrape, and computes the difference of two
view     renders a server as a row or a panel
watch    scrapes servers periodically
"""
