"""What keeps a workspace in order: verify its files, remove leftovers, pack runs into archives. No torch here."""
