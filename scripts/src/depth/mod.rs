//! Depth images: their folder, and the errors of rays predicted from them.

pub mod data;
#[cfg_attr(not(feature = "train"), expect(dead_code, reason = "for training"))]
pub mod report;
