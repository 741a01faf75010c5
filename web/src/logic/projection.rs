//! The projection from latent space to the stage: onto a plane, and from the plane onto a disc that holds all of it.
//!
//! One-hot embeddings become the corners of a regular polygon; learned ones are projected on their two principal
//! components. Distances from the centre are then compressed, r ↦ r/(r + c), since noise is several times farther out
//! than any label, and both should be seen.

/// The number of iterations of the power method; there are few embeddings.
const SWEEPS: usize = 200;

/// A plane of latent space and the disc that shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The axes of the plane, orthonormal columns of `[d, 2]`.
    axes: Vec<f32>,
    /// The point of latent space that is shown in the middle, `[d]`.
    centre: Vec<f32>,
    /// The constant c of the compression r ↦ r/(r + c).
    half: f32,
}

impl Projection {
    /// The projection for class embeddings `[m, d]`.
    pub fn new(embeddings: &[f32], d: usize, one_hot: bool) -> Self {
        let m = embeddings.len() / d;
        let (axes, centre) = if one_hot {
            (polygon(d), vec![0.0; d])
        } else {
            let mean: Vec<f32> = (0..d)
                .map(|j| (0..m).map(|k| embeddings[k * d + j]).sum::<f32>() / m as f32)
                .collect();
            (principal(embeddings, &mean, d), mean)
        };
        let mut projection = Self {
            axes,
            centre,
            half: 1.0,
        };
        let radius = |z: &[f32]| {
            let [x, y] = projection.plane(z);
            x.hypot(y)
        };
        let mean = embeddings.chunks(d).map(radius).sum::<f32>() / m.max(1) as f32;
        // Labels stand at 1/(1 + 0.6) of the disc's radius.
        projection.half = (0.6 * mean).max(1e-6);
        projection
    }

    /// The axes of the plane, orthonormal columns of `[d, 2]`.
    pub fn axes(&self) -> &[f32] {
        &self.axes
    }

    /// The point of latent space that is shown in the middle, `[d]`.
    pub fn centre(&self) -> &[f32] {
        &self.centre
    }

    /// The distance from the centre that is shown half-way to the rim: the constant c of the compression.
    pub fn half(&self) -> f32 {
        self.half
    }

    /// The coordinates of `z` `[d]` in the plane.
    pub fn plane(&self, z: &[f32]) -> [f32; 2] {
        let mut point = [0.0; 2];
        for ((z, centre), axes) in z.iter().zip(&self.centre).zip(self.axes.chunks(2)) {
            point[0] += (z - centre) * axes[0];
            point[1] += (z - centre) * axes[1];
        }
        point
    }

    /// The place of `z` `[d]` on the unit disc.
    pub fn disc(&self, z: &[f32]) -> [f32; 2] {
        self.compress(self.plane(z))
    }

    /// Maps a point of the plane to the unit disc.
    pub fn compress(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let factor = 1.0 / (x.hypot(y) + self.half);
        [x * factor, y * factor]
    }

    /// Maps a point of the unit disc to the plane; the rim is at infinity.
    pub fn expand(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let radius = x.hypot(y).min(0.999);
        let factor = self.half / (1.0 - radius);
        [x * factor, y * factor]
    }

    /// The origin `[d]` of the plane that is parallel to the plane shown and goes through `z` `[d]`.
    pub fn origin_through(&self, z: &[f32]) -> Vec<f32> {
        let [x, y] = self.plane(z);
        z.iter()
            .zip(self.axes.chunks(2))
            .map(|(z, axes)| z - x * axes[0] - y * axes[1])
            .collect()
    }
}

/// Axes that send the unit vectors to the corners of a regular polygon, the first at the top.
fn polygon(d: usize) -> Vec<f32> {
    let scale = (2.0 / d as f32).sqrt();
    (0..d)
        .flat_map(|j| {
            let angle = std::f32::consts::TAU * (j as f32 / d as f32 - 0.25);
            [scale * angle.cos(), scale * angle.sin()]
        })
        .collect()
}

