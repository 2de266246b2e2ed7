/// A setting outside of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} is {value}, must be from {low} to {high}")]
pub struct SettingError {
    key: &'static str,
    value: f32,
    low: f32,
    high: f32,
}

/// Checks settings, each given as key, value, least and greatest allowed value.
///
/// # Errors
/// The first that is out of range.
pub(crate) fn check_ranges(settings: &[(&'static str, f32, f32, f32)]) -> Result<(), SettingError> {
    for &(key, value, low, high) in settings {
        // NaN is in no range.
        if !(low..=high).contains(&value) {
            return Err(SettingError {
                key,
                value,
                low,
                high,
            });
        }
    }
    Ok(())
}
