//! The stages of the trainer, as a library so that each can be tested.

pub mod export;
pub mod predict;
