"""What people do: officers who rule, those who carry files, a thief of an online key."""
