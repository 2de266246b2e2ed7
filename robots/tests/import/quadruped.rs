//! A quadruped of our own, as a maker might describe it.

/// What differs from the plain one.
pub struct Quadruped {
    pub thigh_axis: [f64; 3],
    pub thigh_range: &'static str,
    pub calf_range: &'static str,
    /// Elements of each link.
    pub trunk: String,
    pub calf_shape: String,
    pub foot: String,
    /// Before and after the links and joints of the plain one.
    pub head: String,
    pub tail: String,
    /// Names of the legs, and where their hips are.
    pub legs: Vec<(&'static str, [f64; 2])>,
    pub scale: f64,
}

pub const INERTIA: &str = "<inertia ixx='0.003' iyy='0.003' izz='0.002' ixy='0' ixz='0' iyz='0'/>";

impl Default for Quadruped {
    fn default() -> Self {
        Self {
            thigh_axis: [0.0, 1.0, 0.0],
            thigh_range: "lower='-1' upper='3.5'",
            calf_range: "lower='-2.7' upper='-0.8'",
            trunk: "<collision><geometry><box size='0.4 0.1 0.1'/></geometry></collision>".into(),
            calf_shape: "<collision><origin xyz='0 0 -0.08'/><geometry><cylinder radius='0.01' length='0.12'/></geometry></collision>".into(),
            foot: "<collision><geometry><sphere radius='0.02'/></geometry></collision>".into(),
            head: String::new(),
            tail: String::new(),
            legs: vec![
                ("one", [0.2, 0.05]),
                ("two", [0.2, -0.05]),
                ("three", [-0.2, 0.05]),
                ("four", [-0.2, -0.05]),
            ],
            scale: 1.0,
        }
    }
}

impl Quadruped {
    pub fn urdf(&self) -> String {
        let mut text = format!(
            "<?xml version='1.0'?>\n<robot name='Dog 9'>\n{}<link name='trunk'>{}{}</link>\n",
            self.head,
            inertial(5.0),
            self.trunk
        );
        for (name, hip) in &self.legs {
            text += &self.leg(name, *hip);
        }
        text + &self.tail + "</robot>\n"
    }

    fn leg(&self, name: &str, [x, y]: [f64; 2]) -> String {
        let s = self.scale;
        let [x, y, side, down] = [x * s, y * s, 0.08 * y.signum() * s, -0.2 * s];
        let [ax, ay, az] = self.thigh_axis;
        let joint = |part: &str, parent: &str, at: [f64; 3], axis: &str, range: &str| {
            format!(
                "<joint name='{name}_{part}' type='revolute'><parent link='{parent}'/><child link='{name}_{part}_link'/>\
                 <origin xyz='{} {} {}'/><axis xyz='{axis}'/><limit {range} effort='25' velocity='20'/></joint>\n",
                at[0], at[1], at[2]
            )
        };
        let link = |part: &str, mass: f64, shape: &str| {
            format!(
                "<link name='{name}_{part}_link'>{}{shape}</link>\n",
                inertial(mass)
            )
        };
        let swing = format!("{ax} {ay} {az}");
        let thigh = "<collision><origin xyz='0 0 -0.1'/><geometry><box size='0.03 0.03 0.2'/></geometry></collision>";
        [
            joint("a", "trunk", [x, y, 0.0], "1 0 0", "lower='-0.8' upper='0.8'"),
            link("a", 0.6, ""),
            joint("b", &format!("{name}_a_link"), [0.0, side, 0.0], &swing, self.thigh_range),
            link("b", 0.9, thigh),
            joint("c", &format!("{name}_b_link"), [0.0, 0.0, down], &swing, self.calf_range),
            link("c", 0.2, &self.calf_shape),
            format!(
                "<link name='{name}_end'>{}</link><joint name='{name}_end_fixed' type='fixed'><parent link='{name}_c_link'/>\
                 <child link='{name}_end'/><origin xyz='0 0 {down}'/></joint>\n",
                self.foot
            ),
        ]
        .concat()
    }
}

pub fn inertial(mass: f64) -> String {
    format!("<inertial><mass value='{mass}'/>{INERTIA}</inertial>")
}
