"""Officers' orders: accepted and carried out; their forms, drafts and words."""
