//! Policies: what they observe, how they are evaluated, stored and trained.

pub mod vec_env;
