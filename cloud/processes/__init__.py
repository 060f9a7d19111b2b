"""The programs: what is built, and what runs in which process."""
