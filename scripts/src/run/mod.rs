//! For long runs: the run folder, progress on the terminal, Ctrl-C.

#[cfg_attr(
    not(any(feature = "train", test)),
    expect(dead_code, reason = "for training")
)]
pub mod folder;
pub mod interrupt;
pub mod progress;
