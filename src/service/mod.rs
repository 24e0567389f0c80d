//! Wiring and supervision: what turns the stages into running processes.

pub mod throwaway;
