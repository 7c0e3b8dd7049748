"""`askd top`: servers, as their own /metrics tell of them.

sample   what one scrape says
change   what two scrapes say: rates, and percentiles of what came between them
view     the same for a person, in 80 columns
watch    scrape, wait, show
"""
