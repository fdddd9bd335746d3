//! The stages of the trainer, as a library so that each can be tested.

pub mod augment;
pub mod bootstrap;
pub mod calibrate;
pub mod checkpoint;
pub mod cli;
pub mod dataset;
pub mod films;
pub mod folds;
mod groups;
pub mod head;
pub mod inference;
pub mod measures;
pub mod metrics;
pub mod output;
pub mod page;
pub mod plots;
pub mod prepare;
pub mod pretrained;
pub mod recipe;
pub mod report;
pub mod sampler;
pub mod svg;
pub mod tables;
pub mod tensors;
pub mod train;
pub mod training;
