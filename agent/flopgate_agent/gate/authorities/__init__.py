"""What one authority said and gave, as this gate holds it: orders, seats, license, time. No I/O."""
