//! Meshes of every format, and missing, empty, endless and wrongly scaled ones.

use std::{fs, path::Path};

use nalgebra::Vector3;
use robots::{Robot, Shape, import::Import};

use crate::{import_in, imported, lines, quadruped::Quadruped};

const CORNERS: [[f64; 3]; 8] = [
    [-0.2, -0.05, -0.05],
    [0.2, -0.05, -0.05],
    [-0.2, 0.05, -0.05],
    [0.2, 0.05, -0.05],
    [-0.2, -0.05, 0.05],
    [0.2, -0.05, 0.05],
    [-0.2, 0.05, 0.05],
    [0.2, 0.05, 0.05],
];
const FACES: [[usize; 4]; 6] = [
    [0, 2, 3, 1],
    [4, 5, 7, 6],
    [0, 1, 5, 4],
    [2, 6, 7, 3],
    [0, 4, 6, 2],
    [1, 3, 7, 5],
];

fn triangles(scale: f64) -> Vec<[[f64; 3]; 3]> {
    let corner = |i: usize| CORNERS[i].map(|x| x * scale);
    let halves = |[a, b, c, d]: [usize; 4]| [[a, b, c], [a, c, d]];
    FACES
        .into_iter()
        .flat_map(halves)
        .map(|t| t.map(corner))
        .collect()
}

fn binary_stl(scale: f64, header: &[u8]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    bytes.resize(80, b' ');
    let triangles = triangles(scale);
    bytes.extend((triangles.len() as u32).to_le_bytes());
    for triangle in triangles {
        bytes.extend([0; 12]);
        bytes.extend(
            triangle
                .iter()
                .flatten()
                .flat_map(|x| (*x as f32).to_le_bytes()),
        );
        bytes.extend([0; 2]);
    }
    bytes
}

fn text_stl() -> String {
    let facet = |t: [[f64; 3]; 3]| {
        let vertices: String = t
            .iter()
            .map(|[x, y, z]| format!("vertex {x} {y} {z}\n"))
            .collect();
        format!("facet normal 0 0 0\nouter loop\n{vertices}endloop\nendfacet\n")
    };
    format!(
        "solid box\n{}endsolid\n",
        triangles(1.0).into_iter().map(facet).collect::<String>()
    )
}

fn obj() -> String {
    let corners = CORNERS.iter().map(|[x, y, z]| format!("v {x} {y} {z}\n"));
    let faces = FACES
        .iter()
        .map(|face| format!("f {}\n", face.map(|i| format!("{}//1", i + 1)).join(" ")));
    corners.chain(faces).collect()
}

/// In centimetres, and turned by the scene.
fn dae() -> String {
    let positions: Vec<_> = CORNERS
        .iter()
        .map(|[x, y, z]| format!("{} {} {}", 100.0 * y, -100.0 * x, 100.0 * z))
        .collect();
    let indices: Vec<_> = FACES.iter().flatten().map(|i| format!("{i} 0")).collect();
    format!(
        "<?xml version='1.0'?><COLLADA><asset><unit meter='0.01'/><up_axis>Y_UP</up_axis></asset><library_geometries><geometry id='g'><mesh>\
         <source id='s'><float_array id='a' count='24'>{}</float_array></source><vertices id='v'><input semantic='POSITION' source='#s'/></vertices>\
         <polylist count='6'><input semantic='VERTEX' source='#v' offset='0'/><input semantic='NORMAL' source='#n' offset='1'/>\
         <vcount>4 4 4 4 4 4</vcount><p>{}</p></polylist></mesh></geometry></library_geometries><library_visual_scenes><visual_scene id='w'>\
         <node><rotate>0 0 1 90</rotate><instance_geometry url='#g'/></node></visual_scene></library_visual_scenes></COLLADA>",
        positions.join(" "),
        indices.join(" ")
    )
}

/// Imports the quadruped with a trunk of this mesh.
fn with_trunk(folder: &Path, mesh: &str) -> Import {
    let trunk = format!("<collision><geometry><mesh filename='{mesh}'/></geometry></collision>");
    import_in(
        folder,
        Quadruped {
            trunk,
            ..Quadruped::default()
        }
        .urdf()
        .as_bytes(),
    )
}

