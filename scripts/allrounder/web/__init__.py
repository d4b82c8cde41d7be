"""The only code that opens sockets: one policy, photos over libcurl, lists over requests."""
