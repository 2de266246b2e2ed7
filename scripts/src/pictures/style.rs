//! How pictures look: colours, size of the text, kinds of files. One for the whole program.

use std::{path::Path, sync::OnceLock};

use anyhow::{Context, Result, ensure};
use plotters::style::RGBColor;
use policies::file::read_text;
use serde::Deserialize;

/// A style file, TOML. What it leaves out is as shipped.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Style {
    /// Kinds of files to write.
    pub formats: Vec<Format>,
    /// Factor on the size of all text, 0.7 to 1.5.
    pub text: f64,
    /// Font of SVG files, as the program that shows them knows it. PNG files have a font of their own.
    pub svg_font: String,
    /// Titles above the pictures; a paper has captions below them.
    pub titles: bool,
    /// Colours of the series, "#rrggbb", at least one.
    pub colors: Vec<String>,
}

/// A kind of picture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Png,
    Svg,
}

impl Format {
    /// Of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }
}

impl Default for Style {
    /// Colours that colour-blind readers can tell apart.
    fn default() -> Self {
        let colors = [
            "#2c69b0", "#de781f", "#2a8e78", "#a056a4", "#c83e4d", "#7a6854", "#5fbadc", "#beae28",
            "#3c3c42",
        ];
        Self {
            formats: vec![Format::Png],
            text: 1.0,
            svg_font: "Helvetica, Arial, sans-serif".to_owned(),
            titles: true,
            colors: colors.map(str::to_owned).to_vec(),
        }
    }
}

static STYLE: OnceLock<(Style, Vec<RGBColor>)> = OnceLock::new();

impl Style {
    /// Reads a style file.
    ///
    /// # Errors
    /// One line that names the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path).with_context(|| format!("cannot read {}", path.display()))?;
        let style: Self = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}", one_line(&error)))
            .with_context(|| path.display().to_string())?;
        style.check().with_context(|| path.display().to_string())?;
        Ok(style)
    }

    fn check(&self) -> Result<Vec<RGBColor>> {
        ensure!(
            !self.formats.is_empty(),
            "`formats` is empty, must be \"png\", \"svg\" or both"
        );
        ensure!(
            (0.7..=1.5).contains(&self.text),
            "`text` is {}, must be 0.7 to 1.5",
            self.text
        );
        let plain = |c: char| c.is_alphanumeric() || " ,.-_'".contains(c);
        ensure!(
            self.svg_font.chars().all(plain),
            "`svg_font` is {:?}, must be names of fonts with commas between them",
            self.svg_font
        );
        ensure!(!self.colors.is_empty(), "`colors` is empty");
        self.colors.iter().map(|text| rgb(text)).collect()
    }

    /// Makes it the style of all pictures that this process draws from now on. The first one stays.
    ///
    /// # Errors
    /// One line that names the key that is wrong.
    pub fn apply(self) -> Result<()> {
        let colors = self.check()?;
        // A second one is of the same command line.
        let _ = STYLE.set((self, colors));
        Ok(())
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(" ")
}

/// "#rrggbb".
fn rgb(text: &str) -> Result<RGBColor> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
    let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let value =
        value.with_context(|| format!("`colors` has {text:?}, must be like \"#2c69b0\""))?;
    let [_, red, green, blue] = value.to_be_bytes();
    Ok(RGBColor(red, green, blue))
}

fn applied() -> &'static (Style, Vec<RGBColor>) {
    STYLE.get_or_init(|| {
        let style = Style::default();
        let colors = style.check().unwrap_or_default();
        (style, colors)
    })
}

/// The style of this process.
pub fn style() -> &'static Style {
    &applied().0
}

/// The colour of a series.
pub fn series(index: usize) -> RGBColor {
    let colors = &applied().1;
    colors[index % colors.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_file_changes_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("style.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Style::read(&path)
        };
        let style = read("formats = [\"svg\"]\ncolors = [\"#010203\"]").unwrap();
        assert_eq!(style.formats, [Format::Svg]);
        assert_eq!(style.check().unwrap(), [RGBColor(1, 2, 3)]);
        assert_eq!(style.text, 1.0);
        for (text, expected) in [
            ("formats = []", "`formats` is empty"),
            ("formats = [\"pdf\"]", "unknown variant `pdf`"),
            ("text = 3.0", "`text` is 3, must be 0.7 to 1.5"),
            ("colors = [\"blue\"]", "`colors` has \"blue\""),
            ("colors = [\"#12345g\"]", "must be like"),
            ("svg_font = 'a\"b'", "`svg_font`"),
            ("color = 1", "unknown field `color`"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }
}
