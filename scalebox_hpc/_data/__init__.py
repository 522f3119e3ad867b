"""Files that ship with the package: `site-configs` is the folder of that name in the checkout. No code."""
