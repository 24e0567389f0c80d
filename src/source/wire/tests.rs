//! Bytes as a server sends them, whole, cut and changed.
