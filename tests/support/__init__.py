"""What the tests share: clocks, servers, records, processes."""