#[track_caller]
fn assert_trunk(robot: &Robot) {
    let Shape::Box { half_extents } = robot.base.link.shapes[0].shape else {
        panic!("{:?}", robot.base.link.shapes);
    };
    let mut sorted = half_extents.as_slice().to_vec();
    sorted.sort_by(f32::total_cmp);
    assert!(
        (Vector3::from_row_slice(&sorted) - Vector3::new(0.05, 0.05, 0.2)).norm() < 4e-3,
        "{half_extents}"
    );
    let shape = &robot.base.link.shapes[0];
    assert!(
        (shape.reach_m(&Vector3::x()) - 0.2).abs() < 5e-3,
        "{shape:?}"
    );
}

#[test]
fn the_same_box_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("a.STL", &binary_stl(1.0, b"made by hand"));
    // Many programs begin a binary file with the word of the text format.
    write("b.stl", &binary_stl(1.0, b"solid box"));
    write("c.stl", text_stl().as_bytes());
    write("d.obj", obj().as_bytes());
    write("e.dae", dae().as_bytes());
    for mesh in [
        "a.STL",
        "b.stl",
        "c.stl",
        "d.obj",
        "e.dae",
        "package://dog/a.STL",
    ] {
        let result = with_trunk(folder.path(), mesh);
        assert!(
            lines(&result).contains("mm off on average, volume x 1.0"),
            "{mesh}: {}",
            lines(&result)
        );
        assert_trunk(&imported(result));
    }
}

#[test]
fn a_package_is_found_beside_the_description() {
    let folder = tempfile::tempdir().unwrap();
    let (urdf, meshes) = (
        folder.path().join("dog_description/urdf"),
        folder.path().join("dog_description/meshes"),
    );
    fs::create_dir_all(&urdf).unwrap();
    fs::create_dir_all(&meshes).unwrap();
    fs::write(meshes.join("trunk.stl"), binary_stl(1.0, b"")).unwrap();
    for name in [
        "package://dog_description/meshes/trunk.stl",
        "../meshes/trunk.stl",
        "package://renamed/meshes/trunk.stl",
    ] {
        assert_trunk(&imported(with_trunk(&urdf, name)));
    }
}

#[test]
fn a_mesh_in_millimetres_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mm.stl"), binary_stl(1000.0, b"")).unwrap();
    let result = with_trunk(folder.path(), "mm.stl");
    assert!(
        lines(&result).contains("is taken to be in mm"),
        "{}",
        lines(&result)
    );
    assert_trunk(&imported(result));
}

#[test]
fn a_mesh_that_cannot_be_read_is_one_line_and_a_box_of_its_inertia() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let mut endless = binary_stl(1.0, b"");
    endless[80..84].copy_from_slice(&4_000_000_000u32.to_le_bytes());
    let mut short = binary_stl(1.0, b"");
    short.truncate(200);
    write("empty.stl", b"");
    write("endless.stl", &endless);
    write("short.stl", &short);
    write("nan.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n");
    write("wrong.obj", b"v 0 0 0\nf 1 2 3\n");
    write("trunk.blend", b"BLENDER");
    for (mesh, expected) in [
        ("missing.stl", "`missing.stl` is not there; put it at "),
        ("empty.stl", "`empty.stl` has no triangles"),
        (
            "endless.stl",
            "`endless.stl` has 4000000000 triangles, and at most 2000000 are read",
        ),
        (
            "short.stl",
            "`short.stl` ends early: 12 triangles take 684 bytes, and it has 200",
        ),
        (
            "nan.obj",
            "`nan.obj` has coordinates that are no finite numbers",
        ),
        (
            "wrong.obj",
            "`wrong.obj` has a line that cannot be read: `f 1 2 3`",
        ),
        (
            "trunk.blend",
            "`trunk.blend` is a .blend file; STL, OBJ and DAE are read",
        ),
    ] {
        let result = with_trunk(folder.path(), mesh);
        let text = lines(&result);
        assert!(
            text.contains(expected) && text.contains("box of the same mass and inertia"),
            "{text}"
        );
        // 5 kg with 0.003, 0.003 and 0.002 kg m2: sides of sqrt(6 / 5 * 0.002) twice and sqrt(6 / 5 * 0.004).
        let robot = imported(result);
        let shape = &robot.base.link.shapes[0];
        assert!(
            (shape.reach_m(&Vector3::z()) - 0.5 * 0.0048f32.sqrt()).abs() < 1e-3
                || (shape.reach_m(&Vector3::z()) - 0.5 * 0.0024f32.sqrt()).abs() < 1e-3,
            "{shape:?}"
        );
    }
}
