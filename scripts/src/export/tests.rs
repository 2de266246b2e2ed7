use policies::{
    Activation, Linear, RaySpec,
    observation::{ObservationTerm, Quantity, terms},
    spec::{NetworkSpec, Output, PolicySpec, Provenance, SwitchSpec, TwistSearchSpec},
};

use super::*;

fn go1() -> Robot {
    Robot::load("go1").expect("go1 is shipped")
}

/// Weights of the size that training begins with.
fn layers(widths: &[usize], mut seed: u32) -> Vec<Linear> {
    let mut next = |scale: f32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        scale * ((seed >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    widths
        .windows(2)
        .map(|pair| Linear {
            weight: (0..pair[0] * pair[1])
                .map(|_| next(1.5 / (pair[0] as f32).sqrt()))
                .collect(),
            bias: (0..pair[1]).map(|_| next(0.3)).collect(),
            inputs: pair[0],
        })
        .collect()
}

/// A bundle with an agile policy and a value, which observe `rays`.
fn bundle(rays: &RaySpec, hidden: &[usize], search: TwistSearchSpec) -> Bundle {
    let mut bundle = Bundle::new(PolicySpec::new(&go1(), rays, 0.02));
    bundle.spec.switch = Some(SwitchSpec {
        threshold: -0.2,
        search,
        ..SwitchSpec::default()
    });
    let agile = NetworkSpec::policy("agile", terms::agile(rays), 0.25, Provenance::default());
    insert(&mut bundle, "agile", agile, hidden, 12);
    let sha256 = bundle.spec.networks["agile"].sha256.clone();
    let value = NetworkSpec::value(terms::reach_avoid(rays), &sha256, Provenance::default());
    insert(&mut bundle, "reach-avoid", value, hidden, 1);
    bundle
}

fn insert(bundle: &mut Bundle, role: &str, network: NetworkSpec, hidden: &[usize], outputs: usize) {
    let (spec, robot) = (&bundle.spec, &bundle.spec.robot);
    let layout = policies::Layout::new(&network.observations, robot, &spec.rays);
    let inputs = layout.expect("a layout").dim();
    let widths = [&[inputs], hidden, &[outputs]].concat();
    let layers = layers(&widths, 7);
    bundle.insert(role, network, layers).expect("layers");
}

fn bytes(graph: graph::Graph) -> Vec<u8> {
    graph.model("test", &[]).encode_to_vec()
}

fn fan(previous_steps: usize) -> RaySpec {
    RaySpec {
        previous_steps,
        ..RaySpec::default()
    }
}

#[test]
fn models_of_all_activations_observe_history_clip_and_mask_as_the_network_does() {
    let rays = fan(0);
    for (activation, last) in [
        (Activation::Elu, Activation::Identity),
        (Activation::Relu, Activation::Silu),
        (Activation::Silu, Activation::Tanh),
        (Activation::Tanh, Activation::Identity),
        (Activation::Identity, Activation::Elu),
    ] {
        let mut bundle = Bundle::new(PolicySpec::new(&go1(), &rays, 0.02));
        let clipped = ObservationTerm {
            clip: Some(0.5),
            ..ObservationTerm::from(Quantity::JointVelocity).with_history(3)
        };
        let masked =
            ObservationTerm::from(Quantity::LinearVelocityBase).with_mask(&[true, true, false]);
        let observations = vec![masked, clipped, Quantity::LogRays.into()];
        let network = NetworkSpec {
            activation,
            output: Output::Actions {
                scale: 0.5,
                clip: 10.0,
                activation: last,
            },
            ..NetworkSpec::policy("walk", observations, 0.5, Provenance::default())
        };
        insert(&mut bundle, "walk", network, &[32, 16], 12);
        let model = bytes(networks::graph(&bundle, "walk").unwrap().unwrap());
        let parity = parity::of_network(&model, &bundle, "walk").unwrap();
        assert_eq!(parity.beyond, 0, "{activation:?}: {parity:?}");
    }
}

#[test]
fn a_model_of_other_weights_is_noticed() {
    let mut bundle = bundle(&fan(0), &[16], TwistSearchSpec::default());
    let model = bytes(networks::graph(&bundle, "agile").unwrap().unwrap());
    let mut layers = bundle.layers("agile").to_vec();
    layers[1].bias[3] += 1e-3;
    let network = bundle.spec.networks["agile"].clone();
    bundle.insert("agile", network, layers).unwrap();
    let parity = parity::of_network(&model, &bundle, "agile").unwrap();
    // Where the action is clipped, the bias does not matter.
    assert!(parity.beyond > INPUTS / 2, "{parity:?}");
    assert!((parity.largest - 1e-3).abs() < 1e-4, "{parity:?}");
}

#[test]
fn the_search_finds_the_same_twists() {
    let paper = TwistSearchSpec {
        lookahead_s: 0.0,
        steps: 3,
        ..TwistSearchSpec::default()
    };
    let at_once = TwistSearchSpec {
        response_s: 0.0,
        ..TwistSearchSpec::default()
    };
    for (name, rays, hidden, search) in [
        ("present", fan(0), &[24, 16][..], TwistSearchSpec::default()),
        (
            "with a previous scan",
            fan(20),
            &[24, 16],
            TwistSearchSpec::default(),
        ),
        ("without lookahead", fan(0), &[24, 16], paper),
        ("at once", fan(0), &[24, 16], at_once),
        ("one layer", fan(0), &[], TwistSearchSpec::default()),
    ] {
        let bundle = bundle(&rays, hidden, search);
        let model = bytes(twist_search::graph(&bundle).unwrap());
        let [twists, values] = parity::of_twist_search(&model, &bundle, &go1()).unwrap();
        assert!(twists.beyond <= INPUTS / 20, "{name}: {twists:?}");
        assert!(values.largest <= SEARCH_TOLERANCE, "{name}: {values:?}");
    }
}

#[test]
fn a_slope_that_overflows_stops_the_search_where_it_is() {
    let mut bundle = bundle(&fan(0), &[], TwistSearchSpec::default());
    let mut layers = bundle.layers("reach-avoid").to_vec();
    // The squares of these derivatives by v_x and v_y are infinite, the logit is not.
    layers[0].weight.fill(0.0);
    layers[0].weight[..2].fill(1e30);
    layers[0].bias[0] = 1.0;
    let network = bundle.spec.networks["reach-avoid"].clone();
    bundle.insert("reach-avoid", network, layers).unwrap();
    let model = bytes(twist_search::graph(&bundle).unwrap());
    let [twists, values] = parity::of_twist_search(&model, &bundle, &go1()).unwrap();
    assert_eq!(
        (twists.beyond, values.beyond),
        (0, 0),
        "{twists:?}, {values:?}"
    );
}

#[test]
fn a_value_without_goal_has_no_search() {
    let mut bundle = bundle(&fan(0), &[16], TwistSearchSpec::default());
    let value = bundle.spec.networks.get_mut("reach-avoid").unwrap();
    value
        .observations
        .retain(|term| term.term != Quantity::GoalPosition);
    let error = twist_search::graph(&bundle).err().unwrap().to_string();
    assert!(error.contains("must observe `goal-position`"), "{error}");
}

#[test]
fn every_model_carries_the_contract() {
    let bundle = bundle(&fan(0), &[16], TwistSearchSpec::default());
    let export = Export::new(&bundle, &go1(), &[]).unwrap();
    let files: std::collections::BTreeMap<_, _> = export.files.iter().cloned().collect();
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "agile.onnx",
            "contract.json",
            "reach-avoid.onnx",
            "robot.xml",
            "twist-search.onnx"
        ]
    );
    for (name, bytes) in &files {
        if name.ends_with(".onnx") {
            let model = tract_onnx::pb::ModelProto::decode(&bytes[..]).unwrap();
            let metadata = &model.metadata_props[0];
            assert_eq!(metadata.key, "contract");
            assert_eq!(metadata.value.as_bytes(), files["contract.json"]);
            assert_eq!(model.opset_import[0].version, 17);
        }
    }
}

#[test]
fn a_policy_alone_has_no_switch() {
    let bundle = bundle(&fan(0), &[16], TwistSearchSpec::default());
    let export = Export::new(&bundle, &go1(), &["agile".to_owned()]).unwrap();
    let (_, contract) = export
        .files
        .iter()
        .find(|(name, _)| name == CONTRACT_FILE)
        .unwrap();
    let contract: serde_json::Value = serde_json::from_slice(contract).unwrap();
    assert_eq!(contract.get("switch"), None);
    assert_eq!(contract["networks"].as_object().unwrap().len(), 1);
    assert!(matches!(
        bundle.spec.networks["agile"].output,
        Output::Actions { .. }
    ));
}
