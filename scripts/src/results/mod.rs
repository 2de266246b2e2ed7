//! Results of earlier commands, read back from their folders; curves are written here, too.

pub mod evaluation;
pub mod events;
pub mod gait;
#[cfg(any(feature = "train", test))]
pub mod json_lines;
pub mod request;

/// A figure with two decimals, and a dash where there is none.
pub fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}
