//! SOFARegistry's admin endpoints: what 5.x and 6.x answer to the same questions, in one vocabulary.
//!
//! Measured on 5.4.3 and 6.3.0; the recorded answers are the fixtures of `tests/admin_contract.rs`.

pub mod v5;
pub mod v6;
pub mod wire;