/// The two principal components of the rows of `embeddings` around `mean`, by power iteration.
fn principal(embeddings: &[f32], mean: &[f32], d: usize) -> Vec<f32> {
    let rows: Vec<Vec<f32>> = embeddings
        .chunks(d)
        .map(|row| row.iter().zip(mean).map(|(a, b)| a - b).collect())
        .collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let mut found: Vec<Vec<f32>> = Vec::new();
    for component in 0..2 {
        // Any start will do that is not orthogonal to the component. Irrational steps make an orthogonal one unlikely.
        let mut v: Vec<f32> = (0..d)
            .map(|j| ((j + 1) as f32 * (1.618 + component as f32)).sin())
            .collect();
        for _ in 0..SWEEPS {
            let mut next = vec![0.0; d];
            for row in &rows {
                let weight = dot(row, &v);
                next.iter_mut().zip(row).for_each(|(n, r)| *n += weight * r);
            }
            if dot(&next, &next) < 1e-20 {
                next = v.clone();
            }
            for other in &found {
                let along = dot(&next, other);
                next.iter_mut()
                    .zip(other)
                    .for_each(|(n, o)| *n -= along * o);
            }
            let length = dot(&next, &next).sqrt().max(1e-20);
            v = next.iter().map(|x| x / length).collect();
        }
        found.push(v);
    }
    (0..d).flat_map(|j| [found[0][j], found[1][j]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_hot(m: usize) -> Vec<f32> {
        (0..m * m)
            .map(|i| f32::from(u8::from(i / m == i % m)))
            .collect()
    }

    fn check_orthonormal(axes: &[f32]) {
        let product = |a: usize, b: usize| axes.chunks(2).map(|row| row[a] * row[b]).sum::<f32>();
        for (a, b, expected) in [(0, 0, 1.0), (1, 1, 1.0), (0, 1, 0.0)] {
            assert!((product(a, b) - expected).abs() < 1e-5, "{a}{b}");
        }
    }

    #[test]
    fn one_hot_labels_are_corners_of_a_polygon() {
        let projection = Projection::new(&one_hot(10), 10, true);
        check_orthonormal(projection.axes());
        let corners: Vec<[f32; 2]> = one_hot(10).chunks(10).map(|e| projection.disc(e)).collect();
        assert!(
            corners[0][0].abs() < 1e-6 && corners[0][1] < 0.0,
            "the first is at the top"
        );
        for [x, y] in &corners {
            assert!((x.hypot(*y) - 1.0 / 1.6).abs() < 1e-5);
        }
        let gap = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        for k in 1..10 {
            let (here, first) = (gap(corners[k - 1], corners[k]), gap(corners[0], corners[1]));
            assert!((here - first).abs() < 1e-5);
        }
    }

    #[test]
    fn learned_labels_use_their_principal_plane() {
        // Six points that vary along axis 2 most, then axis 0, and hardly along the others.
        let rows: Vec<f32> = (0..6)
            .flat_map(|k| {
                let a = k as f32;
                [(a * 2.1).cos(), 0.01 * a, 5.0 * (a - 2.5), 0.0]
            })
            .collect();
        let projection = Projection::new(&rows, 4, false);
        check_orthonormal(projection.axes());
        assert!(projection.axes()[4].abs() > 0.99, "{:?}", projection.axes());
        assert!(projection.axes()[1].abs() > 0.95, "{:?}", projection.axes());
    }

    #[test]
    fn the_disc_and_the_plane_are_inverse() {
        let projection = Projection::new(&one_hot(10), 10, true);
        for point in [[0.0, 0.0], [0.3, -0.2], [2.5, 1.0], [-4.0, 0.5]] {
            let [x, y] = projection.expand(projection.compress(point));
            assert!((x - point[0]).abs() < 1e-3 && (y - point[1]).abs() < 1e-3);
        }
    }

    #[test]
    fn the_origin_through_a_point_keeps_what_is_not_shown() {
        let projection = Projection::new(&one_hot(10), 10, true);
        let z: Vec<f32> = (0..10).map(|i| (i as f32 * 1.3).sin()).collect();
        let origin = projection.origin_through(&z);
        let [x, y] = projection.plane(&origin);
        assert!(x.abs() < 1e-5 && y.abs() < 1e-5);
        let [x, y] = projection.plane(&z);
        for (j, axes) in projection.axes().chunks(2).enumerate() {
            let back = origin[j] + x * axes[0] + y * axes[1];
            assert!((back - z[j]).abs() < 1e-5);
        }
    }
}
