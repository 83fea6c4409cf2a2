//! The endpoints of schedulers. Those of `AntScheduler` are its ports alone; PowerJob's were measured on 4.3.8 and 4.3.9.

pub mod antscheduler;
pub mod powerjob;
