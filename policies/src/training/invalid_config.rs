//! What is wrong with a setting of what learns.

/// A field of the config outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{section}.{field} = {value}: must be {right}")]
pub struct InvalidConfig {
    section: &'static str,
    field: &'static str,
    value: String,
    right: &'static str,
}

impl InvalidConfig {
    /// The error, unless `ok`.
    pub(crate) fn unless(
        ok: bool,
        section: &'static str,
        field: &'static str,
        value: impl ToString,
        right: &'static str,
    ) -> Result<(), Self> {
        if ok {
            return Ok(());
        }
        Err(Self {
            section,
            field,
            value: value.to_string(),
            right,
        })
    }
}
