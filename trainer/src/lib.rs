//! The stages of the trainer, as a library so that each can be tested.

pub mod augment;
pub mod bootstrap;
pub mod calibrate;
pub mod cli;
pub mod dataset;
pub mod export;
pub mod films;
pub mod folds;
mod groups;
pub mod measures;
pub mod metrics;
pub mod output;
pub mod page;
pub mod plots;
pub mod predict;
pub mod prepare;
pub mod pretrained;
pub mod recipe;
pub mod report;
pub mod sampler;
pub mod svg;
pub mod tables;
pub mod training;
