//! Names beside their points, where nothing is in the way.

/// A rectangle of the picture: left, top, right, bottom, points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect(pub [f64; 4]);

impl Rect {
    /// Around a point.
    pub fn around([x, y]: [f64; 2], half: f64) -> Self {
        Self([x - half, y - half, x + half, y + half])
    }

    /// Width and height of what both share, multiplied.
    fn overlap(self, other: Self) -> f64 {
        let [left, top, right, bottom] = self.0;
        let [left2, top2, right2, bottom2] = other.0;
        let width = right.min(right2) - left.max(left2);
        let height = bottom.min(bottom2) - top.max(top2);
        width.max(0.0) * height.max(0.0)
    }

    /// The point of it that is nearest to another.
    fn nearest(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [left, top, right, bottom] = self.0;
        [x.clamp(left, right), y.clamp(top, bottom)]
    }

    fn area(self) -> f64 {
        let [left, top, right, bottom] = self.0;
        (right - left) * (bottom - top)
    }
}

/// From this distance on a line leads from the point to its label, points.
const LEADER_FROM: f64 = 12.0;
/// A label this near to the point of another may be taken for its label, points.
const STRANGE: f64 = 10.0;
/// The first pass places labels beside those before them, the others beside all.
const PASSES: usize = 3;

/// Where a line from a point to its label ends; none to a label beside it.
pub fn leader(point: [f64; 2], label: Rect) -> Option<[f64; 2]> {
    let near = label.nearest(point);
    (distance(near, point) > LEADER_FROM).then_some(near)
}

/// Places a label of this size for each point: near its point and no other, inside `frame`, and over as little as possible of `taken` and of the
/// other labels.
pub fn place(points: &[[f64; 2]], sizes: &[[f64; 2]], taken: &[Rect], frame: Rect) -> Vec<Rect> {
    let mut labels: Vec<Rect> = Vec::with_capacity(points.len());
    for _ in 0..PASSES {
        for (index, (&point, &size)) in points.iter().zip(sizes).enumerate() {
            let others = labels.iter().enumerate().filter(|(at, _)| *at != index);
            let others: Vec<Rect> = others.map(|(_, label)| *label).collect();
            let strangers = points.iter().enumerate().filter(|(at, _)| *at != index);
            let strangers: Vec<[f64; 2]> = strangers.map(|(_, point)| *point).collect();
            let cost = |label: &Rect, away: f64| {
                let covered = taken.iter().chain(&others);
                let covered: f64 = covered.map(|other| label.overlap(*other)).sum();
                let outside = label.area() - label.overlap(frame);
                let strange = strangers
                    .iter()
                    .map(|stranger| STRANGE - distance(label.nearest(*stranger), *stranger));
                let strange: f64 = strange.map(|excess| excess.max(0.0)).sum();
                let crossed = leader(point, *label).map_or(0, |end| {
                    let near = |at: &&[f64; 2]| distance_to_segment(**at, [point, end]) < 6.0;
                    strangers.iter().filter(near).count()
                });
                10.0 * (covered + outside) + strange + 20.0 * crossed as f64 + away
            };
            let mut best: Option<(f64, Rect)> = None;
            for away in [8.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0] {
                for direction in 0..16 {
                    let label = beside(point, size, away, direction);
                    let cost = cost(&label, away);
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, label));
                    }
                }
            }
            let Some((_, label)) = best else {
                continue;
            };
            match labels.get_mut(index) {
                Some(placed) => *placed = label,
                None => labels.push(label),
            }
        }
    }
    labels
}

fn distance([x, y]: [f64; 2], [x2, y2]: [f64; 2]) -> f64 {
    (x - x2).hypot(y - y2)
}

fn distance_to_segment([x, y]: [f64; 2], [from, to]: [[f64; 2]; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0].hypot(along[1]).max(1e-9);
    let share = ((x - from[0]) * along[0] + (y - from[1]) * along[1]) / (length * length);
    let share = share.clamp(0.0, 1.0);
    distance(
        [x, y],
        [from[0] + share * along[0], from[1] + share * along[1]],
    )
}

/// The label whose nearest edge or corner is so far from the point, in one of 16 directions; the first is to the right.
fn beside([x, y]: [f64; 2], [width, height]: [f64; 2], distance: f64, direction: usize) -> Rect {
    let (sin, cos) = (std::f64::consts::TAU * direction as f64 / 16.0).sin_cos();
    let (x, y) = (x + distance * cos, y - distance * sin);
    // From left edge at the point to right edge at the point, and the same for the height.
    let (left, top) = (
        x - 0.5 * (1.0 - cos) * width,
        y - 0.5 * (1.0 + sin) * height,
    );
    Rect([left, top, left + width, top + height])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Rect = Rect([0.0, 0.0, 400.0, 300.0]);

    #[test]
    fn a_point_alone_has_its_label_to_the_right() {
        let labels = place(&[[100.0, 100.0]], &[[50.0, 10.0]], &[], FRAME);
        assert_eq!(labels, [Rect([108.0, 95.0, 158.0, 105.0])]);
    }

    #[test]
    fn a_label_is_nearer_to_its_point_than_to_another() {
        let points = [[100.0, 100.0], [125.0, 112.0]];
        let dots = points.map(|point| Rect::around(point, 4.0));
        let labels = place(&points, &[[60.0, 10.0]; 2], &dots, FRAME);
        for (index, label) in labels.iter().enumerate() {
            let [own, other] = [index, 1 - index].map(|at| points[at]);
            let gap = |point| distance(label.nearest(point), point);
            assert!(gap(own) + 1.0 < gap(other), "{labels:?}");
            assert_eq!(leader(own, *label), None);
        }
    }

    #[test]
    fn labels_cover_neither_points_nor_each_other_nor_the_margin() {
        let points: Vec<[f64; 2]> = (0..9)
            .map(|i| [380.0 - 3.0 * f64::from(i), 200.0 + 2.0 * f64::from(i % 3)])
            .collect();
        let dots: Vec<Rect> = points.iter().map(|p| Rect::around(*p, 4.0)).collect();
        let sizes = [[60.0, 10.0]; 9];
        let labels = place(&points, &sizes, &dots, FRAME);
        for (index, label) in labels.iter().enumerate() {
            assert_eq!(label.overlap(FRAME), label.area(), "outside");
            for other in dots.iter().chain(&labels[..index]) {
                assert_eq!(label.overlap(*other), 0.0, "{label:?} over {other:?}");
            }
        }
    }
}
