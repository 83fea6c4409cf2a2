//! A decision as people and programs read it: a table in plain text, and JSON with stable names. Logs, `kubectl sofa plan`
//! and `/debug/plan` show the same.
//!
//! Pure: what is shown is all in the decision. May import `types`, `api`, `observe` and `plan`.

mod json;
mod sentence;
mod table;
mod width;

pub use json::{ActView, NextLook, PlanView, StepView, TargetView, WaitView, json};
pub use sentence::{command_sentence, step_line, wait_line};
pub use table::table;
