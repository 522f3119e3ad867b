"""Files that people write: pipelines, sites. Read strictly, all problems at once."""
