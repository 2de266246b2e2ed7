//! Depth images: the folder that holds them, and how well rays are predicted from them.

pub mod data;
#[cfg_attr(not(feature = "train"), expect(dead_code, reason = "for training"))]
pub mod report;
