//! Capture without a server.

mod simulation;
