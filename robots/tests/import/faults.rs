//! Descriptions that are none of a quadruped: one true line each.

use std::time::Instant;

use rand::{RngExt, SeedableRng};

use crate::{import_bytes, import_text, lines, only_error, quadruped::Quadruped};

#[track_caller]
fn refused(text: &str, expected: &str) {
    let line = only_error(&import_text(text));
    assert!(line.contains(expected) && !line.contains('\n'), "{line}");
}

fn with(change: impl Fn(&mut Quadruped)) -> String {
    let mut quadruped = Quadruped::default();
    change(&mut quadruped);
    quadruped.urdf()
}

#[test]
fn other_formats_are_named_with_what_to_do() {
    refused(
        "<robot xmlns:xacro='http://www.ros.org/wiki/xacro'><xacro:include filename='leg.xacro'/></robot>",
        "is xacro, macros for a URDF; run `xacro ",
    );
    refused(
        "<sdf version='1.7'><model name='dog'/></sdf>",
        "is SDF, the format of Gazebo; ",
    );
    refused("<html><body/></html>", "begins with <html>");
    refused("solid box", "is no XML file");
    refused("", "is no XML file");
    refused("<robot name='a'><link>", "");
    let line = only_error(&robots::import::import(
        "no/such.urdf".as_ref(),
        &Default::default(),
    ));
    assert!(line.starts_with("cannot read no/such.urdf: "), "{line}");
}

#[test]
fn robots_that_are_no_quadrupeds() {
    refused("<robot name='a'/>", "no <link>");
    refused("<robot name='a'><link name='a'/></robot>", "no legs found");
    refused(
        &with(|q| q.legs.truncate(2)),
        "two legs (one_a, two_a): a biped",
    );
    refused(
        &with(|q| {
            q.legs
                .extend([("five", [0.0, 0.05]), ("six", [0.0, -0.05])])
        }),
        "6 limbs that could be legs (",
    );
    let two = Quadruped::default().urdf();
    refused(&(two.clone() + &two), "holds 2 <robot> elements; keep one");
    let inner = two.split_once("?>").map(|(_, robot)| robot.to_owned());
    refused(
        &format!(
            "<robot name='all'>{}</robot>",
            inner.clone().unwrap_or_default()
        ),
        "holds 2 <robot> elements",
    );
    // Two trees of links in one element.
    let links: String = (0..5).map(|i| format!("<link name='x{i}'/>")).collect();
    let joints: String = (0..4)
        .map(|i| {
            format!(
                "<joint name='j{i}' type='fixed'><parent link='x{i}'/><child link='x{}'/></joint>",
                i + 1
            )
        })
        .collect();
    refused(
        &with(|q| q.tail = format!("{links}{joints}")),
        "two robots in one file",
    );
}

#[test]
fn trees_that_are_none() {
    let joint = |parent: &str, child: &str| {
        format!(
            "<joint name='extra' type='fixed'><parent link='{parent}'/><child link='{child}'/></joint>"
        )
    };
    refused(
        &with(|q| q.tail = joint("one_c_link", "two_c_link")),
        "link `two_c_link` hangs on joints `two_c` and `extra`, a loop",
    );
    refused(
        &with(|q| q.tail = joint("one_c_link", "trunk")),
        "hang on each other in a loop",
    );
    refused(
        &with(|q| q.tail = joint("trunk", "nowhere")),
        "connects link `nowhere`, which does not exist",
    );
    refused(
        &with(|q| q.tail = "<link name='trunk'/>".into()),
        "link `trunk` appears twice",
    );
    refused(
        &with(|q| q.tail = "<joint name='x' type='fixed'><parent link='trunk'/></joint>".into()),
        "joint `x` has no <child link=...>",
    );
    let links: String = (0..600).map(|i| format!("<link name='x{i}'/>")).collect();
    refused(
        &with(|q| q.tail = links.clone()),
        "links; at most 500 are read",
    );
}

#[test]
fn numbers_that_describe_no_robot() {
    refused(
        &with(|q| q.scale = 1000.0),
        "thigh and calf together are 400.0000 m long; lengths seem to be in mm",
    );
    let tiny = with(|q| (q.scale, q.calf_shape) = (0.01, String::new()));
    refused(&tiny, "between 0.03 and 3 m are plausible");
    let plain = Quadruped::default().urdf();
    refused(
        &plain.replace("<mass value='5'/>", "<mass value='5000'/>"),
        "all links together have 5006.8",
    );
    refused(
        &plain.replace("<mass value='5'/>", "<mass value='-5'/>"),
        "mass is -5 kg; it must be zero or more",
    );
    refused(
        &plain.replace("<mass value='5'/>", "<mass value='five'/>"),
        "value=\"five\" of <mass> must be 1 finite number",
    );
    let massless: String = plain
        .split("<inertial>")
        .enumerate()
        .map(|(i, part)| match (i, part.split_once("</inertial>")) {
            (0, _) | (_, None) => part.to_owned(),
            (_, Some((_, rest))) => rest.to_owned(),
        })
        .collect();
    refused(&massless, "no link has a mass");
    let degrees = with(|q| q.thigh_range = "lower='-60' upper='90'").replacen(
        "lower='-60'",
        "lower='-61'",
        3,
    );
    let text = lines(&import_text(&degrees));
    assert!(
        text.contains("are no angles in rad; are they degrees?"),
        "{text}"
    );
    let reversed = with(|q| q.calf_range = "lower='-0.8' upper='-2.7'");
    let text = lines(&import_text(&reversed));
    assert!(
        text.contains("lower limit -0.8 is not below upper limit -2.7 rad"),
        "{text}"
    );
    // All four calves are stopped straight.
    refused(
        &with(|q| q.calf_range = "lower='-0.1' upper='-0.05'"),
        "no default pose: within the limits",
    );
}

#[test]
fn all_errors_are_listed_at_once_and_last() {
    let text = with(|q| {
        q.tail = "<link name='trunk'/><joint name='x' type='fixed'><parent link='a'/><child link='b'/></joint>".into()
    });
    let result = import_text(&text);
    let text = lines(&result);
    assert_eq!(text.matches("ERROR").count(), 3, "{text}");
    let first = text.find("ERROR").unwrap();
    assert!(!text[first..].contains("found  "), "{text}");
}

#[test]
fn damaged_files_end_in_a_finding_and_soon() {
    let plain = Quadruped::default().urdf();
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(5);
    let start = Instant::now();
    for _ in 0..60 {
        let mut bytes = plain.clone().into_bytes();
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at.max(10)),
                _ => {
                    let end = (at + rng.random_range(1..40)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
        let result = import_bytes(&bytes);
        assert!(result.robot.is_some() || lines(&result).contains("ERROR"));
    }
    let deep = format!("<robot>{}", "<a>".repeat(100_000));
    refused(&deep, "more than 50 elements within each other");
    assert!(start.elapsed().as_secs() < 20);
}
