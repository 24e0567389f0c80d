//! What was measured, as a table, as JSON and as a chart.

mod chart;
mod results;
mod row;
mod table;

pub(crate) use results::Results;
pub(crate) use row::{Aim, Row};
