"""Git repositories as the source of releases: fetched, checked out and read, by git itself."""
