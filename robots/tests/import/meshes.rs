//! Meshes of every format, and missing, empty, endless and wrongly scaled ones.

use std::{collections::BTreeSet, fs, path::Path};

use nalgebra::Vector3;
use robots::{
    Robot, Shape,
    import::{Import, ImportOptions, import},
};

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

/// Corners of the triangles of a binary STL, each once, in mm.
fn corners(stl: &[u8]) -> BTreeSet<[i32; 3]> {
    assert_eq!(stl[80..84], ((stl.len() as u32 - 84) / 50).to_le_bytes());
    let corner = |bytes: &[u8]| {
        std::array::from_fn(|axis| {
            let x = f32::from_le_bytes(bytes[4 * axis..][..4].try_into().unwrap());
            (1000.0 * x).round() as i32
        })
    };
    let triangles = stl[84..].chunks(50);
    triangles
        .flat_map(|t| [&t[12..], &t[24..], &t[36..]].map(corner))
        .collect()
}

/// The robot after it was written into a folder and read from there.
fn reloaded(result: Import, folder: &Path) -> Robot {
    let (_, files) = result.robot.unwrap();
    files.write(folder).unwrap();
    Robot::load(folder.to_str().unwrap()).unwrap()
}

#[test]
fn visual_meshes_of_a_link_and_of_what_is_fixed_to_it_are_one_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("box.obj"), obj()).unwrap();
    fs::write(folder.path().join("box.stl"), binary_stl(1000.0, b"")).unwrap();
    let mut quadruped = Quadruped::default();
    quadruped.trunk +=
        "<visual><origin xyz='0 0 0.1'/><geometry><mesh filename='box.obj'/></geometry></visual>";
    // In mm, mirrored, and turned by its joint: x of the head is y of the trunk.
    quadruped.tail = "<link name='head'><visual><geometry><mesh filename='box.stl' scale='-1 1 1'/></geometry></visual></link>\
         <joint name='neck' type='fixed'><parent link='trunk'/><child link='head'/><origin xyz='0.3 0 0' rpy='0 0 1.570796327'/></joint>"
        .to_owned();
    let urdf = quadruped.urdf();
    let imported = || import_in(folder.path(), urdf.as_bytes());
    let out = folder.path().join("out");
    let robot = reloaded(imported(), &out);
    let file = out.join("meshes/trunk.stl");
    assert_eq!(robot.base.link.visuals.len(), 1);
    assert_eq!(robot.base.link.visuals[0].file, file);
    assert!(robot.joints().all(|joint| joint.link.visuals.is_empty()));
    let stl = fs::read(&file).unwrap();
    let mm = |x: f64| (1000.0 * x).round() as i32;
    let trunk = CORNERS.map(|[x, y, z]| [mm(x), mm(y), mm(z + 0.1)]);
    let head = CORNERS.map(|[x, y, z]| [mm(0.3 - y), mm(x), mm(z)]);
    assert_eq!(corners(&stl), trunk.into_iter().chain(head).collect());
    // Normals point outwards, of the mirror image, too.
    for triangle in stl[84..].chunks(50) {
        let numbers: Vec<f32> = triangle[..48]
            .chunks(4)
            .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
            .collect();
        let [normal, a] = [0, 3].map(|at| Vector3::from_row_slice(&numbers[at..at + 3]));
        let of_head = stl[84..].chunks(50).position(|other| other == triangle) >= Some(12);
        let centre = match of_head {
            true => Vector3::new(0.3, 0.0, 0.0),
            false => Vector3::new(0.0, 0.0, 0.1),
        };
        assert!(normal.dot(&(a - centre)) > 0.0, "{normal} at {a}");
    }

    // A simulation needs none of it, and it can be left out.
    fs::remove_dir_all(out.join("meshes")).unwrap();
    assert_eq!(Robot::load(out.to_str().unwrap()).unwrap(), robot);
    let options = ImportOptions {
        no_meshes: true,
        ..ImportOptions::default()
    };
    let without = import(&folder.path().join("maker.urdf"), &options);
    let without = reloaded(without, &folder.path().join("without"));
    assert!(without.base.link.visuals.is_empty());
    assert!(!folder.path().join("without/meshes").exists());
}

#[test]
fn visual_meshes_that_are_missing_or_too_many_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let triangles = |count: usize| {
        let corners = "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\n".to_owned();
        corners + &"f 1 2 3\n".repeat(count)
    };
    let write = |name: &str, count| fs::write(folder.path().join(name), triangles(count)).unwrap();
    write("large.obj", 200_001);
    write("calf.obj", 60_000);
    write("trunk.obj", 10);
    let visual =
        |mesh: &str| format!("<visual><geometry><mesh filename='{mesh}'/></geometry></visual>");
    for (mesh, expected) in [
        (
            "missing.dae",
            "found  link `trunk`: no visual mesh, since `missing.dae` is not there; put it at ",
        ),
        (
            "large.obj",
            "found  link `trunk`: no visual mesh, since `large.obj` has 200001 triangles, and at most 200000 are read",
        ),
    ] {
        let mut quadruped = Quadruped::default();
        quadruped.trunk += &visual(mesh);
        let result = import_in(folder.path(), quadruped.urdf().as_bytes());
        let text = lines(&result);
        assert!(text.contains(expected), "{text}");
        assert!(!result.robot.unwrap().1.urdf().contains("<visual>"));
    }
    let mut quadruped = Quadruped::default();
    quadruped.trunk += &visual("trunk.obj");
    quadruped.calf_shape += &visual("calf.obj");
    let result = import_in(folder.path(), quadruped.urdf().as_bytes());
    let text = lines(&result);
    assert!(
        text.contains(
            "its visual mesh of 60000 triangles is left out, since a robot keeps at most 200000"
        ),
        "{text}"
    );
    let urdf = result.robot.unwrap().1.urdf().to_owned();
    assert_eq!(urdf.matches("<visual>").count(), 1);
    assert!(urdf.contains("meshes/trunk.stl"));
}
