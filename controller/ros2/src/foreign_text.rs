//! Text from the network, as it is shown: cut, counted and escaped.

/// Characters of a text that are shown.
const SHOWN: usize = 60;
/// Characters of a line that are printed.
const LINE: usize = 600;

/// The beginning of a text, on one line and without control characters; of a longer one the number of bytes.
pub fn shown(text: &str) -> String {
    cut(text, SHOWN)
}

/// A line for the terminal, whatever it is made of.
pub fn line(text: &str) -> String {
    cut(text, LINE)
}

fn cut(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut chars = text.chars();
    for char in chars.by_ref().take(most) {
        match is_printed(char) {
            true => shown.push(char),
            false => shown.extend(char.escape_default()),
        }
    }
    if chars.next().is_some() {
        shown += &format!("… ({} bytes)", text.len());
    }
    shown
}

/// Controls, and marks that change the direction of writing or have no width, are not.
fn is_printed(char: char) -> bool {
    let hidden = matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !char.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_escaped_and_long_texts_are_cut_and_counted() {
        assert_eq!(shown("scan 2° ä"), "scan 2° ä");
        assert_eq!(shown("\u{1b}[2Jstop\r\n"), "\\u{1b}[2Jstop\\r\\n");
        assert_eq!(shown("\u{202e}pots\u{200b}"), "\\u{202e}pots\\u{200b}");
        let long = "ä".repeat(1_000_000);
        assert_eq!(shown(&long), "ä".repeat(60) + "… (2000000 bytes)");
        let escaped = "\u{7}".repeat(5000);
        assert!(line(&escaped).len() < 6000);
    }
}
