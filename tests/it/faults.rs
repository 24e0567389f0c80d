//! Faults of the network, the source, the store, the disk and the process, one test a row of
//! docs/FAULTS.md: the rows' numbers are in the names.

mod cuts;
mod damage;
mod network;
mod process;
mod source;
mod store;
