"""The one truth about runs, tasks, attempts and allocations.

`store` says what a database must offer, `sqlite` is the default one, the `.sql` files hold every
statement by name, and the other files are what the daemon asks for, in its own words.
"""
