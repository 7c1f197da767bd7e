"""Law 5 at the authority: what is approved, judged and reported of licenses. Pure."""
