//! The sizes that the design names. They take minutes: `make soak` asks for them.
