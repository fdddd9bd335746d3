//! The stages of the trainer, as a library so that each can be tested.

pub mod bootstrap;
pub mod calibrate;
mod groups;
pub mod measures;
pub mod metrics;
pub mod output;
pub mod page;
pub mod plots;
pub mod report;
pub mod svg;
pub mod tables;
