"""What a campaign amounts to: the verdict against every bar, the page with its plots, timelines for the docs.

`tally` adds runs up, `verdict` holds the sums against the bars, `tables` writes them down, `plots` and `page`
show them; `timeline` reads one run's trace, which `lanes` draws and `gantt` writes as Mermaid; `drawing` has
what all pictures share; `side_by_side` compares the virtual world with real interfaces.
"""
