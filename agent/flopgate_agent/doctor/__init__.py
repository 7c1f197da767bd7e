"""What may be amiss on a host, each with its mend. Changes nothing but a file that it removes."""
