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

    fn area(self) -> f64 {
        let [left, top, right, bottom] = self.0;
        (right - left) * (bottom - top)
    }
}

/// Places a label of this size for each point, in turn: near its point, inside `frame`, and over as little as possible of `taken` and of the labels
/// before it.
pub fn place(points: &[[f64; 2]], sizes: &[[f64; 2]], taken: &[Rect], frame: Rect) -> Vec<Rect> {
    let mut taken = taken.to_vec();
    let mut labels = Vec::with_capacity(points.len());
    for (&point, &size) in points.iter().zip(sizes) {
        let cost = |label: &Rect, distance: f64| {
            let covered: f64 = taken.iter().map(|other| label.overlap(*other)).sum();
            let outside = label.area() - label.overlap(frame);
            10.0 * (covered + outside) + distance
        };
        let mut best: Option<(f64, Rect)> = None;
        for distance in [8.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0] {
            for direction in 0..16 {
                let label = beside(point, size, distance, direction);
                let cost = cost(&label, distance);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, label));
                }
            }
        }
        if let Some((_, label)) = best {
            taken.push(label);
            labels.push(label);
        }
    }
    labels
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
