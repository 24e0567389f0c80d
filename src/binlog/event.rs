//! The common header of events, their type codes and checksums.
