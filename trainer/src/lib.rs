//! The stages of the trainer, as a library so that each can be tested.

pub mod cli;
pub mod dataset;
pub mod export;
pub mod folds;
pub mod predict;
pub mod prepare;
