//! The admin endpoints of the middleware: what their answers mean. Pure so far; the clients that send requests come with
//! the `runtime` feature. Imports nothing of the layers above.

pub mod answer;
pub mod registry;
