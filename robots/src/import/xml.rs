//! Text of an XML file in any encoding, and what kind of description it holds.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use roxmltree::{Document, Node, ParsingOptions};

use super::report::Report;
use crate::load::check_depth;

/// Elements, attributes and texts of a document.
const MOST_NODES: u32 = 5_000_000;

/// The text of an XML file: by its byte order mark, or what its declaration says, or UTF-8.
pub(super) fn decode(bytes: &[u8], report: &mut Report) -> String {
    let (encoding, start) = Encoding::for_bom(bytes).unwrap_or_else(|| (declared(bytes), 0));
    let (text, has_errors) = encoding.decode_without_bom_handling(&bytes[start..]);
    if has_errors && encoding == UTF_8 {
        report.found("the file is not the UTF-8 that it says; read as Latin-1");
        return WINDOWS_1252
            .decode_without_bom_handling(bytes)
            .0
            .into_owned();
    }
    text.into_owned()
}

fn declared(bytes: &[u8]) -> &'static Encoding {
    match bytes {
        [b'<', 0, ..] => return UTF_16LE,
        [0, b'<', ..] => return UTF_16BE,
        _ => {}
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    let declaration = head.split("?>").next().unwrap_or_default();
    let label = declaration.split_once("encoding").and_then(|(_, rest)| {
        let rest = rest.trim_start_matches([' ', '=']);
        let quote = rest.chars().next().filter(|c| "\"'".contains(*c))?;
        rest[1..].split(quote).next()
    });
    // A declaration that can be read as ASCII is not of UTF-16.
    let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes()));
    encoding
        .filter(|e| e.is_ascii_compatible())
        .unwrap_or(UTF_8)
}

/// The document, or one line that says what is wrong.
pub(super) fn parse(text: &str) -> Result<Document<'_>, String> {
    let text = text.trim_start();
    if !text.starts_with('<') {
        return Err("is no XML file; a URDF begins with `<?xml` or `<robot`".to_owned());
    }
    check_depth(text)?;
    let options = ParsingOptions {
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(|error| {
        match text.matches("<robot ").count() {
            0 | 1 => error.to_string(),
            robots => format!("holds {robots} <robot> elements; keep one in a file"),
        }
    })
}

/// What a document describes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Urdf,
    Mjcf,
}

/// Which format it is, or what to do about one that cannot be read.
pub(super) fn kind(document: &Document<'_>) -> Result<Kind, String> {
    let root = document.root_element();
    match root.tag_name().name() {
        "robot" if has_macros(root) => Err("is xacro, macros for a URDF; \
             run `xacro FILE > robot.urdf` (ROS; without it `pip install xacro`) and import the result"
            .to_owned()),
        "robot" => match root.children().filter(|n| n.has_tag_name("robot")).count() {
            0 => Ok(Kind::Urdf),
            more => Err(format!("holds {} <robot> elements; keep one in a file", more + 1)),
        },
        "mujoco" => Ok(Kind::Mjcf),
        "sdf" | "gazebo" => Err("is SDF, the format of Gazebo; \
             import the URDF or MJCF that its maker has beside it"
            .to_owned()),
        "COLLADA" => Err("is a mesh; import the URDF that names it".to_owned()),
        other => Err(format!("begins with <{other}>; a URDF begins with <robot>, an MJCF with <mujoco>")),
    }
}

fn has_macros(root: Node<'_, '_>) -> bool {
    root.descendants().any(|node| {
        let namespace = node.tag_name().namespace().unwrap_or_default();
        namespace.contains("xacro") || node.attributes().any(|a| a.value().contains("${"))
    })
}

/// The numbers of an attribute, or `default` where there is none.
pub(super) fn numbers<const N: usize>(
    node: Node<'_, '_>,
    attribute: &str,
    default: [f64; N],
    place: &str,
    report: &mut Report,
) -> [f64; N] {
    let Some(text) = node.attribute(attribute) else {
        return default;
    };
    match finite(text) {
        Some(values) => values,
        None => {
            let element = node.tag_name().name();
            let short: String = text.chars().take(60).collect();
            report.error(format!(
                "{place}: {attribute}=\"{short}\" of <{element}> must be {N} finite number{}",
                if N == 1 { "" } else { "s" }
            ));
            default
        }
    }
}

/// The first child element of a name.
pub(super) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// As many finite numbers as asked for, and nothing else.
pub(super) fn finite<const N: usize>(text: &str) -> Option<[f64; N]> {
    let words = text.split_whitespace().map(str::parse);
    let values: Vec<f64> = words.collect::<Result<_, _>>().ok()?;
    let values = <[f64; N]>::try_from(values).ok()?;
    values
        .iter()
        .all(|value| value.is_finite())
        .then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, big_endian: bool, mark: bool) -> Vec<u8> {
        let units = mark
            .then_some(0xfeff)
            .into_iter()
            .chain(text.encode_utf16());
        units
            .flat_map(|unit| {
                if big_endian {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    }

    #[test]
    fn every_encoding_that_xml_allows_is_read() {
        let text = "<?xml version=\"1.0\"?><robot name=\"chien à pattes\"/>";
        for (big_endian, mark) in [(true, true), (false, true), (true, false), (false, false)] {
            let bytes = utf16(text, big_endian, mark);
            assert_eq!(decode(&bytes, &mut Report::default()), text);
        }
        let latin = "<?xml version='1.0' encoding='ISO-8859-1'?><robot name='\u{e0}'/>";
        let bytes: Vec<u8> = latin.chars().map(|c| c as u8).collect();
        assert_eq!(decode(&bytes, &mut Report::default()), latin);
        // A file that says UTF-8 and is not.
        let mut report = Report::default();
        let wrong = b"<robot name='\xe0'/>";
        assert_eq!(decode(wrong, &mut report), "<robot name='\u{e0}'/>");
        assert_eq!(report.into_findings().len(), 1);
    }

    #[test]
    fn formats_are_recognised() {
        let of = |text: &str| parse(text).and_then(|document| kind(&document));
        assert_eq!(of("<robot name='a'/>"), Ok(Kind::Urdf));
        assert_eq!(of("<mujoco/>"), Ok(Kind::Mjcf));
        for (text, word) in [
            (
                "<robot xmlns:xacro='http://www.ros.org/wiki/xacro'><xacro:leg/></robot>",
                "is xacro",
            ),
            ("<robot><link name='${prefix}leg'/></robot>", "is xacro"),
            ("<sdf version='1.6'/>", "is SDF"),
            (
                "<robot name='a'/><robot name='b'/>",
                "holds 2 <robot> elements",
            ),
            ("<html/>", "begins with <html>"),
            ("solid x", "is no XML file"),
        ] {
            let line = of(text).unwrap_err();
            assert!(line.contains(word) && !line.contains('\n'), "{line}");
        }
        // A file that xacro has written is a URDF.
        let expanded = "<robot name='a' xmlns:xacro='http://www.ros.org/wiki/xacro'/>";
        assert_eq!(of(expanded), Ok(Kind::Urdf));
    }
}
